// Programs that a test starts. Each is ended by its own pid: when its test is over, and when the test process ends early.

import { createInterface } from 'node:readline'
import { fork, spawn } from 'node:child_process'

const STDERR_LINES = 30
const END_MS = 5000
const alive = new Set()

process.on('exit', () => alive.forEach(child => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

export class Program {
  #stderr = []

  // Resolves to how the program ended, { code, signal }; never rejects.
  exited

  constructor(child) {
    this.child = child
    alive.add(child)
    this.exited = new Promise(resolve => {
      child.once('error', error => resolve({ code: null, signal: error.message }))
      child.once('close', (code, signal) => resolve({ code, signal }))
    }).finally(() => alive.delete(child))
    createInterface({ input: child.stderr }).on('line', line => {
      this.#stderr.push(line)
      if (this.#stderr.length > STDERR_LINES) this.#stderr.shift()
    })
  }

  // Any program; its output can be read line by line.
  static spawn(command, args, options = {}) {
    return new this(spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options }))
  }

  // A Node.js program with a channel for messages.
  static fork(file, options = {}) {
    return new this(
      fork(file, { execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'], ...options }),
    )
  }

  get running() {
    return alive.has(this.child)
  }

  // The last lines that it wrote to standard error.
  get stderr() {
    return this.#stderr.join('\n')
  }

  // Each line of its output, once.
  lines() {
    return createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  // Ends it as the system would: no chance to say goodbye.
  async kill() {
    this.child.kill('SIGKILL')
    return this.exited
  }

  // Asks it to end, and kills it when it does not.
  async end() {
    if (!this.running) return this.exited
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_MS)
    const ended = await this.exited
    clearTimeout(timer)
    return ended
  }
}
