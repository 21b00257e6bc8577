/** A body that only finds out whether the way is open. */
export const PROBE = 0
/** A body that counts. */
export const COUNTED = 1

/** What WebCrypto gives at once. */
const MAX_RANDOM = 65_536

/**
 * In Node.js and in pages alike.
 *
 * @param {number} size bytes
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function randomBody(size) {
  const body = new Uint8Array(size)
  for (let at = 0; at < size; at += MAX_RANDOM) crypto.getRandomValues(body.subarray(at, at + MAX_RANDOM))
  return body
}

/**
 * @param {number} size bytes, at least 5
 * @param {number} kind PROBE or COUNTED
 * @param {number} sequence
 * @returns {Uint8Array}
 */
export function makeBody(size, kind, sequence) {
  const body = randomBody(size)
  body[0] = kind
  new DataView(body.buffer).setUint32(1, sequence)
  return body
}

/**
 * @param {Uint8Array} body
 */
export function readBody(body) {
  return { kind: body[0], sequence: new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(1) }
}
