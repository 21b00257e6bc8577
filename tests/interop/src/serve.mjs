// Answers the calls of the test that has started this process, and ends with it.

export function serve(commands) {
  process.on('disconnect', () => process.exit())
  process.on('message', async ({ id, method, args }) => {
    try {
      answer({ id, result: await commands[method](...args) })
    } catch (error) {
      answer({ id, error: `${error?.name}: ${error?.message ?? error}` })
    }
  })
}

function answer(message) {
  if (process.connected) process.send(message)
}
