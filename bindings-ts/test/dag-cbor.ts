import assert from 'node:assert/strict'
import { Tagged, decode, encode } from 'cborg'

const OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true,
  // Keeps the keys' order out of the hands of JavaScript objects, which sort those that look like numbers.
  useMaps: true,
}

/** A test vector: a name, the bytes in hex, and what they stand for. */
export interface Vector {
  name: string
  hex: string
}

/**
 * Decodes DAG-CBOR strictly: it must be the one encoding of its value. Maps come as `Map`, bytes as `Uint8Array`.
 */
export function decodeDagCbor(hex: string): unknown {
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  assert.equal(bytes.length * 2, hex.length, 'not hex')
  const tags = { 42: Tagged.decoder(42) }
  const value = decode(bytes, { ...OPTIONS, tags })
  assert.deepEqual(encode(value, { float64: true }), bytes, 'not the canonical encoding')
  return value
}
