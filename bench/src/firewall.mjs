import { Socket } from 'node:net'

/**
 * Refuses this process's TCP connections to a port, as a host that cannot reach it would see them refused. Libraries learn
 * a relay's own address from the relay, and would dial it past the proxy that they are meant to come through.
 *
 * @param {number} port
 */
export function block(port) {
  const connect = Socket.prototype.connect
  Socket.prototype.connect = function (/** @type {any[]} */ ...args) {
    // Node.js hands over `[options, callback]` where it has normalized them already.
    const options = Array.isArray(args[0]) ? args[0][0] : args[0]
    if (Number(options?.port ?? options) !== port) return Reflect.apply(connect, this, args)
    process.nextTick(() => this.destroy(new Error(`connect ECONNREFUSED port ${port}`)))
    return this
  }
}
