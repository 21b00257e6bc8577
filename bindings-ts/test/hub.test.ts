import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError } from '../src/errors.js'
import type { MeshEvent } from '../src/events.js'
import { EventHub } from '../src/hub.js'
import { MAX_LAG } from '../src/stream.js'
import { rejectsCode, turn } from './tools.js'

const suspected = (peerId: string): MeshEvent => ({ type: 'peer-suspected', peerId })

test('listeners are called in order; off, once and the returned function take them away', () => {
  const hub = new EventHub()
  const calls: string[] = []
  const a = ({ peerId }: { peerId: string }) => calls.push(`a ${peerId}`)
  hub.on('peer-suspected', a)
  const stop = hub.on('peer-suspected', ({ peerId }) => calls.push(`b ${peerId}`))
  hub.once('peer-suspected', ({ peerId }) => calls.push(`c ${peerId}`))
  hub.emit(suspected('1'))
  stop()
  hub.emit(suspected('2'))
  hub.off('peer-suspected', a)
  hub.off('peer-suspected', a)
  hub.emit(suspected('3'))
  assert.deepEqual(calls, ['a 1', 'b 1', 'c 1', 'a 2'])
})

test('the same listener twice is called twice, and taken away once', () => {
  const hub = new EventHub()
  let calls = 0
  const listener = () => calls++
  hub.on('joined', listener)
  hub.on('joined', listener)
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  hub.off('joined', listener)
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  assert.equal(calls, 3)
})

test('a listener that throws or rejects becomes an error event, and the others are called', async () => {
  const hub = new EventHub()
  const errors: unknown[] = []
  let called = false
  hub.on('error', ({ error }) => errors.push(error))
  hub.on('joined', () => {
    throw new Error('sync')
  })
  hub.on('joined', async () => {
    throw new Error('async')
  })
  hub.on('joined', () => {
    called = true
  })
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  assert.ok(called)
  await turn()
  assert.deepEqual(errors.map(String), ['Error: sync', 'Error: async'])
})

test('without a listener for error, and from one that throws itself, the exception is uncaught', async t => {
  const uncaught: string[] = []
  const g = globalThis as { reportError?: (error: unknown) => void }
  const before = g.reportError
  t.after(() => (before ? (g.reportError = before) : delete g.reportError))
  g.reportError = error => uncaught.push(String(error))
  const hub = new EventHub()
  hub.on('joined', () => {
    throw new Error('first')
  })
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  hub.on('error', () => {
    throw new Error('second')
  })
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  assert.deepEqual(uncaught, ['Error: first', 'Error: second'])
})

test('a listener must be a function', () => {
  assert.throws(() => new EventHub().on('joined', undefined as never), MeshError)
})

test('streams get what they accept, from when they were made', async () => {
  const hub = new EventHub()
  hub.emit(suspected('0'))
  const all = hub.stream(undefined)
  const some = hub.stream('peer-suspected', { accepts: ({ peerId }) => peerId !== '1' })
  hub.emit(suspected('1'))
  hub.emit({ type: 'joined', peerId: 'x', agents: 1 })
  hub.emit(suspected('2'))
  assert.deepEqual(await some.next(), { done: false, value: suspected('2') })
  const types = []
  for (let i = 0; i < 3; i++) types.push((await all.next()).value?.type)
  assert.deepEqual(types, ['peer-suspected', 'joined', 'peer-suspected'])
})

test('a stream with an aborted signal is done', async () => {
  const stream = new EventHub().stream(undefined, { signal: AbortSignal.abort() })
  assert.equal((await stream.next()).done, true)
})

test('a lagging stream is told, and so are listeners, once per burst', async () => {
  const hub = new EventHub()
  const told: MeshEvent<'lagged'>[] = []
  hub.on('lagged', event => told.push(event))
  const stream = hub.stream(undefined)
  for (let i = 0; i < MAX_LAG + 10; i++) hub.emit(suspected(String(i)))
  await turn()
  assert.deepEqual(told, [{ type: 'lagged', dropped: 10, buffer: 'stream' }])
  assert.deepEqual((await stream.next()).value, { type: 'lagged', dropped: 10, buffer: 'stream' })
  assert.deepEqual((await stream.next()).value, suspected('10'))
  await turn()
  assert.equal(told.length, 1)
})

test('end tells closed and ends streams, listeners stay', async () => {
  const hub = new EventHub()
  const closed: unknown[] = []
  hub.on('closed', ({ error }) => closed.push(error?.code))
  const stream = hub.stream(undefined)
  hub.end()
  assert.deepEqual((await stream.next()).value, { type: 'closed' })
  assert.equal((await stream.next()).done, true)
  const dead = hub.stream('broadcast')
  hub.end(new MeshError('internal', 'dead'))
  await rejectsCode('internal', /dead/, dead.next())
  assert.deepEqual(closed, [undefined, 'internal'])
})
