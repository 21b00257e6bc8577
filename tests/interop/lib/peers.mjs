// Nodes where they run: each in a process of its own, or in a tab. What can be asked of a Driver, see src/driver.mjs, can
// be asked of these.

import { fileURLToPath } from 'node:url'
import { Program } from '../../e2e/lib/program.mjs'
import { Driver } from '../src/driver.mjs'

const PROGRAM = fileURLToPath(new URL('../src/node.mjs', import.meta.url))
const PAGE = '/npm/@neural-mesh/interop/dist/page.html'

class Peer {
  async start(kind, options) {
    this.kind = kind
    this.peerId = await this.call('start', kind, options)
  }

  // Every method of Driver.
  static {
    for (const method of Object.getOwnPropertyNames(Driver.prototype)) {
      if (!(method in this.prototype)) this.prototype[method] = function (...args) { return this.call(method, ...args) }
    }
  }
}

// In a Node.js process.
export class NodePeer extends Peer {
  #program
  #calls = new Map()
  #next = 0

  static start() {
    return new NodePeer(Program.fork(PROGRAM))
  }

  constructor(program) {
    super()
    this.#program = program
    program.child.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.#calls.get(id)
      this.#calls.delete(id)
      if (error) reject(new Error(error))
      else resolve(result)
    })
    program.exited.then(({ code, signal }) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`the node ended (${signal ?? code}): ${this.stderr}`))
    })
  }

  // The last lines that it wrote to standard error.
  get stderr() {
    return this.#program.stderr
  }

  call(method, ...args) {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      if (!this.#program.running) return reject(new Error(`the node has ended: ${this.stderr}`))
      this.#calls.set(id, { resolve, reject })
      this.#program.child.send({ id, method, args })
    })
  }

  kill() {
    return this.#program.kill()
  }

  end() {
    return this.#program.end()
  }
}

// In a tab of a Chromium.
export class TabPeer extends Peer {
  #tab

  static async start(world) {
    const { tab } = await world.tab(PAGE)
    await tab.waitForFunction(() => globalThis.interop !== undefined)
    return new TabPeer(tab)
  }

  constructor(tab) {
    super()
    this.#tab = tab
  }

  call(method, ...args) {
    return this.#tab.evaluate(([method, args]) => interop.call(method, args), [method, args])
  }

  kill() {
    return this.#tab.context().close()
  }

  end() {
    return this.kill()
  }
}
