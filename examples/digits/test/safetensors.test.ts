import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_HEADER, readSafetensors, SafetensorsError, writeSafetensors } from '../src/safetensors.js'

test('what is written is read back, bit for bit', () => {
  const tensors = new Map([
    ['matrix', { shape: [2, 3], data: Float32Array.of(1, -2, 0.1, -0, 3.4e38, 1e-45) }],
    ['scalar', { shape: [], data: Float32Array.of(7) }],
    ['empty', { shape: [0, 4], data: new Float32Array(0) }],
    ['größe', { shape: [1], data: Float32Array.of(Math.PI) }]
  ])
  const file = readSafetensors(writeSafetensors({ tensors, metadata: { note: 'für Ben' } }))
  assert.deepEqual(file.metadata, { note: 'für Ben' })
  assert.deepEqual([...file.tensors.keys()], [...tensors.keys()])
  for (const [name, { shape, data }] of tensors) {
    assert.deepEqual(file.tensors.get(name)?.shape, shape)
    assert.deepEqual(bits(file.tensors.get(name)!.data), bits(data))
  }
})

test('the bytes are those of the format', () => {
  const bytes = writeSafetensors({ tensors: new Map([['ab', { shape: [2], data: Float32Array.of(1, -2) }]]), metadata: {} })
  const header = '{"__metadata__":{},"ab":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.padEnd(80)
  assert.equal(Buffer.from(bytes).toString('latin1'), '\x50\0\0\0\0\0\0\0' + header + '\0\0\x80\x3f' + '\0\0\0\xc0')
})

test('tensors may stand in any order in the header, and the bytes anywhere in memory', () => {
  const bytes = file({ b: entry([1], 4, 8), a: entry([1], 0, 4) }, 8)
  const shifted = new Uint8Array(bytes.length + 3)
  shifted.set(bytes, 3)
  assert.deepEqual([...readSafetensors(shifted.subarray(3)).tensors.keys()], ['b', 'a'])
})

test('values that do not fill their shape are not written', () => {
  assert.throws(() => writeSafetensors({ tensors: new Map([['w', { shape: [3], data: new Float32Array(2) }]]), metadata: {} }), SafetensorsError)
  assert.throws(() => writeSafetensors({ tensors: new Map([['__metadata__', { shape: [0], data: new Float32Array(0) }]]), metadata: {} }), SafetensorsError)
})

const refused: [string, Uint8Array, RegExp][] = [
  ['nothing', new Uint8Array(0), /too few/],
  ['half a length', new Uint8Array(7), /too few/],
  ['a header longer than the file', prefixed(3n, '{}'), /does not fit/],
  ['a header of 2^64 - 1 bytes', prefixed(2n ** 64n - 1n, '{}'), /over the limit/],
  ['a header one byte over the limit', prefixed(BigInt(MAX_HEADER) + 1n, '{}'.padEnd(MAX_HEADER + 1)), /over the limit/],
  ['an empty header', prefixed(0n, ''), /not JSON/],
  ['a header that is not JSON', prefixed(5n, '{"a":'), /not JSON/],
  ['a header that is not UTF-8', Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xff, 0x22), /not JSON/],
  ['a header that is a list', prefixed(2n, '[]'), /not a JSON object/],
  ['a header that is null', prefixed(4n, 'null'), /not a JSON object/],
  ['metadata that are not strings', file({ __metadata__: { n: 1 } }, 0), /names to strings/],
  ['an entry that is null', file({ w: null }, 0), /dtype/],
  ['another dtype', file({ w: { ...entry([1], 0, 4), dtype: 'F16' } }, 4), /only "F32"/],
  ['a negative dimension', file({ w: entry([-1], 0, 4) }, 4), /shape/],
  ['a fractional dimension', file({ w: entry([0.5], 0, 2) }, 2), /shape/],
  ['a dimension past exact integers', file({ w: entry([2 ** 53], 0, 4) }, 4), /shape/],
  ['a product past exact integers', file({ w: entry([2 ** 52, 2 ** 52, 2 ** 52], 0, 4) }, 4), /do not fill/],
  ['no shape', file({ w: { dtype: 'F32', data_offsets: [0, 4] } }, 4), /shape/],
  ['one offset', file({ w: { ...entry([1], 0, 4), data_offsets: [4] } }, 4), /data_offsets/],
  ['a negative offset', file({ w: entry([1], -4, 0) }, 4), /data_offsets/],
  ['offsets the wrong way round', file({ w: entry([1], 4, 0) }, 4), /outside/],
  ['an end past the values', file({ w: entry([2], 0, 8) }, 7), /outside/],
  ['offsets far past the values', file({ w: entry([1], 2 ** 40, 2 ** 40 + 4) }, 4), /outside/],
  ['fewer values than the shape says', file({ w: entry([3], 0, 8) }, 8), /do not fill/],
  ['overlapping tensors', file({ a: entry([2], 0, 8), b: entry([2], 4, 12) }, 12), /begins at 4 instead of 8/],
  ['a gap between tensors', file({ a: entry([1], 0, 4), b: entry([1], 8, 12) }, 12), /begins at 8 instead of 4/],
  ['values that belong to nobody', file({ a: entry([1], 0, 4) }, 8), /belong to no tensor/]
]

for (const [what, bytes, message] of refused) {
  test(`refused: ${what}`, () => {
    assert.throws(() => readSafetensors(bytes), (error: unknown) => error instanceof SafetensorsError && message.test(error.message))
  })
}

test('a header of exactly the limit is read', () => {
  assert.equal(readSafetensors(prefixed(BigInt(MAX_HEADER), '{}'.padEnd(MAX_HEADER))).tensors.size, 0)
})

test('every truncation of a good file is refused', () => {
  const bytes = file({ w: entry([2], 0, 8) }, 8)
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => readSafetensors(bytes.subarray(0, length)), SafetensorsError, `${length} bytes`)
  }
})

function entry (shape: number[], begin: number, end: number): object {
  return { dtype: 'F32', shape, data_offsets: [begin, end] }
}

function file (header: object, values: number): Uint8Array {
  const json = JSON.stringify(header)
  return prefixed(BigInt(json.length), json, values)
}

function prefixed (length: bigint, header: string, values = 0): Uint8Array {
  const bytes = Buffer.alloc(8 + header.length + values)
  bytes.writeBigUInt64LE(length)
  bytes.write(header, 8)
  return bytes
}

function bits (data: Float32Array): number[] {
  return [...new Uint32Array(data.buffer, data.byteOffset, data.length)]
}
