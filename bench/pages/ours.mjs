import { joinMesh } from 'neural-mesh'
import { PROBE, makeBody } from '../src/bodies.mjs'
import { sleep } from '../src/clock.mjs'
import { voting } from '../src/voting.mjs'

const TIMEOUT_MS = 60_000
const ATTEMPT_MS = 3000
const PAUSE_MS = 5

/**
 * @implements {PageDriver}
 */
class MeshDriver {
  /** @type {import('neural-mesh').Mesh | undefined} */
  #mesh

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join({ relay, name, voter }) {
    const { charter, identity } = voter ?? {}
    const mesh = await joinMesh(charter ? new Uint8Array(charter) : 'bench', {
      ...(identity && { identity: new Uint8Array(identity), store: 'bench' }),
      relays: relay,
      agent: { id: name, capabilities: ['bench'] },
      webrtc: { iceServers: [] },
    })
    this.#mesh = mesh
    mesh.on('message', () => {})
    mesh.weights.onWeights(() => {})
    return `${name}@${mesh.peerId}`
  }

  /**
   * @param {string} to
   */
  async connect(to) {
    const peer = to.slice(to.lastIndexOf('@') + 1)
    /** @type {Promise<void>} */
    const direct = new Promise(resolve => {
      for (const type of /** @type {const} */ (['peer-connected', 'path-changed'])) {
        this.mesh.on(type, ({ peerId, relayed }) => {
          if (peerId === peer && !relayed) resolve()
        })
      }
    })
    const { links } = await this.mesh.health.topology()
    if (!links.some(({ peerId, relayed }) => peerId === peer && !relayed)) await direct
  }

  /**
   * Joining does not wait for others: the first message is tried until the receiver is known and reached.
   *
   * @param {string} to
   */
  async reach(to) {
    const end = performance.now() + TIMEOUT_MS
    for (;;) {
      try {
        await this.mesh.messages.send(to, makeBody(100, PROBE, 0), { timeoutMs: ATTEMPT_MS })
        return
      } catch (error) {
        if (performance.now() > end) throw error
        await sleep(PAUSE_MS)
      }
    }
  }

  /**
   * @param {string} to
   * @param {Uint8Array} body
   */
  async send(to, body) {
    await this.mesh.messages.send(to, body, { timeoutMs: TIMEOUT_MS })
  }

  /**
   * @param {string} to
   * @param {Uint8Array<ArrayBuffer>} body
   */
  async transfer(to, body) {
    await this.mesh.weights.share(to, { agentId: to, data: body, format: 'bytes' }, { compression: 'none' })
  }

  /**
   * @param {Uint8Array} bytes
   */
  async add(bytes) {
    return (await this.mesh.knowledge.addFile(bytes)).cid
  }

  /**
   * @param {string} cid
   */
  async fetch(cid) {
    return this.mesh.knowledge.readFile(cid)
  }

  get mesh() {
    if (this.#mesh === undefined) throw new Error('not joined')
    return this.#mesh
  }
}

export function create() {
  const driver = new MeshDriver()
  return Object.assign(driver, voting(() => driver.mesh))
}

/** @typedef {import('./page.mjs').PageDriver} PageDriver */
