/**
 * Answers the parent's requests over the IPC channel of `child_process.fork`, and ends with the parent.
 * A request is `{ id, command, args }`, its answer `{ id, result }` or `{ id, error }`; they may overlap.
 *
 * @param {Record<string, (args: any) => unknown>} handlers
 */
export function serve(handlers) {
  process.on('disconnect', () => process.exit())
  process.on('message', async (/** @type {{ id: number, command: string, args: any }} */ { id, command, args }) => {
    try {
      reply({ id, result: await handlers[command](args) })
    } catch (error) {
      reply({ id, error: error instanceof Error ? error.message : String(error) })
    }
  })
}

/**
 * @param {object} answer
 */
function reply(answer) {
  if (process.connected) process.send?.(answer)
}
