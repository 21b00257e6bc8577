import { createLibp2p } from 'libp2p'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { gossipsub, StrictSign } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { KEEP_ALIVE } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { commands } from '../src/commands.mjs'
import { serve } from '../src/serve.mjs'
import { FrameWriter, readFrames, receiveBulk, sendBulk } from './streams.mjs'
import { retryableWebSockets } from './transport.mjs'

/** @typedef {import('../src/driver.mjs').Driver} Driver */
/** @typedef {{ resolve: () => void, reject: (error: Error) => void }} Waiting */

const ECHO = '/bench/echo/1'
const BULK = '/bench/bulk/1'
const TOPIC = 'bench'

/**
 * js-libp2p as its documentation sets up a node behind a relay; where a default would refuse what the bench does, the
 * setting beside it says so.
 *
 * @param {import('../src/driver.mjs').JoinOptions} options
 */
function createNode({ relay }) {
  return createLibp2p({
    addresses: { listen: [`${relay}/p2p-circuit`] },
    transports: [retryableWebSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // Default: 5 connections a second from one host, and here all come from one.
    connectionManager: { inboundConnectionThreshold: Infinity },
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipsub({
        globalSignaturePolicy: StrictSign,
        allowPublishToZeroTopicPeers: true,
        // Default: peers that share an address lose score until they are pruned.
        scoreParams: { IPColocationFactorWeight: 0 },
      }),
    },
  })
}

/**
 * @implements {Driver}
 */
class Libp2pDriver {
  /** @type {Awaited<ReturnType<typeof createNode>> | undefined} */
  #node
  #drops = 0
  /** @type {(body: Uint8Array) => void} */
  #onMessage = () => {}
  /** @type {(body: Uint8Array) => void} */
  #onBroadcast = () => {}
  /** @type {Map<string, { writer: FrameWriter, waiting: Waiting[] }>} */
  #echoes = new Map()

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join(options) {
    const node = await createNode(options)
    this.#node = node
    await node.handle(ECHO, stream => this.#echo(stream))
    await node.handle(BULK, stream => {
      receiveBulk(stream).catch(error => stream.abort(error))
    })
    node.services.pubsub.addEventListener('message', ({ detail }) => this.#onBroadcast(detail.data))
    node.services.pubsub.subscribe(TOPIC)
    node.addEventListener('connection:close', () => this.#drops++)
    await keepAlive(node, multiaddr(options.relay))
    const [address] = node.getMultiaddrs()
    if (address === undefined) throw new Error('no reservation at the relay')
    return address.toString()
  }

  /**
   * @param {string} to
   */
  async connect(to) {
    const address = multiaddr(to)
    await this.node.dial(address)
    await keepAlive(this.node, address)
    const stream = await this.node.dialProtocol(address, ECHO)
    const echo = { writer: new FrameWriter(stream), waiting: /** @type {Waiting[]} */ ([]) }
    readFrames(stream, () => echo.waiting.shift()?.resolve())
    stream.addEventListener('close', ({ error }) => {
      for (const { reject } of echo.waiting.splice(0)) reject(error ?? new Error('the stream was closed'))
    })
    this.#echoes.set(to, echo)
  }

  /**
   * One stream is kept open; its echoes come back in order.
   *
   * @param {string} to
   * @param {Uint8Array} body
   * @returns {Promise<void>}
   */
  send(to, body) {
    const echo = this.#echoes.get(to)
    if (echo === undefined) throw new Error('not connected')
    return new Promise((resolve, reject) => {
      echo.waiting.push({ resolve, reject })
      echo.writer.write(body).catch(reject)
    })
  }

  /**
   * @param {string} to
   * @param {Uint8Array} body
   */
  async transfer(to, body) {
    await sendBulk(await this.node.dialProtocol(multiaddr(to), BULK), body)
  }

  /**
   * @param {Uint8Array} body
   */
  async publish(body) {
    await this.node.services.pubsub.publish(TOPIC, body)
  }

  /**
   * @param {(body: Uint8Array) => void} handler
   */
  onMessage(handler) {
    this.#onMessage = handler
  }

  /**
   * @param {(body: Uint8Array) => void} handler
   */
  onBroadcast(handler) {
    this.#onBroadcast = handler
  }

  drops() {
    return this.#drops
  }

  get node() {
    if (this.#node === undefined) throw new Error('not joined')
    return this.#node
  }

  /**
   * @param {import('@libp2p/interface').Stream} stream
   */
  #echo(stream) {
    const writer = new FrameWriter(stream)
    readFrames(stream, body => {
      this.#onMessage(body)
      writer.write(body).catch(error => stream.abort(error))
    })
  }
}

/**
 * Without this tag a lost connection is not dialled again.
 *
 * @param {import('libp2p').Libp2p} node
 * @param {import('@multiformats/multiaddr').Multiaddr} address ending in the peer's id
 */
async function keepAlive(node, address) {
  const id = address.getComponents().findLast(({ name }) => name === 'p2p')?.value
  const connection = node.getConnections().find(({ remotePeer }) => remotePeer.toString() === id)
  if (connection === undefined) throw new Error('not connected')
  await node.peerStore.merge(connection.remotePeer, { tags: { [`${KEEP_ALIVE}-bench`]: { value: 50 } } })
}

serve(commands(new Libp2pDriver()))
