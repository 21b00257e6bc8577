import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeshEvent as CoreEvent } from '../src/generated/mesh_wasm.js'
import { MAX_BODY, encodeValue } from '../src/codec.js'
import type { MeshEvent } from '../src/events.js'
import { MAX_UNREAD } from '../src/mailbox.js'
import { fakeMesh } from './fake-node.js'
import { turn } from './tools.js'

const body = (value: unknown) => encodeValue('payload', value, MAX_BODY)
const message = (receipt: number, value: unknown = receipt): CoreEvent => {
  return { type: 'message', id: `m${receipt}`, from: 'ada@x', to: 'bob', body: body(value), receipt }
}

test('messages: decoded, delivered, acknowledged once', async () => {
  const { node, mesh } = fakeMesh()
  const heard: unknown[] = []
  mesh.on('message', event => heard.push(event))
  node.push(message(7, { hello: 'bob' }))
  await turn()
  assert.deepEqual(heard, [{ type: 'message', id: 'm7', from: 'ada@x', to: 'bob', payload: { hello: 'bob' } }])
  assert.deepEqual(node.receipts, [7])
})

test('broadcasts: decoded; subscribe takes those of its topic', async () => {
  const { node, mesh } = fakeMesh()
  const training = mesh.swarm.subscribe({ topic: 'training' })
  const all = mesh.swarm.subscribe()
  const event = (topic: string): CoreEvent => ({ type: 'broadcast', id: 'b', from: 'x', topic, body: body(topic), sentAt: 5 })
  node.push(event(''), event('training'))
  assert.deepEqual((await training.next()).value, { type: 'broadcast', id: 'b', from: 'x', topic: 'training', payload: 'training', sentAt: 5 })
  assert.equal((await all.next()).value?.payload, '')
  assert.equal((await all.next()).value?.payload, 'training')
})

test('bytes that are no value are told of, acknowledged, and not delivered', async () => {
  const { node, mesh } = fakeMesh()
  const heard: unknown[] = []
  const told: MeshEvent<'undecodable'>[] = []
  mesh.on('message', event => heard.push(event))
  mesh.on('broadcast', event => heard.push(event))
  mesh.on('undecodable', event => told.push(event))
  const bad = new Uint8Array([0xff])
  node.push(
    { type: 'message', id: 'm', from: 'a', to: '', body: bad, receipt: 1 },
    { type: 'broadcast', id: 'b', from: 'a', topic: '', body: bad, sentAt: 1 },
  )
  await turn()
  assert.deepEqual(heard, [])
  assert.deepEqual(told.map(({ kind, id, from }) => [kind, id, from]), [['message', 'm', 'a'], ['broadcast', 'b', 'a']])
  assert.ok(told.every(({ reason }) => reason.length > 0))
  assert.deepEqual(node.receipts, [1])
})

test('everything else is passed on; connections are counted', async () => {
  const { node, mesh } = fakeMesh()
  const types: string[] = []
  const events = mesh.events()
  const agent = { id: 'ada@x', name: 'ada', peerId: 'x', capabilities: [], announcedAt: 1, local: false, metadata: body({ a: 1 }) }
  node.push(
    { type: 'relay-connected', peerId: 'r' },
    { type: 'joined', peerId: 'r', agents: 1 },
    { type: 'peer-connected', peerId: 'x', relayed: true },
    { type: 'agent-joined', agent },
    { type: 'agent-updated', agent },
    { type: 'agent-left', id: 'ada@x', reason: 'expired' },
    { type: 'peer-suspected', peerId: 'x' },
    { type: 'peer-recovered', peerId: 'x' },
    { type: 'offence', peerId: 'x', offence: 'bad signature' },
    { type: 'lagged', dropped: 3 },
    { type: 'weights-failed', transfer: 't', direction: 'in', peerId: 'x', code: 'timeout', message: 'late' },
    { type: 'peer-disconnected', peerId: 'x' },
  )
  for (let i = 0; i < 12; i++) {
    const { value: event } = await events.next()
    types.push(event!.type)
    if (event?.type === 'agent-joined') assert.deepEqual(event.agent.metadata, { a: 1 })
    if (event?.type === 'lagged') assert.deepEqual(event, { type: 'lagged', dropped: 3, buffer: 'core' })
  }
  assert.equal(types.length, new Set(types).size)
  assert.ok(mesh.connected)
  node.push({ type: 'relay-disconnected', peerId: 'r' })
  await turn()
  assert.ok(!mesh.connected)
})

test('an event of another version of the core is reported, and the pump goes on', async () => {
  const { node, mesh } = fakeMesh()
  const errors: unknown[] = []
  mesh.on('error', ({ error }) => errors.push(error))
  node.push({ type: 'from-the-future' } as never, message(1))
  mesh.on('message', () => {})
  await turn()
  assert.match(String(errors[0]), /from-the-future/)
  assert.deepEqual(node.receipts, [1])
})

test('nothing is pulled while too many messages are unread', async () => {
  const { node, mesh } = fakeMesh()
  const inbox = mesh.messages.inbox()
  for (let i = 0; i < MAX_UNREAD + 5; i++) node.push(message(i))
  await turn()
  assert.equal(node.pulls, MAX_UNREAD)
  await inbox.next()
  await turn()
  assert.equal(node.pulls, MAX_UNREAD + 1)
  for (let i = 1; i < MAX_UNREAD + 5; i++) assert.equal((await inbox.next()).value?.payload, i)
  assert.deepEqual(node.receipts, Array.from({ length: MAX_UNREAD + 5 }, (_, i) => i))
})

test('a mesh with unread messages closes', async () => {
  const { node, mesh } = fakeMesh()
  for (let i = 0; i < MAX_UNREAD + 5; i++) node.push(message(i))
  await turn()
  const closing = mesh.close()
  mesh.on('message', () => assert.fail('a message was delivered that cannot be acknowledged'))
  await closing
  assert.equal(node.freed, 1)
  assert.deepEqual(node.receipts, [])
})
