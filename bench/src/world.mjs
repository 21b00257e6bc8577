import { fileURLToPath } from 'node:url'
import { now } from './clock.mjs'
import { Pages } from './pages.mjs'

const BARE = fileURLToPath(new URL('bare.mjs', import.meta.url))

/**
 * @typedef {object} Joined
 * @property {import('./processes.mjs').Agent} process
 * @property {string} address
 * @property {number} startMs from starting the process until it had joined
 * @property {number} joinMs of these, from the call to join
 */

/**
 * What one run of a scenario has at hand: a side's relay and agents, each a process of its own.
 */
export class World {
  /** @type {string[]} what a value alone does not tell */
  notes = []
  #pages = new Pages()

  /**
   * @param {import('./sides.mjs').Side} side
   * @param {import('./processes.mjs').Processes} processes
   * @param {string} node
   */
  constructor(side, processes, node) {
    this.side = side
    this.processes = processes
    this.node = node
  }

  /**
   * @param {import('./sides.mjs').RelayOptions} [options]
   */
  startRelay(options) {
    return this.side.startRelay(this.processes, options)
  }

  /**
   * @param {import('./driver.mjs').JoinOptions} options
   * @param {{ blockedPort?: number }} [limits] blockedPort: TCP port that it cannot connect to
   * @returns {Promise<Joined>}
   */
  async join(options, { blockedPort } = {}) {
    const startedAt = now()
    const process = this.processes.fork(this.node, this.side.agentFile)
    if (blockedPort !== undefined) await process.call('block', { port: blockedPort })
    const { address, joinedAt, joinMs } = await process.call('join', options)
    return { process, address, startMs: joinedAt - startedAt, joinMs }
  }

  /**
   * A relay and agents on it, each connected to each.
   *
   * @param {number} others besides the first
   * @param {Pick<import('./driver.mjs').JoinOptions, 'listen'>} [options]
   * @returns {Promise<{ relay: string, first: Joined, others: Joined[] }>}
   */
  async group(others, options) {
    const relay = this.side.relayed === undefined ? await this.startRelay() : ''
    const agents = await Promise.all(
      Array.from({ length: others + 1 }, (_, i) => this.join({ relay, name: `agent-${i}`, ...options })),
    )
    for (const [i, agent] of agents.entries()) {
      for (const { address } of agents.slice(i + 1)) await agent.process.call('connect', { to: address })
    }
    const [first, ...rest] = agents
    return { relay, first, others: rest }
  }

  /**
   * Pages that have not joined.
   *
   * @param {number} count
   */
  pages(count) {
    return this.#pages.open(this.side.id, count)
  }

  /**
   * Two pages that have joined, the second after the first, and that are connected to each other directly.
   *
   * @param {Pick<import('./driver.mjs').JoinOptions, 'marks'>} [options]
   * @returns {Promise<{ page: import('./pages.mjs').Page, to: string, met: { direct: number, echo: number, fromJoin: number } }>}
   *   page: the second; to: the first's address; met: how long it took, milliseconds
   */
  async pair(options) {
    const relay = this.side.relayed === false ? '' : await this.startRelay()
    const [first, second] = await this.#pages.open(this.side.id, 2)
    const { address } = await first.call('join', { relay, name: 'first', ...options })
    await second.call('join', { relay, name: 'second', ...options })
    const met = await second.call('meet', { to: address })
    return { page: second, to: address, met }
  }

  /** Closes what is no process. */
  end() {
    return this.#pages.end()
  }

  /** RSS in MiB of a Node.js process that loaded nothing. */
  bareMemory() {
    return this.processes.fork(this.node, BARE).call('memory')
  }
}
