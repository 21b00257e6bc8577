import { createLibp2p } from 'libp2p'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { Incoming, head } from './bulk.mjs'

/** @typedef {import('@libp2p/interface').Stream} Stream */

const ECHO = '/bench/echo/1'
const BULK = '/bench/bulk/1'
/** Bytes a write. */
const WRITE = 256 * 1024

/**
 * js-libp2p as its documentation sets up a browser that is dialled by WebRTC.
 *
 * @param {import('../src/driver.mjs').JoinOptions} options
 */
export function nodeOptions({ relay }) {
  return {
    addresses: { listen: [`${relay}/p2p-circuit`, '/webrtc'] },
    // Default: four STUN servers on the internet. Nobody here is given any.
    transports: [webSockets(), webRTC({ rtcConfiguration: { iceServers: [] } }), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // Default in a page: no addresses of this machine, and no relay without TLS.
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() },
  }
}

/**
 * The address by which others dial it directly, as soon as it has one.
 *
 * @param {Pick<import('@libp2p/interface').Libp2p, 'getMultiaddrs' | 'addEventListener'>} node
 * @returns {Promise<string>}
 */
export async function directAddress(node) {
  for (;;) {
    const address = node.getMultiaddrs().find(isDirect)
    if (address !== undefined) return address.toString()
    await new Promise(resolve => node.addEventListener('self:peer:update', resolve, { once: true }))
  }
}

/**
 * Connects directly, or not at all.
 *
 * @param {Pick<import('@libp2p/interface').Libp2p, 'dial'>} node
 * @param {string} to
 */
export async function dialDirectly(node, to) {
  const connection = await node.dial(multiaddr(to))
  if (!isDirect(connection.remoteAddr)) throw new Error(`connected by ${connection.remoteAddr}`)
  return connection
}

/**
 * @implements {PageDriver}
 */
class Libp2pDriver {
  /** @type {import('@libp2p/interface').Libp2p | undefined} */
  #node
  /** @type {import('@libp2p/interface').Connection | undefined} */
  #connection
  /** @type {Promise<Echo> | undefined} */
  #echo

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join(options) {
    const node = await createLibp2p(nodeOptions(options))
    this.#node = node
    await node.handle(ECHO, stream => {
      stream.addEventListener('message', ({ data }) => void stream.send(data))
    })
    await node.handle(BULK, stream => {
      receiveBulk(stream).catch(error => stream.abort(error))
    })
    return directAddress(node)
  }

  /**
   * @param {string} to
   */
  async connect(to) {
    this.#connection = await dialDirectly(this.node, to)
  }

  /**
   * One stream is kept open; its echoes come back in order.
   *
   * @param {string} _to
   * @param {Uint8Array} body
   */
  async send(_to, body) {
    this.#echo ??= this.connection.newStream(ECHO).then(stream => new Echo(stream))
    const echo = await this.#echo
    await echo.send(body)
  }

  /**
   * @param {string} _to
   * @param {Uint8Array<ArrayBuffer>} body
   */
  async transfer(_to, body) {
    await sendBulk(await this.connection.newStream(BULK), body)
  }

  get node() {
    if (this.#node === undefined) throw new Error('not joined')
    return this.#node
  }

  get connection() {
    if (this.#connection === undefined) throw new Error('not connected')
    return this.#connection
  }
}

export const create = () => new Libp2pDriver()

class Echo {
  #stream
  #pending = 0
  /** @type {{ at: number, resolve: () => void }[]} which byte is a body's last */
  #waiting = []
  #received = 0

  /**
   * @param {Stream} stream
   */
  constructor(stream) {
    this.#stream = stream
    stream.addEventListener('message', ({ data }) => {
      this.#received += data.byteLength
      while (this.#waiting.length > 0 && this.#waiting[0].at <= this.#received) this.#waiting.shift()?.resolve()
    })
  }

  /**
   * @param {Uint8Array} body
   * @returns {Promise<void>}
   */
  send(body) {
    return new Promise(resolve => {
      this.#pending += body.length
      this.#waiting.push({ at: this.#pending, resolve })
      this.#stream.send(body)
    })
  }
}

/**
 * @param {Stream} stream fresh
 * @param {Uint8Array<ArrayBuffer>} body
 */
async function sendBulk(stream, body) {
  const answer = new Promise((resolve, reject) => {
    stream.addEventListener('message', ({ data }) => resolve(data.subarray()[0]), { once: true })
    stream.addEventListener('close', ({ error }) => reject(error ?? new Error('closed before the answer')), {
      once: true,
    })
  })
  answer.catch(() => {})
  if (!stream.send(await head(body))) await drained(stream)
  for (let at = 0; at < body.length; at += WRITE) {
    if (!stream.send(body.subarray(at, at + WRITE))) await drained(stream)
  }
  if ((await answer) !== 1) throw new Error('the receiver found another hash')
  stream.close().catch(() => {})
}

/**
 * @param {Stream} stream
 */
async function receiveBulk(stream) {
  const incoming = new Incoming()
  await new Promise((resolve, reject) => {
    stream.addEventListener('message', ({ data }) => {
      if (incoming.add(data.subarray())) resolve(undefined)
    })
    stream.addEventListener('close', ({ error }) => reject(error ?? new Error('closed before its end')))
  })
  stream.send(Uint8Array.of((await incoming.right()) ? 1 : 0))
  await stream.close()
}

/**
 * `stream.onDrain()` of @libp2p/utils 7.4.1 waits the first time only: its promise is made once and stays resolved.
 *
 * @param {Stream} stream
 * @returns {Promise<unknown>}
 */
function drained(stream) {
  return Promise.race(['drain', 'close'].map(type => new Promise(resolve => stream.addEventListener(type, resolve, { once: true }))))
}

/**
 * @param {import('@multiformats/multiaddr').Multiaddr} address
 */
function isDirect(address) {
  return /\/webrtc(\/|$)/.test(address.toString())
}

/** @typedef {import('./page.mjs').PageDriver} PageDriver */
