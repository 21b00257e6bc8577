import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { commands } from '../src/commands.mjs'
import { serve } from '../src/serve.mjs'

/** @typedef {import('../src/driver.mjs').Driver} Driver */

/**
 * Helia with all of its defaults but for whom it asks: only peers that it is connected with. Blocks are in memory.
 */
async function createNode() {
  const node = await withBitswap(
    withLibp2pLight(createHeliaLight(), {
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), ping: ping() },
    }),
  ).start()
  return { node, files: unixfs(node) }
}

/**
 * Of what a driver can do, what the bench asks of one that keeps files.
 *
 * @implements {Driver}
 */
class HeliaDriver {
  /** @type {Awaited<ReturnType<typeof createNode>> | undefined} */
  #started
  #drops = 0

  /** There is no relay. */
  async join() {
    this.#started = await createNode()
    const { libp2p } = this.#started.node
    libp2p.addEventListener('connection:close', () => this.#drops++)
    return libp2p.getMultiaddrs()[0].toString()
  }

  /**
   * @param {string} to
   */
  async connect(to) {
    await this.#node.libp2p.dial(multiaddr(to))
  }

  /**
   * @param {Uint8Array} bytes
   */
  async add(bytes) {
    return (await this.#files.addBytes(bytes)).toString()
  }

  /**
   * Whoever is connected is asked.
   *
   * @param {string} cid
   */
  async fetch(cid) {
    const parts = []
    for await (const part of this.#files.cat(CID.parse(cid))) parts.push(part)
    return Buffer.concat(parts)
  }

  drops() {
    return this.#drops
  }

  send() {
    return nothingAlike()
  }

  transfer() {
    return nothingAlike()
  }

  publish() {
    return nothingAlike()
  }

  onMessage() {}

  onBroadcast() {}

  get #node() {
    return this.#running.node
  }

  get #files() {
    return this.#running.files
  }

  get #running() {
    if (this.#started === undefined) throw new Error('not joined')
    return this.#started
  }
}

/**
 * @returns {Promise<never>}
 */
async function nothingAlike() {
  throw new Error('this library has nothing alike')
}

serve(commands(new HeliaDriver()))
