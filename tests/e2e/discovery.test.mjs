// Discovery: agents find each other soon after they join, and what changes is seen everywhere.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acquaint, knows, seen, startMesh } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
const WITHIN_MS = 3000
const SHARE = 0.95

test('30 agents in 10 processes join at once: each process finds 95 % of them within 3 s', LIMIT, async t => {
  const world = await startMesh(t)
  const processes = await Promise.all(Array.from({ length: 10 }, () => world.process()))
  const times = await Promise.all(
    processes.map((process, i) => joinAndFind(process, world, agentNames(i, 3), Math.ceil(SHARE * 30))),
  )
  const latest = key => Math.max(...times.map(time => time[key]))
  const slowest = Math.max(...times.map(({ calledAt, foundAt }) => foundAt - calledAt))
  // Nobody can be found before it has joined, and how fast ten processes start together is the machine's affair.
  const took = latest('foundAt') - latest('joinedAt')
  t.diagnostic(`the slowest knew 95 % ${slowest} ms after its call to join, ${took} ms after the last had joined`)
  assert.ok(took < WITHIN_MS, `${took} ms`)
})

test('a newcomer to a mesh of 100 agents finds 95 % of them within 3 s', LIMIT, async t => {
  const world = await startMesh(t)
  const members = await Promise.all(Array.from({ length: 10 }, (_, i) => world.agent(agentNames(i, 10))))
  const ids = members.flatMap((member, i) => agentNames(i, 10).map(name => `${name}@${member.peerId}`))
  await Promise.all(members.map(member => knows(member, ids)))

  const newcomer = await world.process()
  const { calledAt, joinedAt, foundAt, peerId } = await joinAndFind(newcomer, world, ['newcomer'], 1 + SHARE * 100)
  const [joinMs, foundMs] = [joinedAt - calledAt, foundAt - calledAt]
  t.diagnostic(`joined after ${joinMs} ms and knew 95 % after ${foundMs} ms, the start of the wasm included`)
  assert.ok(foundMs < WITHIN_MS, `${foundMs} ms`)
  await Promise.all(members.map(member => knows(member, [`newcomer@${peerId}`])))
})

test('find goes by name, type, capabilities and peer', LIMIT, async t => {
  const world = await startMesh(t)
  const resources = { cpu: 0.5, memory: 1024, specialization: 'digits' }
  const [ada, bob, eve] = await Promise.all([
    world.agent({ id: 'ada', type: 'researcher', capabilities: ['digits', 'letters'], resources, metadata: { level: 3 } }),
    world.agent([
      { id: 'bob', type: 'coder', capabilities: ['digits'] },
      { id: 'carl', type: 'coder', capabilities: ['rust'] },
    ]),
    world.agent('eve'),
  ])
  await knows(eve, [ada.id, bob.id, `carl@${bob.peerId}`])
  const found = async criteria => (await find(eve, criteria)).map(({ name }) => name).sort()
  assert.deepEqual(await found({ name: 'ada' }), ['ada'])
  assert.deepEqual(await found({ type: 'coder' }), ['bob', 'carl'])
  assert.deepEqual(await found({ capabilities: ['digits'] }), ['ada', 'bob'])
  assert.deepEqual(await found({ capabilities: ['letters', 'digits'] }), ['ada'])
  assert.deepEqual(await found({ type: 'coder', capabilities: ['digits'] }), ['bob'])
  assert.deepEqual(await found({ peer: bob.peerId }), ['bob', 'carl'])
  assert.deepEqual(await found({}), ['ada', 'bob', 'carl'])

  const [{ announcedAt, ...agent }] = await find(eve, { name: 'ada' })
  assert.ok(Math.abs(Date.now() - announcedAt) < 60_000, `${announcedAt}`)
  const { id, peerId } = ada
  assert.deepEqual(agent, {
    ...{ id, name: 'ada', peerId, type: 'researcher', capabilities: ['digits', 'letters'], resources },
    ...{ metadata: { level: 3 }, local: false },
  })
})

test('find ends at its limit at once, after its quiet time, or at its time-out', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada] = await world.agents('ada', 'bob', 'eve')
  const limited = await timedFind(ada, {}, { limit: 1, timeoutMs: 20_000, quietMs: 10_000 })
  assert.equal(limited.found.length, 1)
  assert.ok(limited.ms < 5000, `limit: ${limited.ms} ms`)

  const quiet = await timedFind(ada, {}, { quietMs: 500, timeoutMs: 20_000 })
  assert.equal(quiet.found.length, 2)
  assert.ok(quiet.ms >= 450 && quiet.ms < 10_000, `quiet: ${quiet.ms} ms`)

  const nobody = await timedFind(ada, { name: 'nobody' }, { quietMs: 100, timeoutMs: 1000 })
  assert.deepEqual(nobody.found, [])
  assert.ok(nobody.ms >= 950 && nobody.ms < 10_000, `time-out: ${nobody.ms} ms`)
})

test('find waits for agents that are announced while it runs', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const finding = find(ada, { capabilities: ['late'] }, { limit: 1, timeoutMs: 20_000 })
  await bob.run(({ mesh }) => mesh.agents.announce({ id: 'late', capabilities: ['late'] }))
  assert.deepEqual((await finding).map(({ id }) => id), [`late@${bob.peerId}`])
})

test('what an agent says anew is seen, and so is its withdrawal', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, eve] = await world.agents('ada', 'bob', 'eve')
  await bob.run(({ mesh }) => mesh.agents.announce({ id: 'bob', capabilities: ['chess'] }))
  for (const other of [ada, eve]) {
    await seen(other, 'agent-updated')
    const { agent } = await other.run(({ log }) => log.events.find(({ type }) => type === 'agent-updated'))
    assert.deepEqual([agent.id, agent.capabilities], [bob.id, ['chess']])
  }
  assert.deepEqual((await find(ada, { capabilities: ['chess'] })).map(({ id }) => id), [bob.id])

  await bob.run(({ mesh }) => mesh.agents.withdraw('bob'))
  for (const other of [ada, eve]) await seen(other, 'agent-left', { id: bob.id, reason: 'withdrawn' })
  assert.deepEqual(await namesAt(ada), ['ada', 'eve'])
  assert.deepEqual(await namesAt(bob), ['ada', 'eve'], 'at home too')
  await bob.run(({ mesh }) => mesh.agents.announce({ id: 'bob' }))
  await acquaint(ada, bob, eve)
})

test('when a mesh is closed its agents disappear everywhere', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, eve, bob] = await Promise.all([world.agent('ada'), world.agent('eve'), world.agent(['bob', 'carl'])])
  await Promise.all([ada, eve].map(other => knows(other, [bob.id, `carl@${bob.peerId}`])))
  await bob.run(({ mesh }) => mesh.close())
  for (const other of [ada, eve]) {
    for (const name of ['bob', 'carl']) await seen(other, 'agent-left', { id: `${name}@${bob.peerId}`, reason: 'withdrawn' })
    assert.deepEqual(await namesAt(other), ['ada', 'eve'])
  }
  const late = await world.agent('late')
  await knows(late, [ada.id, eve.id])
  assert.deepEqual(await namesAt(late), ['ada', 'eve', 'late'], 'a newcomer does not hear of them')
})

test('agents of one mesh are not seen in another', LIMIT, async t => {
  const [one, two] = await Promise.all([startMesh(t, { mesh: 'one' }), startMesh(t, { mesh: 'two' })])
  const [ada, bob] = await Promise.all([one.agent('ada'), two.agent('bob')])
  assert.notEqual(ada.meshId, bob.meshId)
  assert.deepEqual(await namesAt(ada), ['ada'])
  assert.deepEqual(await namesAt(bob), ['bob'])
})

// Joins with agents of these names, and waits until `count` agents are known, its own included. Resolves to when it was
// called, had joined and knew them: unix milliseconds, comparable between processes.
function joinAndFind(agent, world, names, count) {
  return agent.run(
    async ({ joinMesh, state, until }, name, relays, [first, ...others], count) => {
      const calledAt = Date.now()
      const mesh = (state.mesh = await joinMesh(name, { relays, agent: { id: first } }))
      const joinedAt = Date.now()
      await Promise.all(others.map(id => mesh.agents.announce({ id })))
      const known = () => mesh.agents.list()
      await until(async () => (await known()).length >= count, { what: `${count} agents are known`, everyMs: 10 })
      return { calledAt, joinedAt, foundAt: Date.now(), peerId: mesh.peerId }
    },
    world.mesh,
    world.relay.address,
    names,
    count,
  )
}

function find(agent, criteria, options) {
  return agent.run(({ mesh }, criteria, options) => mesh.agents.find(criteria, options), criteria, options)
}

function timedFind(agent, criteria, options) {
  return agent.run(
    async ({ mesh }, criteria, options) => {
      const began = performance.now()
      const found = await mesh.agents.find(criteria, options)
      return { found, ms: performance.now() - began }
    },
    criteria,
    options,
  )
}

async function namesAt(agent) {
  const names = await agent.run(async ({ mesh }) => (await mesh.agents.list()).map(({ name }) => name))
  return names.sort()
}

function agentNames(process, count) {
  return Array.from({ length: count }, (_, i) => `agent-${process}-${i}`)
}
