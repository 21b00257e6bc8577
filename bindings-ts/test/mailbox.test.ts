import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeshEvent } from '../src/events.js'
import { EventHub } from '../src/hub.js'
import { MAX_UNREAD } from '../src/mailbox.js'
import { openInbox } from '../src/messages.js'
import { MAX_LAG } from '../src/stream.js'
import { turn } from './tools.js'

const message = (payload: unknown, to = ''): MeshEvent<'message'> => ({ type: 'message', id: 'id', from: 'peer', to, payload })

function setUp() {
  const hub = new EventHub()
  const taken: unknown[] = []
  const deliver = (payload: unknown, to?: string) => hub.mailbox.deliver(message(payload, to), () => taken.push(payload))
  return { hub, taken, deliver, inbox: (agent?: string) => openInbox(hub, { agent }) }
}

test('with a listener, a message is taken after it ran', () => {
  const { hub, taken, deliver } = setUp()
  hub.on('message', ({ payload }) => assert.deepEqual(taken, [], `${payload} is not taken yet`))
  deliver(1)
  assert.deepEqual(taken, [1])
})

test('a listener that throws has had it', () => {
  const { hub, taken, deliver } = setUp()
  hub.on('error', () => {})
  hub.on('message', () => {
    throw new Error('no')
  })
  deliver(1)
  assert.deepEqual(taken, [1])
})

test('with an inbox, a message is taken when it is pulled', async () => {
  const { taken, deliver, inbox } = setUp()
  const reader = inbox()
  deliver(1)
  deliver(2)
  assert.deepEqual(taken, [])
  assert.equal((await reader.next()).value?.payload, 1)
  assert.deepEqual(taken, [1])
  const third = [reader.next(), reader.next()]
  deliver(3)
  assert.deepEqual((await Promise.all(third)).map(item => item.value?.payload), [2, 3])
  assert.deepEqual(taken, [1, 2, 3])
})

test('with a listener, inboxes get copies that hold nothing up', async () => {
  const { hub, taken, deliver, inbox } = setUp()
  const a = inbox()
  const b = inbox()
  const heard: unknown[] = []
  hub.on('message', ({ payload }) => heard.push(payload))
  deliver(1)
  assert.deepEqual([heard, taken], [[1], [1]])
  assert.equal((await a.next()).value?.payload, 1)
  assert.equal((await b.next()).value?.payload, 1)
  assert.deepEqual(taken, [1])
})

test('with several inboxes, it is taken once, when the first of them has it', async () => {
  const { taken, deliver, inbox } = setUp()
  const a = inbox()
  const b = inbox()
  deliver(1)
  deliver(2)
  await b.next()
  assert.deepEqual(taken, [1])
  assert.equal((await a.next()).value?.payload, 1)
  await a.next()
  assert.deepEqual(taken, [1, 2])
  assert.equal((await b.next()).value?.payload, 2)
  const waiting = [a.next(), b.next()]
  deliver(3)
  assert.deepEqual((await Promise.all(waiting)).map(item => item.value?.payload), [3, 3])
  assert.deepEqual(taken, [1, 2, 3])
})

test('an inbox that nobody reads loses the oldest of what others have', async () => {
  const { hub, taken, deliver, inbox } = setUp()
  const forgotten = inbox()
  const read = inbox()
  let dropped = 0
  hub.on('lagged', event => (dropped += event.dropped))
  for (let i = 0; i < MAX_LAG + 5; i++) {
    const item = read.next()
    deliver(i)
    await item
  }
  assert.equal(taken.length, MAX_LAG + 5)
  assert.equal((await forgotten.next()).value?.payload, 5)
  await turn()
  assert.equal(dropped, 5)
})

test('nobody there: kept in order until a listener comes, which is called after on() has returned', async () => {
  const { hub, taken, deliver } = setUp()
  deliver(1)
  deliver(2)
  await turn()
  assert.deepEqual(taken, [])
  const heard: unknown[] = []
  hub.on('message', ({ payload }) => heard.push(payload))
  assert.deepEqual(heard, [])
  deliver(3)
  assert.deepEqual(heard, [1, 2, 3])
  await turn()
  assert.deepEqual(heard, [1, 2, 3])
  assert.deepEqual(taken, [1, 2, 3])
})

test('once() takes one, the rest waits', async () => {
  const { hub, taken, deliver } = setUp()
  deliver(1)
  deliver(2)
  hub.once('message', () => {})
  await turn()
  assert.deepEqual(taken, [1])
  hub.once('message', () => {})
  await turn()
  assert.deepEqual(taken, [1, 2])
})

test('an inbox for one agent leaves the messages of others alone', async () => {
  const { taken, deliver, inbox } = setUp()
  const ada = inbox('ada@12D3KooW')
  deliver('for bob', 'bob')
  deliver('for ada', 'ada')
  deliver('for the node')
  assert.equal((await ada.next()).value?.payload, 'for ada')
  assert.deepEqual(taken, ['for ada'])
  const all = inbox()
  await turn()
  assert.equal((await all.next()).value?.payload, 'for bob')
  assert.equal((await all.next()).value?.payload, 'for the node')
})

test('what a leaving inbox has not read goes to the next reader, in its place', async () => {
  const { taken, deliver, inbox } = setUp()
  const first = inbox()
  for (const payload of [1, 2, 3]) deliver(payload)
  await first.next()
  await first.return?.()
  deliver(4)
  assert.deepEqual(taken, [1])
  const second = inbox()
  const rest = []
  for (let i = 0; i < 3; i++) rest.push((await second.next()).value?.payload)
  assert.deepEqual(rest, [2, 3, 4])
  assert.deepEqual(taken, [1, 2, 3, 4])
})

test('what a leaving inbox has not read, but somebody else has, is taken', async () => {
  const { taken, deliver, inbox } = setUp()
  const a = inbox()
  const b = inbox()
  deliver(1)
  await a.next()
  await b.return?.()
  assert.deepEqual(taken, [1])
})

test('events() is a reader too', async () => {
  const { hub, taken, deliver } = setUp()
  const events = hub.stream(undefined)
  deliver(1)
  assert.deepEqual(taken, [])
  assert.equal((await events.next()).value?.type, 'message')
  assert.deepEqual(taken, [1])
})

test('a listener that changes who listens does not disturb the order', async () => {
  const { hub, taken, deliver } = setUp()
  const heard: string[] = []
  for (const payload of [1, 2, 3]) deliver(payload)
  const stop = hub.on('message', ({ payload }) => {
    heard.push(`first ${payload}`)
    stop()
    hub.on('message', ({ payload }) => heard.push(`second ${payload}`))
  })
  await turn()
  assert.deepEqual(heard, ['first 1', 'second 2', 'second 3'])
  assert.deepEqual(taken, [1, 2, 3])
})

test('no more are let in while too many are unread', async () => {
  const { hub, deliver, inbox } = setUp()
  for (let i = 0; i < MAX_UNREAD - 1; i++) deliver(i)
  assert.equal(hub.mailbox.room(), undefined)
  deliver('last')
  const room = hub.mailbox.room()
  assert.ok(room instanceof Promise)
  const reader = inbox()
  await turn()
  await reader.next()
  await room
  assert.equal(hub.mailbox.room(), undefined)
})

test('clear forgets, and lets who waits go on', async () => {
  const { hub, taken, deliver, inbox } = setUp()
  const reader = inbox()
  for (let i = 0; i < MAX_UNREAD; i++) deliver(i)
  const room = hub.mailbox.room()
  hub.end()
  await room
  assert.equal((await reader.next()).done, true)
  assert.deepEqual(taken, [])
})
