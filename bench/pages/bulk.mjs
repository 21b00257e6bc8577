/** Length and SHA-256 of what is to come. */
const LENGTH = 4
const HEAD = LENGTH + 32

/**
 * What is sent before the bytes. Hashing is inside of what is measured, as it is for weights.
 *
 * @param {Uint8Array<ArrayBuffer>} body
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function head(body) {
  const bytes = new Uint8Array(HEAD)
  new DataView(bytes.buffer).setUint32(0, body.length)
  bytes.set(await sha256(body), LENGTH)
  return bytes
}

/**
 * The bytes of one transfer as they come in, cut anywhere, head first.
 */
export class Incoming {
  #head = new Uint8Array(HEAD)
  #headLength = 0
  #body = new Uint8Array(0)
  #length = 0

  /**
   * @param {Uint8Array} bytes
   * @returns {boolean} whether all are here
   */
  add(bytes) {
    const taken = Math.min(HEAD - this.#headLength, bytes.length)
    if (taken > 0) {
      this.#head.set(bytes.subarray(0, taken), this.#headLength)
      this.#headLength += taken
      if (this.#headLength < HEAD) return false
      this.#body = new Uint8Array(new DataView(this.#head.buffer).getUint32(0))
    }
    this.#body.set(bytes.subarray(taken), this.#length)
    this.#length += bytes.length - taken
    return this.#length === this.#body.length
  }

  /**
   * @returns {Promise<boolean>} whether they are what was announced
   */
  async right() {
    const digest = await sha256(this.#body)
    return digest.every((byte, i) => byte === this.#head[LENGTH + i])
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}
