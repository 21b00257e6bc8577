import { Incoming, head } from './bulk.mjs'

/** Bytes a message, as ours. */
const MESSAGE = 16 * 1024
/** The customary ones. */
const MARKS = { high: 1024 * 1024, low: 256 * 1024 }

/**
 * Two data channels of one connection and nothing else: what there is to gain. Its offer and answer go through the bench.
 *
 * @implements {PageDriver}
 */
class RawDriver {
  #peer = new RTCPeerConnection({ iceServers: [] })
  /** @type {RTCDataChannel | undefined} */
  #small
  /** @type {RTCDataChannel | undefined} */
  #bulk
  /** @type {(() => void)[]} */
  #echoes = []
  /** @type {(right: boolean) => void} */
  #answered = () => {}
  #marks = MARKS
  /** @type {Promise<unknown>} in the order in which they were told */
  #heard = Promise.resolve()

  constructor() {
    this.#peer.addEventListener('icecandidate', ({ candidate }) => signal({ candidate: candidate?.toJSON() }))
    this.#peer.addEventListener('datachannel', ({ channel }) => {
      if (channel.label === 'small') serveEchoes(channel)
      else serveBulk(channel)
    })
  }

  /**
   * @param {import('../src/driver.mjs').JoinOptions} options
   */
  async join({ marks = MARKS }) {
    this.#marks = marks
    return ''
  }

  async connect() {
    const small = this.#peer.createDataChannel('small')
    const bulk = this.#peer.createDataChannel('bulk')
    bulk.bufferedAmountLowThreshold = this.#marks.low
    small.addEventListener('message', () => this.#echoes.shift()?.())
    bulk.binaryType = 'arraybuffer'
    bulk.addEventListener('message', ({ data }) => this.#answered(new Uint8Array(data)[0] === 1))
    this.#small = small
    this.#bulk = bulk
    const open = Promise.all([small, bulk].map(channel => once(channel, 'open')))
    await this.#peer.setLocalDescription()
    signal({ description: this.#peer.localDescription?.toJSON() })
    await open
  }

  /**
   * @param {{ description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit }} told
   */
  async hear({ description, candidate }) {
    await (this.#heard = this.#heard.then(async () => {
      if (candidate) return this.#peer.addIceCandidate(candidate)
      if (description === undefined) return
      await this.#peer.setRemoteDescription(description)
      if (description.type !== 'offer') return
      await this.#peer.setLocalDescription()
      signal({ description: this.#peer.localDescription?.toJSON() })
    }))
  }

  /**
   * @param {string} _to
   * @param {Uint8Array} body
   * @returns {Promise<void>}
   */
  send(_to, body) {
    return new Promise(resolve => {
      this.#echoes.push(resolve)
      this.#small?.send(/** @type {Uint8Array<ArrayBuffer>} */ (body))
    })
  }

  /**
   * @param {string} _to
   * @param {Uint8Array<ArrayBuffer>} body
   */
  async transfer(_to, body) {
    const bulk = /** @type {RTCDataChannel} */ (this.#bulk)
    const answer = new Promise(resolve => {
      this.#answered = resolve
    })
    bulk.send(await head(body))
    for (let at = 0; at < body.length; at += MESSAGE) {
      bulk.send(body.subarray(at, at + MESSAGE))
      if (bulk.bufferedAmount >= this.#marks.high) await once(bulk, 'bufferedamountlow')
    }
    if (!(await answer)) throw new Error('the receiver found another hash')
  }
}

export const create = () => new RawDriver()

/**
 * @param {RTCDataChannel} channel
 */
function serveEchoes(channel) {
  channel.binaryType = 'arraybuffer'
  channel.addEventListener('message', ({ data }) => channel.send(data))
}

/**
 * @param {RTCDataChannel} channel
 */
function serveBulk(channel) {
  channel.binaryType = 'arraybuffer'
  let incoming = new Incoming()
  channel.addEventListener('message', async ({ data }) => {
    const whole = incoming
    if (!whole.add(new Uint8Array(data))) return
    incoming = new Incoming()
    channel.send(Uint8Array.of((await whole.right()) ? 1 : 0))
  })
}

/**
 * @param {object} told
 */
function signal(told) {
  /** @type {any} */ (globalThis).benchSignal(told)
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @returns {Promise<unknown>}
 */
function once(target, type) {
  return new Promise(resolve => target.addEventListener(type, resolve, { once: true }))
}

/** @typedef {import('./page.mjs').PageDriver} PageDriver */
