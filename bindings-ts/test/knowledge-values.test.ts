import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeValue } from '../src/codec.js'
import { fromContent, toContent } from '../src/knowledge-values.js'
import { throwsCode } from './tools.js'

const back = (value: unknown) => fromContent(toContent(value, undefined))
const utf8 = (text: string) => new TextEncoder().encode(text)

test('values come back as they were', () => {
  const cbor = [null, true, 0, -1.5, 2n ** 64n - 1n, [], {}, [1, [2]], { a: { b: new Uint8Array([1]) } }]
  for (const value of ['', 'grüße 👋', '\ufeffmark', new Uint8Array(), new Uint8Array([0, 255]), ...cbor]) assert.deepEqual(back(value), value)
  const arrays = [
    ...[new Int8Array([-1]), new Uint8ClampedArray([255]), new Int16Array([-2]), new Uint16Array([65535]), new Int32Array([-3])],
    ...[new Uint32Array([4e9]), new Float32Array([0.5, NaN]), new Float64Array([0.1]), new BigInt64Array([-1n]), new BigUint64Array([2n ** 63n])],
  ]
  for (const array of arrays) assert.deepEqual(back(array), array)
  assert.deepEqual(back(Buffer.from('hi')), Buffer.from('hi'))
  assert.deepEqual(back(utf8('hi').buffer), utf8('hi'))
})

test('bytes and texts are kept as they are, numbers as little-endian ones, the rest as CBOR', () => {
  const bytes = new Uint8Array([1, 2])
  assert.equal(toContent(bytes, undefined).bytes, bytes)
  assert.deepEqual(toContent('hé', undefined), { type: 'text', bytes: utf8('hé') })
  assert.deepEqual(toContent(new Uint16Array([0x0102, 3]), undefined), { type: 'u16', bytes: new Uint8Array([2, 1, 3, 0]) })
  assert.deepEqual(toContent(new Float32Array([1]), undefined), { type: 'f32', bytes: new Uint8Array([0, 0, 128, 63]) })
  assert.deepEqual(toContent({ b: 1, a: undefined }, undefined), { type: 'cbor', bytes: encodeValue('', { b: 1 }, 99) })
  assert.deepEqual(toContent(null, undefined), { type: 'cbor', bytes: new Uint8Array([0xf6]) })
})

test('numbers are a copy, of a part of a buffer as of the whole', () => {
  const part = new Float64Array(new ArrayBuffer(32), 8, 2).fill(1.5)
  const { type, bytes } = toContent(part, undefined)
  assert.deepEqual([type, bytes.length], ['f64', 16])
  const shifted = new Uint8Array(17)
  shifted.set(bytes, 1)
  const got = fromContent({ type, bytes: shifted.subarray(1) }) as Float64Array
  part.fill(0)
  assert.deepEqual(got, new Float64Array([1.5, 1.5]))
})

test('a MIME type is for bytes, and they come back as bytes', () => {
  assert.deepEqual(toContent(new Uint8Array([1]), 'image/png'), { type: 'image/png', bytes: new Uint8Array([1]) })
  assert.equal(toContent(new ArrayBuffer(1), `a/${'b'.repeat(62)}`).type.length, 64)
  for (const type of ['image/png', '', 'what comes later']) {
    assert.deepEqual(fromContent({ type, bytes: new Uint8Array([7]) }), new Uint8Array([7]))
  }
  for (const type of ['f32', 'png', '/', 'a/', '/b', 'a b/c', '', 1, null]) {
    throwsCode('invalid-argument', /type must/, () => toContent(new Uint8Array(), type))
  }
  throwsCode('invalid-argument', /type has 65 bytes/, () => toContent(new Uint8Array(), `a/${'b'.repeat(63)}`))
  for (const value of ['text', {}, new Float32Array()]) throwsCode('invalid-argument', /type is for bytes/, () => toContent(value, 'image/png'))
})

test('what cannot be kept is refused', () => {
  throwsCode('invalid-argument', /value is undefined/, () => toContent(undefined, undefined))
  throwsCode('invalid-argument', /half of a surrogate pair/, () => toContent('a\ud83d', undefined))
  throwsCode('invalid-argument', /the value\.at is a Date/, () => toContent({ at: new Date() }, undefined))
  throwsCode('invalid-argument', /the value is a DataView/, () => toContent(new DataView(new ArrayBuffer(1)), undefined))
  throwsCode('too-large', /the value has 67108\d+ bytes/, () => toContent([new Uint8Array(64 * 1024 * 1024)], undefined))
})

test('what is not of its type is told', () => {
  const not = (type: string, ...bytes: number[]) =>
    throwsCode('integrity', new RegExp(`not the ${type} that`), () => fromContent({ type, bytes: new Uint8Array(bytes) }))
  not('text', 0xff)
  not('cbor')
  not('cbor', 0xff)
  not('cbor', 0x01, 0x01)
  not('f32', 1, 2, 3)
  not('i64', ...Array(9).fill(0))
})
