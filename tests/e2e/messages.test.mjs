// Direct messages: each exactly once and in order, or a typed error.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acquaint, seen, startMesh, until } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
const MAX_BODY = 61_440
// What CBOR puts before a byte string of 256 to 65,535 bytes.
const CBOR_HEAD = 3

test('1,000 messages each way, none lost, none twice, in order, while a link is cut and comes back', LIMIT, async t => {
  const world = await startMesh(t)
  const proxy = await world.proxy()
  const [ada, bob] = await Promise.all([world.agent('ada', { via: proxy }), world.agent('bob')])
  await acquaint(ada, bob)

  const [adaSends, bobSends] = [sendMany(ada, bob.id, 1000), sendMany(bob, ada.id, 1000)]
  await Promise.all([received(ada, 300), received(bob, 300)])
  proxy.cut()
  await Promise.all([seen(ada, 'relay-disconnected'), seen(bob, 'peer-disconnected', { peerId: ada.peerId })])
  await until(() => proxy.refused > 0, { what: 'ada tries to come back' })
  const [adaHad, bobHad] = await Promise.all([countOf(ada), countOf(bob)])
  assert.ok(adaHad < 1000 && bobHad < 1000, `cut in the middle: ${adaHad} and ${bobHad} had arrived`)
  proxy.heal()

  const receipts = [await adaSends, await bobSends]
  for (const [i, [sender, receiver]] of [[ada, bob], [bob, ada]].entries()) {
    const messages = await received(receiver, 1000)
    assert.deepEqual(messages.map(({ payload }) => payload), numbers(1000))
    assert.ok(messages.every(({ from, to }) => from === sender.peerId && to === receiver.name))
    assert.deepEqual(messages.map(({ id }) => id), receipts[i].map(({ id }) => id), 'ids are the same at both ends')
  }
  t.diagnostic(`cut after ${adaHad} and ${bobHad} messages`)
})

test('1,000 messages at once, sent while the link is down, arrive when it is back', LIMIT, async t => {
  const world = await startMesh(t)
  const proxy = await world.proxy()
  const [ada, bob] = await Promise.all([world.agent('ada', { via: proxy }), world.agent('bob')])
  await acquaint(ada, bob)
  proxy.cut()
  await seen(ada, 'relay-disconnected')
  const sends = ada.run(async ({ mesh }, to) => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => mesh.send(to, i, { timeoutMs: 30_000 })))
  }, bob.id)
  await until(() => proxy.refused > 0, { what: 'ada tries to come back' })
  assert.equal(await countOf(bob), 0)
  proxy.heal()
  await sends
  assert.deepEqual((await received(bob, 1000)).map(({ payload }) => payload), numbers(1000))
})

test('a message carries its sender, its receiver and its receipt', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const payload = { text: 'grüße', bytes: new Uint8Array([1, 2, 3]), list: [1, null, true], big: 2n ** 63n }
  const receipt = await ada.run(({ mesh }, to, payload) => mesh.send(to, payload, { from: 'ada' }), bob.id, payload)
  const [message] = await received(bob, 1)
  assert.deepEqual(message.payload, payload)
  assert.equal(message.from, ada.id)
  assert.equal(message.to, 'bob')
  assert.equal(message.id, receipt.id)
  assert.equal(receipt.peerId, bob.peerId)
  assert.ok(receipt.roundTripMs >= 0 && receipt.roundTripMs < 5000, `${receipt.roundTripMs} ms`)

  await bob.run(({ mesh }, to) => mesh.send(to, 'back'), message.from)
  assert.equal((await received(ada, 1))[0].payload, 'back')
})

test('a bare name and a bare peer id are receivers too', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await ada.run(async ({ mesh }, peerId) => {
    await mesh.send('bob', 'by name')
    await mesh.send(peerId, 'by peer id')
  }, bob.peerId)
  const messages = await received(bob, 2)
  assert.deepEqual(messages.map(({ to, payload }) => [to, payload]), [['bob', 'by name'], ['', 'by peer id']])
  assert.equal(messages[0].from, ada.peerId, 'without a sending agent, it is the node')
})

test('agents of one process write to each other, of one node and of two', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent(['ada', 'bob'])
  const direct = await ada.run(async ({ mesh, log, until }) => {
    const { peerId } = await mesh.send('bob', 'hello', { from: 'ada' })
    await mesh.send('ada', 'hello back', { from: 'bob' })
    await until(() => log.messages.length === 2)
    return { peerId, messages: log.messages }
  })
  assert.equal(direct.peerId, ada.peerId)
  assert.deepEqual(
    direct.messages.map(({ from, to, payload }) => [from, to, payload]),
    [[`ada@${ada.peerId}`, 'bob', 'hello'], [`bob@${ada.peerId}`, 'ada', 'hello back']],
  )

  const second = await ada.run(async ({ mesh, joinMesh, watch, until, log }, relays) => {
    const other = await joinMesh(mesh.name, { relays, agent: { id: 'eve' } })
    const otherLog = watch(other)
    await until(async () => (await mesh.agents.list()).some(({ name }) => name === 'eve'))
    for (let i = 0; i < 100; i++) await mesh.send('eve', i)
    await other.send('ada', 'from the other node')
    await until(() => log.messages.length === 3)
    await other.close()
    return { peerId: other.peerId, got: otherLog.messages.map(({ payload }) => payload), back: log.messages[2] }
  }, world.relay.address)
  assert.notEqual(second.peerId, ada.peerId)
  assert.deepEqual(second.got, numbers(100))
  assert.deepEqual([second.back.from, second.back.payload], [second.peerId, 'from the other node'])
})

test('a message that nobody reads yet is kept, and acknowledged when it is read', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await Promise.all([world.agent('ada'), world.agent('bob', { listen: false })])
  await acquaint(ada, bob)
  const sent = ada.run(async ({ mesh, state }, to) => {
    state.acknowledged = 0
    const send = i => mesh.send(to, i).then(() => state.acknowledged++)
    await Promise.all([0, 1, 2].map(send))
  }, bob.id)
  await bob.run(async ({ mesh, until }) => {
    await until(async () => (await mesh.health.metrics()).messagesReceived === 3)
  })
  assert.equal(await ada.run(({ state }) => state.acknowledged), 0)
  const read = await bob.run(async ({ mesh }) => {
    const payloads = []
    for await (const { payload } of mesh.messages.inbox({ agent: 'bob' })) {
      payloads.push(payload)
      if (payloads.length === 3) return payloads
    }
  })
  assert.deepEqual(read, [0, 1, 2])
  await sent
})

test('an agent that nobody has announced is unknown-agent', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const receivers = ['nobody', `nobody@${bob.peerId}`]
  for (const error of await Promise.all(receivers.map(to => failure(ada, to)))) {
    assert.equal(error.code, 'unknown-agent', error.message)
    assert.equal(error.name, 'MeshError')
  }
  await bob.run(({ mesh }) => mesh.agents.withdraw('bob'))
  await seen(ada, 'agent-left', { id: bob.id })
  assert.equal((await failure(ada, bob.id, { timeoutMs: 1000 })).code, 'unknown-agent')
})

test('an agent whose process has vanished is peer-unreachable', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, eve] = await world.agents('ada', 'bob', 'eve')
  await ada.run(({ mesh }, to) => mesh.send(to, 'are you there?'), bob.id)
  await Promise.all([bob.kill(), eve.kill()])
  const known = await ada.run(async ({ mesh }) => (await mesh.agents.list()).map(({ id }) => id))
  assert.ok(known.includes(bob.id) && known.includes(eve.id), 'the directory still has them')
  const errors = await Promise.all([bob.id, eve.id, bob.peerId].map(to => failure(ada, to, { timeoutMs: 2000 })))
  assert.deepEqual(errors.map(({ code }) => code), Array(3).fill('peer-unreachable'))
})

test('a name that two nodes have is ambiguous-agent, and name@peerId tells them apart', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, twin, other] = await world.agents('ada', 'twin', 'twin')
  const error = await failure(ada, 'twin')
  assert.equal(error.code, 'ambiguous-agent')
  assert.deepEqual([...error.details.peers].sort(), [twin.peerId, other.peerId].sort())
  await ada.run(({ mesh }, to) => mesh.send(to, 'you'), other.id)
  assert.deepEqual((await received(other, 1)).map(({ payload }) => payload), ['you'])
  assert.equal(await countOf(twin), 0)
})

test('an aborted message rejects at once and is never delivered', LIMIT, async t => {
  const world = await startMesh(t)
  const proxy = await world.proxy()
  const [ada, bob] = await Promise.all([world.agent('ada', { via: proxy }), world.agent('bob')])
  await acquaint(ada, bob)
  proxy.cut()
  await seen(ada, 'relay-disconnected')
  const error = await ada.run(async ({ mesh }, to) => {
    const controller = new AbortController()
    const sent = mesh.send(to, 'never', { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    return sent.then(() => undefined, ({ name, code, message, cause }) => ({ name, code, message, cause: cause.message }))
  }, bob.id)
  assert.equal(error.code, 'aborted')
  assert.equal(error.cause, 'changed my mind')
  proxy.heal()
  await ada.run(({ mesh }, to) => mesh.send(to, 'later'), bob.id)
  assert.deepEqual((await received(bob, 1)).map(({ payload }) => payload), ['later'])
})

test('a body of 61,440 bytes arrives, one of 61,441 is too-large', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const send = length => ada.run(({ mesh }, to, length) => mesh.send(to, new Uint8Array(length).fill(7)), bob.id, length)
  const fits = MAX_BODY - CBOR_HEAD
  await send(fits)
  assert.deepEqual((await received(bob, 1))[0].payload, new Uint8Array(fits).fill(7))
  await assert.rejects(send(fits + 1), { code: 'too-large', details: { size: MAX_BODY + 1, max: MAX_BODY } })
  assert.equal(await countOf(bob), 1)
})

// Sends 0, 1, 2, … with at most 50 under way. Resolves to the receipts, in order.
function sendMany(agent, to, count) {
  return agent.run(async ({ mesh }, to, count) => {
    const receipts = []
    const underWay = new Set()
    for (let i = 0; i < count; i++) {
      if (underWay.size === 50) await Promise.race(underWay)
      const sent = mesh.send(to, i, { timeoutMs: 30_000 }).then(receipt => (receipts[i] = receipt))
      underWay.add(sent)
      sent.finally(() => underWay.delete(sent)).catch(() => {})
    }
    await Promise.all(underWay)
    return receipts
  }, to, count)
}

// Resolves to all messages, when there are at least `count`.
function received(agent, count) {
  return agent.run(({ log, until }, count) => {
    const what = () => `${count} messages; there are ${log.messages.length}`
    return until(() => log.messages.length >= count && log.messages, { what })
  }, count)
}

function countOf(agent) {
  return agent.run(({ log }) => log.messages.length)
}

// The error that a message to `to` rejects with.
async function failure(agent, to, options) {
  const sent = agent.run(({ mesh }, to, options) => mesh.send(to, 'hello', options), to, options)
  return sent.then(receipt => assert.fail(`it was delivered: ${JSON.stringify(receipt)}`), error => error)
}

function numbers(count) {
  return Array.from({ length: count }, (_, i) => i)
}
