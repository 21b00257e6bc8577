import { createHash } from 'node:crypto'

/** @typedef {import('@libp2p/interface').Stream} Stream */

const PREFIX = 4
const HASH = 32
/** Bytes a write: of 16, 64, 256 and 1024 KiB the one with which 10 MB took the least time. */
const WRITE = 256 * 1024
/** Frames a write at most. */
const COALESCE = 500

/**
 * Calls `handler` with each length-prefixed frame.
 *
 * @param {Stream} stream
 * @param {(frame: Uint8Array) => void} handler
 */
export function readFrames(stream, handler) {
  let buffer = Buffer.alloc(0)
  stream.addEventListener('message', ({ data }) => {
    buffer = buffer.length === 0 ? Buffer.from(data.subarray()) : Buffer.concat([buffer, data.subarray()])
    let at = 0
    while (buffer.length - at >= PREFIX) {
      const end = at + PREFIX + buffer.readUInt32BE(at)
      if (end > buffer.length) break
      handler(buffer.subarray(at + PREFIX, end))
      at = end
    }
    buffer = buffer.subarray(at)
  })
}

/**
 * @param {Uint8Array} body
 * @returns {Uint8Array}
 */
export function frame(body) {
  const bytes = new Uint8Array(PREFIX + body.length)
  new DataView(bytes.buffer).setUint32(0, body.length)
  bytes.set(body, PREFIX)
  return bytes
}

/**
 * Writes frames in order, those that wait together in one write, and waits when the stream says its buffer is full. With a
 * write for each frame a burst takes ten times as long.
 */
export class FrameWriter {
  #stream
  /** @type {Uint8Array[]} */
  #queue = []
  /** @type {Promise<void> | undefined} */
  #running

  /**
   * @param {Stream} stream
   */
  constructor(stream) {
    this.#stream = stream
  }

  /**
   * @param {Uint8Array} body
   * @returns {Promise<void>} resolves when the queue is written
   */
  write(body) {
    this.#queue.push(frame(body))
    this.#running ??= this.#run()
    return this.#running
  }

  async #run() {
    try {
      await undefined
      while (this.#queue.length > 0) {
        const together = Buffer.concat(this.#queue.splice(0, COALESCE))
        if (!this.#stream.send(together)) await this.#stream.onDrain()
      }
    } finally {
      this.#running = undefined
    }
  }
}

/**
 * Length and SHA-256, then the bytes; resolves with the receiver's one-byte answer that the hash is right.
 *
 * @param {Stream} stream fresh
 * @param {Uint8Array} body
 */
export async function sendBulk(stream, body) {
  const answer = new Promise((resolve, reject) => {
    stream.addEventListener('message', ({ data }) => resolve(data.subarray()[0]), { once: true })
    stream.addEventListener('close', ({ error }) => reject(error ?? new Error('closed before the answer')), {
      once: true,
    })
  })
  answer.catch(() => {})
  const head = new Uint8Array(PREFIX + HASH)
  new DataView(head.buffer).setUint32(0, body.length)
  head.set(createHash('sha256').update(body).digest(), PREFIX)
  if (!stream.send(head)) await stream.onDrain()
  for (let at = 0; at < body.length; at += WRITE) {
    if (!stream.send(body.subarray(at, at + WRITE))) await stream.onDrain()
  }
  if ((await answer) !== 1) throw new Error('the receiver found another hash')
  await stream.close()
}

/**
 * The other end of `sendBulk`: keeps all bytes in one buffer, hashing them as they come.
 *
 * @param {Stream} stream
 */
export async function receiveBulk(stream) {
  const head = Buffer.alloc(PREFIX + HASH)
  let headLength = 0
  let body = Buffer.alloc(0)
  let length = 0
  const hash = createHash('sha256')
  for await (const data of stream) {
    let chunk = Buffer.from(data.subarray())
    if (headLength < head.length) {
      const taken = chunk.copy(head, headLength)
      headLength += taken
      chunk = chunk.subarray(taken)
      if (headLength === head.length) body = Buffer.allocUnsafe(head.readUInt32BE(0))
    }
    hash.update(chunk)
    length += chunk.copy(body, length)
    if (headLength === head.length && length === body.length) break
  }
  stream.send(Uint8Array.of(hash.digest().equals(head.subarray(PREFIX)) ? 1 : 0))
  await stream.close()
}
