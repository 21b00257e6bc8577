import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from 'cborg'
import { MAX_BODY, MAX_DEPTH, decodeValue, encodeValue } from '../src/codec.js'
import { throwsCode } from './tools.js'

const roundTrip = (value: unknown) => decodeValue(encodeValue('payload', value, MAX_BODY), MAX_BODY)
const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'))

test('values arrive as they were sent', () => {
  const values = [
    null,
    true,
    'text ✓',
    0,
    -1,
    1.5,
    Number.MAX_SAFE_INTEGER,
    2n ** 64n - 1n,
    -(2n ** 64n),
    Infinity,
    new Uint8Array([1, 2, 3]),
    [],
    {},
    { b: [1, { c: new Uint8Array(0) }], a: null },
  ]
  for (const value of values) assert.deepEqual(roundTrip(value), value)
  assert.ok(Number.isNaN(roundTrip(NaN)))
})

test('what arrives in another form: undefined, maps, buffers, instances', () => {
  assert.equal(roundTrip(undefined), null)
  assert.deepEqual(roundTrip([undefined, , 1]), [null, null, 1])
  assert.deepEqual(roundTrip({ a: undefined, b: 1 }), { b: 1 })
  assert.deepEqual(roundTrip(new Map<string, unknown>([['k', undefined]])), { k: null })
  assert.deepEqual(roundTrip(new ArrayBuffer(2)), new Uint8Array(2))
  const buffer = roundTrip(Buffer.from('hi')) as Uint8Array
  assert.equal(buffer.constructor, Uint8Array)
  class Task {
    kind = 'digits'
  }
  assert.deepEqual(roundTrip(new Task()), { kind: 'digits' })
})

test('equal values have equal bytes', () => {
  assert.deepEqual(encodeValue('x', { b: 1, a: 2, aa: 3 }, MAX_BODY), encodeValue('x', { aa: 3, a: 2, b: 1 }, MAX_BODY))
})

const circle: { self?: unknown } = {}
circle.self = circle
const refused: [string, unknown, RegExp][] = [
  ['a date', { when: new Date(0) }, /payload\.when is a Date, .*getTime/],
  ['a set', [new Set()], /payload\[0\] is a Set, .*array/],
  ['a float array', new Float32Array(1), /payload is a Float32Array, .*new Uint8Array/],
  ['a function', { f: () => {} }, /payload\.f is a function/],
  ['a symbol', Symbol('x'), /payload is a symbol/],
  ['an error', new Error('x'), /payload is a Error/],
  ['a promise', Promise.resolve(), /payload is a Promise/],
  ['a circle', circle, /payload\.self refers back/],
  ['a map with other keys', new Map([[1, 2]]), /key that is no string/],
  ['a key __proto__', JSON.parse('{"__proto__": 1}'), /'__proto__'/],
  ['a key __proto__ in a map', new Map([['__proto__', 1]]), /'__proto__'/],
  ['a long bigint', 2n ** 64n, /more than 64 bits/],
]
for (const [what, value, message] of refused) {
  test(`${what} is refused by name of its place`, () => {
    throwsCode('invalid-argument', message, () => encodeValue('payload', value, MAX_BODY))
  })
}

test('the same object twice is no circle', () => {
  const shared = { x: 1 }
  assert.deepEqual(roundTrip([shared, shared]), [shared, shared])
})

test('size: at the limit and one past it', () => {
  const largest = new Uint8Array(MAX_BODY - 3)
  assert.equal(encodeValue('payload', largest, MAX_BODY).length, MAX_BODY)
  throwsCode('too-large', /61441 bytes as CBOR, at most 61440/, () => encodeValue('payload', new Uint8Array(MAX_BODY - 2), MAX_BODY))
  assert.throws(() => decodeValue(new Uint8Array(MAX_BODY + 1), MAX_BODY), /61441 bytes/)
})

test('depth: at the limit and one past it, in both directions', () => {
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
  assert.deepEqual(roundTrip(nested(MAX_DEPTH)), nested(MAX_DEPTH))
  throwsCode('invalid-argument', /deeper than 64/, () => encodeValue('payload', nested(MAX_DEPTH + 1), MAX_BODY))
  assert.throws(() => decodeValue(encode(nested(MAX_DEPTH + 1)), MAX_BODY), /deeper than 64/)
  assert.throws(() => decodeValue(new Uint8Array(MAX_BODY).fill(0x81), MAX_BODY), /deeper than 64/)
})

test('siblings do not count as depth', () => {
  const wide = Array.from({ length: 1000 }, () => [{ a: [] }])
  assert.deepEqual(roundTrip(wide), wide)
})

const undecodable: [string, string][] = [
  ['nothing', ''],
  ['a break', 'ff'],
  ['something after the value', '0000'],
  ['an array of fewer items than said', '8201'],
  ['an array of four billion items', '9affffffff01'],
  ['indefinite lengths', '9f01ff'],
  ['undefined', 'f7'],
  ['a tag', 'c100'],
  ['a number not in its shortest form', '1800'],
  ['a key twice', 'a2616101616102'],
  ['a key that is no text', 'a10101'],
  ['a key __proto__', 'a1695f5f70726f746f5f5fa0'],
  ['a key __proto__ further in', 'a26161a061628101'.replace('8101', 'a1695f5f70726f746f5f5f01')],
]
for (const [what, bytes] of undecodable) {
  test(`bytes with ${what} are no value`, () => {
    assert.throws(() => decodeValue(hex(bytes), MAX_BODY), Error)
  })
}

test('__proto__ as a text is only a text', () => {
  assert.deepEqual(roundTrip({ a: '__proto__', b: ['__proto__', '__proto__'] }), { a: '__proto__', b: ['__proto__', '__proto__'] })
})
