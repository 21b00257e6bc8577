import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError } from '../src/errors.js'
import { MAX_LAG, MAX_LAG_BYTES, Stream } from '../src/stream.js'
import { rejectsCode } from './tools.js'

const done = { done: true, value: undefined }

test('items pushed before and after next() arrive in order', async () => {
  const stream = new Stream<number>()
  stream.push(1)
  assert.deepEqual(await stream.next(), { done: false, value: 1 })
  const second = stream.next()
  const third = stream.next()
  stream.push(2)
  stream.push(3)
  assert.deepEqual([(await second).value, (await third).value], [2, 3])
})

test('leaving a for await ends the stream', async () => {
  let closed = 0
  const stream = new Stream<number>({ onClose: () => closed++ })
  stream.push(1)
  stream.push(2)
  for await (const item of stream) {
    assert.equal(item, 1)
    break
  }
  stream.push(3)
  assert.deepEqual(await stream.next(), done)
  await stream.return()
  assert.equal(closed, 1)
})

test('return() ends what waits in next()', async () => {
  const stream = new Stream<number>()
  const waiting = stream.next()
  assert.deepEqual(await stream.return(), done)
  assert.deepEqual(await waiting, done)
})

test('a signal ends the stream, also one that is aborted already', async () => {
  const controller = new AbortController()
  const stream = new Stream<number>({ signal: controller.signal })
  stream.push(1)
  const items = []
  for await (const item of stream) {
    items.push(item)
    controller.abort()
  }
  assert.deepEqual(items, [1])
  assert.deepEqual(await new Stream({ signal: AbortSignal.abort() }).next(), done)
})

test('the oldest are dropped, and the consumer is told how many before the next', async () => {
  const drops: number[] = []
  const stream = new Stream<number | string>({ onDrop: n => drops.push(n), lagged: n => `dropped ${n}` })
  for (let i = 0; i < MAX_LAG; i++) stream.push(i)
  assert.deepEqual(drops, [])
  stream.push(MAX_LAG)
  stream.push(MAX_LAG + 1)
  assert.deepEqual(drops, [1, 1])
  assert.equal((await stream.next()).value, 'dropped 2')
  assert.equal((await stream.next()).value, 2)
})

test('bytes are bounded too, but the newest always stays', async () => {
  const stream = new Stream<number>()
  stream.push(1, { bytes: MAX_LAG_BYTES })
  stream.push(2, { bytes: 1 })
  stream.push(3, { bytes: MAX_LAG_BYTES + 1 })
  assert.equal((await stream.next()).value, 3)
  stream.push(4, { bytes: MAX_LAG_BYTES })
  assert.equal((await stream.next()).value, 4)
})

function handovers() {
  const calls: string[] = []
  const handover = (name: string) => ({ pulled: () => calls.push(`${name} pulled`), unread: () => calls.push(`${name} unread`) })
  return { calls, handover }
}

test('what is handed over is never dropped, and told of once', async () => {
  const { calls, handover } = handovers()
  const stream = new Stream<number>()
  stream.push(-1, { handover: handover('first') })
  for (let i = 0; i < MAX_LAG + 5; i++) stream.push(i)
  assert.equal((await stream.next()).value, -1)
  assert.deepEqual(calls, ['first pulled'])
  assert.equal((await stream.next()).value, 5)
  stream.push(-2, { handover: handover('second') })
  await stream.return()
  stream.push(-3, { handover: handover('third') })
  assert.deepEqual(calls, ['first pulled', 'second unread', 'third unread'])
})

test('who waits in next() has the item at once', async () => {
  const { calls, handover } = handovers()
  const stream = new Stream<number>()
  const item = stream.next()
  stream.push(1, { handover: handover('it') })
  assert.deepEqual(calls, ['it pulled'])
  assert.equal((await item).value, 1)
})

test('after end() the rest can be read, except what was to be handed over', async () => {
  const { calls, handover } = handovers()
  const stream = new Stream<number>()
  stream.push(1)
  stream.push(2, { handover: handover('it') })
  stream.end()
  assert.deepEqual(await stream.next(), { done: false, value: 1 })
  assert.deepEqual(await stream.next(), done)
  assert.deepEqual(calls, [])
})

test('end() with an error rejects once, then the stream is done', async () => {
  const waiting = new Stream<number>()
  const item = waiting.next()
  waiting.end(new MeshError('internal', 'dead'))
  await rejectsCode('internal', /dead/, item)
  assert.deepEqual(await waiting.next(), done)

  const later = new Stream<number>()
  later.end(new MeshError('internal', 'dead'))
  await rejectsCode('internal', /dead/, later.next())
  assert.deepEqual(await later.next(), done)
})
