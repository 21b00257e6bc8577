// How the scripts talk: one line for each step, aligned, with colour only on a terminal.

const colour = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code, text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text)

export const ok = line => console.log(`${paint(32, 'ok')}     ${line}`)
export const busy = line => console.log(`${paint(36, '...')}    ${line}`)
export const failed = line => console.log(`${paint(31, 'FAIL')}   ${line}`)
export const note = line => console.log(`       ${line}`)

export const seconds = ms => (ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`)

// A failure that a person can act on: what is wrong, and the next thing to try.
export class Stop extends Error {
  constructor(message, next, output = '') {
    super(message)
    this.name = 'Stop'
    this.next = next
    this.output = output
  }
}

// Prints a failure and leaves the exit code to the caller. A bug in a script keeps its stack.
export function report(error) {
  if (!(error instanceof Stop)) {
    failed(error?.stack ?? String(error))
    return
  }
  if (error.output.trim()) console.log(tail(error.output, 60))
  failed(error.message)
  if (error.next) note(`next: ${error.next}`)
}

// The body of every script that is run by itself.
export function main(body) {
  body().then(
    code => process.exit(code ?? 0),
    error => {
      report(error)
      process.exit(1)
    },
  )
}

export function tail(text, lines) {
  const all = text.trimEnd().split('\n')
  const cut = all.length - lines
  return cut > 0 ? [`[${cut} lines before this]`, ...all.slice(cut)].join('\n') : all.join('\n')
}
