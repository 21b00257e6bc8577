import assert from 'node:assert/strict'
import { Tagged, decode, encode, type DecodeOptions } from 'cborg'

const OPTIONS: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true,
  // Keeps the keys' order out of the hands of JavaScript objects, which sort those that look like numbers.
  useMaps: true,
}

/** Decodes DAG-CBOR in hex strictly: it must be the one encoding of its value. See {@link decodeCanonical}. */
export function decodeDagCbor(hex: string): unknown {
  const bytes = fromHex(hex)
  assert.equal(bytes.length * 2, hex.length, 'not hex')
  return decodeCanonical(bytes)
}

/** The value of these bytes, which must be its one encoding. Maps come as `Map`, bytes as `Uint8Array`. */
export function decodeCanonical(bytes: Uint8Array): unknown {
  const tags = { 42: Tagged.decoder(42) }
  const value = decode(bytes, { ...OPTIONS, tags })
  assert.deepEqual(encodeCanonical(value), bytes, 'not the canonical encoding')
  return value
}

/** The one encoding of a value. */
export function encodeCanonical(value: unknown): Uint8Array {
  return Uint8Array.from(encode(value, { float64: true }))
}

/** What stands for a CID: its bytes behind a zero, with a tag. */
function cid(bytes: Uint8Array): Tagged {
  return new Tagged(42, Uint8Array.from([0, ...bytes]))
}

/** The value that JSON stands for in a test vector; see tests/vectors/README.md. */
export function fromVector(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) return json.map(fromVector)
  if ('/bytes' in json) return fromHex(json['/bytes'] as string)
  if ('/int' in json) return BigInt(json['/int'] as string)
  if ('/cid' in json) return cid(fromHex(json['/cid'] as string))
  return new Map(Object.entries(json).map(([key, value]) => [key, fromVector(value)]))
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
