// Broadcasts: everybody in the mesh gets each once, in the order of its sender.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startMesh } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }

test('1,000 broadcasts of one reach three others, none lost, none twice, in order', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, ...others] = await world.agents('ada', 'bob', 'carl', 'eve')
  await ada.run(async ({ mesh }) => {
    for (let i = 0; i < 1000; i++) await mesh.broadcast(i, { topic: 'numbers' })
  })
  for (const other of others) {
    const broadcasts = await received(other, 1000)
    assert.deepEqual(broadcasts.map(({ payload }) => payload), numbers(1000))
    assert.ok(broadcasts.every(({ from, topic }) => from === ada.peerId && topic === 'numbers'))
    assert.equal(new Set(broadcasts.map(({ id }) => id)).size, 1000)
  }
  assert.deepEqual(await received(ada, 0), [], 'one does not hear oneself')
})

test('eight agents broadcast at once, and each gets all of the others, in order', LIMIT, async t => {
  const world = await startMesh(t)
  const agents = await world.agents('ada', 'bob', 'carl', 'dora', 'eve', 'fay', 'gil', 'hal')
  await Promise.all(agents.map(agent => agent.run(async ({ mesh }) => {
    for (let i = 0; i < 300; i++) await mesh.broadcast(i)
  })))
  for (const agent of agents) {
    const others = agents.filter(other => other !== agent)
    const broadcasts = await received(agent, others.length * 300)
    for (const { peerId } of others) {
      const payloads = broadcasts.filter(({ from }) => from === peerId).map(({ payload }) => payload)
      assert.deepEqual(payloads, numbers(300))
    }
    assert.equal(broadcasts.length, others.length * 300)
  }
})

test('a burst of 10,000 broadcasts loses no broadcast, no order and no link', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, ...others] = await world.agents('ada', 'bob', 'carl', 'eve')
  const took = await ada.run(async ({ mesh }) => {
    const began = performance.now()
    const bodies = Array.from({ length: 10_000 }, (_, i) => {
      const body = new Uint8Array(256)
      new DataView(body.buffer).setUint32(0, i)
      return body
    })
    await Promise.all(bodies.map(body => mesh.broadcast(body)))
    return performance.now() - began
  })
  const began = performance.now()
  for (const other of others) {
    const order = await other.run(async ({ log, until }) => {
      const what = () => `10,000 broadcasts; there are ${log.broadcasts.length}`
      await until(() => log.broadcasts.length >= 10_000, { limitMs: 40_000, what })
      return log.broadcasts.map(({ payload }) => Buffer.from(payload).readUint32BE())
    })
    assert.deepEqual(order, numbers(10_000))
  }
  t.diagnostic(`handed over in ${Math.round(took)} ms, received ${Math.round(performance.now() - began)} ms later`)
  for (const agent of [ada, ...others]) {
    const bad = await agent.run(async ({ mesh, log }) => {
      const { offences } = await mesh.health.metrics()
      const types = ['relay-disconnected', 'peer-disconnected', 'lagged', 'offence']
      return { offences, events: log.events.filter(({ type }) => types.includes(type)) }
    })
    assert.deepEqual(bad, { offences: 0, events: [] }, agent.name)
  }
  assert.deepEqual(await world.relay.offences(), {})
})

test('subscribers choose by topic, listeners get all', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await bob.run(({ mesh, state }) => {
    const take = async (options, count) => {
      const payloads = []
      for await (const { payload } of mesh.swarm.subscribe(options)) {
        payloads.push(payload)
        if (payloads.length === count) return payloads
      }
    }
    state.taken = Promise.all([take({ topic: 'a' }, 2), take({ topic: 'b' }, 1), take({ topic: '' }, 1), take({}, 4)])
  })
  await ada.run(async ({ mesh }) => {
    await mesh.broadcast(1, { topic: 'a' })
    await mesh.broadcast(2, { topic: 'b' })
    await mesh.broadcast(3)
    await mesh.broadcast(4, { topic: 'a' })
  })
  assert.deepEqual(await bob.run(({ state }) => state.taken), [[1, 4], [2], [3], [1, 2, 3, 4]])
  assert.deepEqual((await received(bob, 4)).map(({ topic }) => topic), ['a', 'b', '', 'a'])
})

test('a late joiner gets what is said from then on, and nothing older', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await ada.run(({ mesh }) => mesh.broadcast('old'))
  await received(bob, 1)
  const late = await world.agent('late')
  await ada.run(({ mesh }) => mesh.broadcast('new'))
  assert.deepEqual((await received(late, 1)).map(({ payload }) => payload), ['new'])
  assert.deepEqual((await received(bob, 2)).map(({ payload }) => payload), ['old', 'new'])
})

test('what is said right after one has joined over a slow link is heard', LIMIT, async t => {
  const world = await startMesh(t)
  const slow = await world.proxy({ delayMs: 200 })
  // So many that a relay of default gossip settings would not take another into its mesh by itself.
  const [speaker] = await world.agents('speaker', 'b', 'c', 'd', 'e', 'f', 'g', 'h')
  const late = await world.agent('late', { via: slow })
  const said = await speaker.run(async ({ mesh }) => {
    const payloads = Array.from({ length: 20 }, (_, i) => i)
    for (const payload of payloads) {
      await mesh.broadcast(payload)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    return payloads
  })
  await late.run(({ log, until }, last) => until(() => log.broadcasts.some(({ payload }) => payload === last)), said.at(-1))
  assert.deepEqual((await received(late, 1)).map(({ payload }) => payload), said)
})

test('who has just joined is heard by everybody', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const late = await world.process()
  await late.run(async ({ joinMesh, state }, name, relays) => {
    state.mesh = await joinMesh(name, { relays })
    await state.mesh.broadcast('here I am')
  }, world.mesh, world.relay.address)
  for (const other of [ada, bob]) {
    assert.deepEqual((await received(other, 1)).map(({ payload }) => payload), ['here I am'])
  }
})

test('a body of 61,440 bytes arrives, one of 61,441 is too-large', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const broadcast = length => ada.run(({ mesh }, length) => mesh.broadcast(new Uint8Array(length).fill(7)), length)
  const fits = 61_440 - 3 // what CBOR puts before it
  await broadcast(fits)
  assert.deepEqual((await received(bob, 1))[0].payload, new Uint8Array(fits).fill(7))
  await assert.rejects(broadcast(fits + 1), { code: 'too-large' })
})

// Resolves to all broadcasts, when there are at least `count`.
function received(agent, count) {
  return agent.run(({ log, until }, count) => {
    const what = () => `${count} broadcasts; there are ${log.broadcasts.length}`
    return until(() => log.broadcasts.length >= count && log.broadcasts, { what })
  }, count)
}

function numbers(count) {
  return Array.from({ length: count }, (_, i) => i)
}
