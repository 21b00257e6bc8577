import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { dialDirectly, directAddress, nodeOptions } from './theirs.mjs'

/**
 * Helia upon js-libp2p, which is as without it, with all else as in ../theirs/helia.mjs.
 *
 * @param {import('../src/driver.mjs').JoinOptions} options
 */
async function createNode(options) {
  const node = await withBitswap(withLibp2pLight(createHeliaLight(), nodeOptions(options))).start()
  return { node, files: unixfs(node) }
}

/**
 * @implements {PageDriver}
 */
class HeliaDriver {
  /** @type {Awaited<ReturnType<typeof createNode>> | undefined} */
  #started

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join(options) {
    this.#started = await createNode(options)
    return directAddress(this.#started.node.libp2p)
  }

  /**
   * @param {string} to
   */
  async connect(to) {
    await dialDirectly(this.#running.node.libp2p, to)
  }

  /**
   * @param {Uint8Array} bytes
   */
  async add(bytes) {
    return (await this.#running.files.addBytes(bytes)).toString()
  }

  /**
   * Whoever is connected is asked.
   *
   * @param {string} cid
   */
  async fetch(cid) {
    const parts = []
    for await (const part of this.#running.files.cat(CID.parse(cid))) parts.push(part)
    return new Uint8Array(await new Blob(parts).arrayBuffer())
  }

  get #running() {
    if (this.#started === undefined) throw new Error('not joined')
    return this.#started
  }
}

export const create = () => new HeliaDriver()

/** @typedef {import('./page.mjs').PageDriver} PageDriver */
