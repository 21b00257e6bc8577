import { joinMesh } from 'neural-mesh'
import { PROBE, makeBody } from '../src/bodies.mjs'
import { commands } from '../src/commands.mjs'
import { now, sleep } from '../src/clock.mjs'
import { serve } from '../src/serve.mjs'
import { voting } from '../src/voting.mjs'

/** @typedef {import('../src/driver.mjs').Driver} Driver */

const TOPIC = 'bench'
const LISTEN = '/ip4/127.0.0.1/tcp/0/ws'
const MESH = 'bench'
const TIMEOUT_MS = 60_000
const CONNECT_MS = 15_000
const ATTEMPT_MS = 3000
const PAUSE_MS = 20

/**
 * @implements {Driver}
 */
class MeshDriver {
  /** @type {import('neural-mesh').Mesh | undefined} */
  #mesh
  #drops = 0
  /** @type {(body: Uint8Array) => void} */
  #onMessage = () => {}
  /** @type {(body: Uint8Array) => void} */
  #onBroadcast = () => {}

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join({ relay, name, voter, listen }) {
    const { charter, identity, store } = voter ?? {}
    const mesh = await joinMesh(charter ? new Uint8Array(charter) : MESH, {
      relays: relay,
      agent: { id: name, capabilities: ['bench'] },
      ...(listen && { listen: LISTEN, webrtc: false }),
      ...(identity && { identity: new Uint8Array(identity), store }),
    })
    this.#mesh = mesh
    mesh.on('message', ({ payload }) => {
      if (payload instanceof Uint8Array) this.#onMessage(payload)
    })
    mesh.on('broadcast', ({ topic, payload }) => {
      if (topic === TOPIC && payload instanceof Uint8Array) this.#onBroadcast(payload)
    })
    for (const lost of /** @type {const} */ (['peer-disconnected', 'relay-disconnected'])) {
      mesh.on(lost, () => this.#drops++)
    }
    mesh.weights.onWeights(() => {})
    return `${name}@${mesh.peerId}`
  }

  /**
   * Joining does not wait for others: the first message is tried until the receiver is known and reached.
   *
   * @param {string} to
   */
  async connect(to) {
    const end = now() + CONNECT_MS
    for (;;) {
      try {
        await this.mesh.messages.send(to, makeBody(5, PROBE, 0), { timeoutMs: ATTEMPT_MS })
        return
      } catch (error) {
        if (now() > end) throw error
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
   * @param {Uint8Array} body
   */
  async transfer(to, body) {
    await this.mesh.weights.share(to, { agentId: to, data: body, format: 'bytes' }, { compression: 'none' })
  }

  /**
   * @param {Uint8Array} body
   */
  async publish(body) {
    await this.mesh.broadcast(body, { topic: TOPIC })
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

  /**
   * @param {Uint8Array} bytes
   */
  async add(bytes) {
    return (await this.mesh.knowledge.addFile(bytes)).cid
  }

  /**
   * Whoever is connected is asked.
   *
   * @param {string} cid
   */
  async fetch(cid) {
    return this.mesh.knowledge.readFile(cid)
  }

  drops() {
    return this.#drops
  }

  /**
   * @param {string[]} names
   */
  async announce(names) {
    for (const id of names) await this.mesh.agents.announce({ id, capabilities: ['bench'] })
  }

  async known() {
    return (await this.mesh.agents.list()).filter(({ local }) => !local).length
  }

  get mesh() {
    if (this.#mesh === undefined) throw new Error('not joined')
    return this.#mesh
  }
}

const driver = new MeshDriver()
serve(commands(Object.assign(driver, voting(() => driver.mesh))))
