import { fork, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const STDERR_LINES = 20
const END_MS = 2000

/**
 * The processes of one scenario. `end()` ends each by its pid, whatever happened.
 */
export class Processes {
  /** @type {Child[]} */
  #children = []
  #ended = false

  /**
   * A Node.js process that answers `serve` requests.
   *
   * @param {string} node path of the Node.js binary
   * @param {string} file
   * @returns {Agent}
   */
  fork(node, file) {
    if (this.#ended) throw new Error('the run is over')
    const agent = new Agent(fork(file, { execPath: node, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }))
    this.#children.push(agent)
    return agent
  }

  /**
   * Any other program.
   *
   * @param {string} file
   * @param {string[]} args
   * @returns {Child}
   */
  spawn(file, args) {
    if (this.#ended) throw new Error('the run is over')
    const child = new Child(spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
    this.#children.push(child)
    return child
  }

  async end() {
    this.#ended = true
    await Promise.all(this.#children.map(child => child.end()))
  }
}

export class Child {
  /** @type {string[]} */
  #stderr = []
  /** @type {Promise<string>} resolves to how it ended */
  ended

  /**
   * @param {import('node:child_process').ChildProcess} process
   */
  constructor(process) {
    this.process = process
    this.ended = new Promise(resolve => {
      process.once('error', error => resolve(error.message))
      process.once('exit', (code, signal) => resolve(`process ended (${signal ?? code})`))
    })
    if (process.stderr !== null) {
      createInterface({ input: process.stderr }).on('line', line => {
        this.#stderr.push(line)
        if (this.#stderr.length > STDERR_LINES) this.#stderr.shift()
      })
    }
  }

  get stderr() {
    return this.#stderr.join('\n')
  }

  async end() {
    if (this.process.exitCode !== null || this.process.signalCode !== null || this.process.pid === undefined) return
    this.process.kill('SIGTERM')
    const timer = setTimeout(() => this.process.kill('SIGKILL'), END_MS)
    await this.ended
    clearTimeout(timer)
  }
}

/**
 * A child that runs `serve`.
 */
export class Agent extends Child {
  #nextId = 0
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #calls = new Map()

  /**
   * @param {import('node:child_process').ChildProcess} process
   */
  constructor(process) {
    super(process)
    process.on('message', (/** @type {{ id: number, result?: any, error?: string }} */ { id, result, error }) => {
      const call = this.#calls.get(id)
      this.#calls.delete(id)
      if (error === undefined) call?.resolve(result)
      else call?.reject(new Error(error))
    })
    this.ended.then(how => {
      const lastLine = this.stderr.split('\n').find(line => /error/i.test(line))
      for (const call of this.#calls.values())
        call.reject(new Error(lastLine === undefined ? how : `${how}: ${lastLine}`))
      this.#calls.clear()
    })
  }

  /**
   * @param {string} command
   * @param {object} [args]
   * @returns {Promise<any>}
   */
  call(command, args = {}) {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      this.process.send({ id, command, args }, error => {
        if (error === null) return
        this.#calls.delete(id)
        reject(error)
      })
    })
  }
}
