// A TCP proxy on loopback that stands between an agent and the relay. Its connections can be cut and healed and may be
// slow, and it counts the bytes that pass.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export class Proxy {
  // Bytes from the agent to the relay, and back.
  up = 0
  down = 0
  // Connections that were turned away.
  refused = 0
  #server = createServer(socket => this.#accept(socket))
  #sockets = new Set()
  #cut = false
  #target
  #delayMs
  #passing = () => {}

  // Resolves when it listens; connections go on to `port`. Bytes take `delayMs` each way.
  static async start(port, { delayMs = 0 } = {}) {
    const proxy = new Proxy()
    proxy.#target = port
    proxy.#delayMs = delayMs
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port() {
    return this.#server.address().port
  }

  // Resets all connections, and new ones as they come.
  cut() {
    this.#cut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  heal() {
    this.#cut = false
  }

  // Cuts as soon as `bytes` more have passed, both ways together. Resolves then.
  cutAfter(bytes) {
    const end = this.up + this.down + bytes
    return new Promise(resolve => {
      this.#passing = () => {
        if (this.up + this.down < end) return
        this.#passing = () => {}
        this.cut()
        resolve()
      }
    })
  }

  async close() {
    this.cut()
    this.#server.close()
  }

  #accept(inbound) {
    inbound.on('error', () => {})
    if (this.#cut) {
      this.refused++
      inbound.resetAndDestroy()
      return
    }
    const outbound = connect(this.#target, '127.0.0.1')
    inbound.on('data', ({ length }) => this.#count('up', length))
    outbound.on('data', ({ length }) => this.#count('down', length))
    this.#join(inbound, outbound)
    this.#join(outbound, inbound)
  }

  #count(way, length) {
    this[way] += length
    this.#passing()
  }

  #join(from, to) {
    this.#sockets.add(from)
    from.setNoDelay(true)
    from.on('error', () => to.destroy())
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
    if (this.#delayMs === 0) from.pipe(to)
    else from.on('data', chunk => setTimeout(() => to.destroyed || to.write(chunk), this.#delayMs))
  }
}
