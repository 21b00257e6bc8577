import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { gunzip, gzip, sha256 } from '../src/compress.js'
import { rejectsCode } from './tools.js'

const bytes = (buffer: Buffer) => new Uint8Array(buffer)
const random = bytes(randomBytes(300_000))

test('gzip is what others read, and gunzip reads what others write', async () => {
  for (const data of [new Uint8Array(0), new Uint8Array(1_000_000), random]) {
    assert.deepEqual(bytes(gunzipSync(await gzip(data))), data)
    assert.deepEqual(await gunzip(bytes(gzipSync(data)), data.length), data)
  }
})

test('a bomb is stopped: more bytes than announced', async () => {
  const bomb = bytes(gzipSync(Buffer.alloc(50_000_000)))
  const before = process.memoryUsage().arrayBuffers
  await rejectsCode('integrity', /more than the 1000 bytes announced/, gunzip(bomb, 1000))
  assert.ok(process.memoryUsage().arrayBuffers - before < 10_000_000)
})

test('a claim that no gzip could keep is refused before anything is allocated', async () => {
  await rejectsCode('integrity', /cannot hold/, gunzip(new Uint8Array(100), 200_000))
})

test('one byte more or less than announced is refused', async () => {
  const data = gzipSync(random)
  await rejectsCode('integrity', /more than/, gunzip(bytes(data), random.length - 1))
  await rejectsCode('integrity', /are 300000 bytes and not the 300001/, gunzip(bytes(data), random.length + 1))
})

test('what is not gzip, or not all of it, is refused', async () => {
  const data = bytes(gzipSync(random))
  await rejectsCode('integrity', /not gzip/, gunzip(random, 1000))
  await rejectsCode('integrity', /damaged/, gunzip(data.slice(0, data.length - 1000), random.length))
  const flipped = data.slice()
  flipped[data.length >> 1]! ^= 1
  flipped[data.length - 6]! ^= 1
  await rejectsCode('integrity', /damaged/, gunzip(flipped, random.length))
  await rejectsCode('integrity', /damaged/, gunzip(new Uint8Array(0), 10))
})

test('compressing can be aborted', async () => {
  await assert.rejects(gzip(new Uint8Array(1000), AbortSignal.abort(new Error('enough'))), /enough/)
})

test('sha256 is that of others', async () => {
  assert.equal(await sha256(random), createHash('sha256').update(random).digest('hex'))
})
