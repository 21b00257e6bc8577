import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeDagCbor } from './dag-cbor.js'

test('canonical bytes are decoded', () => {
  const map = new Map<string, unknown>([
    ['b', new Uint8Array([1])],
    ['aa', [1.5, null, -1]],
  ])
  assert.deepEqual(decodeDagCbor('a261624101626161' + '83fb3ff8000000000000f620'), map)
})

test('other encodings of the same value are not', () => {
  assert.throws(() => decodeDagCbor('a2626161016162' + '02'), /canonical/) // keys in another order
  assert.throws(() => decodeDagCbor('f93e00'), /canonical/) // a short float
  assert.throws(() => decodeDagCbor('1801')) // a long integer
  assert.throws(() => decodeDagCbor('9f01ff')) // an indefinite length
})
