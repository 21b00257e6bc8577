import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { now } from './clock.mjs'

/**
 * A TCP proxy on loopback whose link can be cut and healed.
 */
export class Proxy {
  #server = createServer(socket => this.#accept(socket))
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set()
  #cut = false
  #target = 0

  /**
   * @returns {Promise<number>} the port it listens on
   */
  async listen() {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port
  }

  /**
   * @param {number} port on loopback, where connections go
   */
  forwardTo(port) {
    this.#target = port
  }

  /** Resets all connections, and new ones as they come. */
  cut() {
    this.#cut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /**
   * @returns {number} when
   */
  heal() {
    this.#cut = false
    return now()
  }

  close() {
    this.cut()
    this.#server.close()
  }

  /**
   * @param {import('node:net').Socket} inbound
   */
  #accept(inbound) {
    inbound.on('error', () => {})
    if (this.#cut) return void inbound.resetAndDestroy()
    const outbound = connect(this.#target, '127.0.0.1')
    for (const [from, to] of [
      [inbound, outbound],
      [outbound, inbound],
    ]) {
      this.#sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }
}
