/** A process that this program started: its output by lines, and its end. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How a process is asked to end. */
type Stop = 'close-stdin' | 'terminate'

/** Milliseconds that a process has to say goodbye before it is killed. */
const GRACE = 3000

/** Lines of its standard error that are kept, to be shown if the run fails. */
const ERROR_LINES = 40

export class Child {
  readonly name: string
  /** Rejects when the process ends or cannot be started, unless it was asked to stop. Never resolves. */
  readonly died: Promise<never>
  readonly errors: string[] = []
  readonly #process: ChildProcess
  readonly #how: Stop
  readonly #ended: Promise<void>
  #stopping = false

  constructor (name: string, command: string, args: string[], how: Stop, onLine: (line: string) => void) {
    this.name = name
    this.#how = how
    const child = this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin!.on('error', () => {})
    createInterface({ input: child.stdout! }).on('line', onLine)
    createInterface({ input: child.stderr! }).on('line', line => {
      this.errors.push(line)
      if (this.errors.length > ERROR_LINES) this.errors.shift()
    })

    const end = new Promise<string>(resolve => {
      child.once('error', error => resolve(`could not be started: ${error.message}`))
      // 'close' comes after the last of the output, 'exit' may come before it.
      child.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`))
    })
    this.#ended = end.then(() => {})
    this.died = end.then(reason => this.#stopping ? new Promise<never>(() => {}) : Promise.reject(new Error(`${name} ${reason}`)))
    this.died.catch(() => {})
  }

  /** Asks the process to end, and kills it when it takes longer than 3 s. */
  async stop (): Promise<void> {
    this.#stopping = true
    if (this.#how === 'terminate') this.#process.kill('SIGTERM')
    else this.#process.stdin!.end()
    const timer = setTimeout(() => this.kill(), GRACE)
    await this.#ended
    clearTimeout(timer)
  }

  /** At once. Does nothing to a process that has ended. */
  kill (): void {
    this.#stopping = true
    this.#process.kill('SIGKILL')
  }
}
