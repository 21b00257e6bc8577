// Real processes, each in a network namespace of its own, and the faults of real networks. Each test prints what it measured.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { whyNoNamespaces } from '../../scripts/lib/namespaces.mjs'
import { seen } from '../e2e/lib/mesh.mjs'
import { talk } from './lib/traffic.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 90_000, skip: whyNoNamespaces() }
const NAMES = ['ada', 'bob', 'cleo', 'dan', 'eve', 'fay', 'gil']
// What the mesh promises after a fault.
const RECOVERY_MS = 10_000
const DOWN_MS = 12_000
const LOSS_PERCENT = 20
const ROUNDS = 30

test('a relay is killed and started again: everybody is back and talks within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES.slice(0, 6))
  await all(agents, forget)
  const { peerId } = world.relay
  await world.relay.kill()
  await all(agents, agent => seen(agent, 'relay-disconnected', { peerId }))

  const since = stopwatch()
  await world.restartRelay()
  const startedMs = since()
  assert.equal(world.relay.peerId, peerId)
  await all(agents, agent => seen(agent, 'relay-connected', { peerId }))
  const connectedMs = since()
  const talked = await talk(agents)
  t.diagnostic(`relay ready again after ${ms(startedMs)}, all agents connected after ${ms(connectedMs)}, all have talked after ${ms(since())}`)
  assertComplete(talked)
  assert.ok(since() < RECOVERY_MS, ms(since()))
})

test('the link of one agent is down for 12 s: the others notice, and it is back within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  await world.native()
  const agents = await world.agents(NAMES.slice(0, 5))
  const [cut, ...others] = agents
  await all(agents, forget)

  const since = stopwatch()
  cut.host.unplug()
  await all(others, agent => seen(agent, 'peer-suspected', { peerId: cut.peerId }))
  const noticedMs = since()
  await sleep(DOWN_MS - since())
  cut.host.plug()
  const back = stopwatch()
  const talked = await talk(agents)
  const talkedMs = back()
  t.diagnostic(`noticed by all others after ${ms(noticedMs)}; all have talked ${ms(talkedMs)} after it was up again`)
  assertComplete(talked)
  assert.ok(talkedMs < RECOVERY_MS, ms(talkedMs))
})

test('20 % of packets are lost on every link: broadcasts reach all, and messages are acknowledged', LIMIT, async t => {
  const world = await startWorld(t)
  await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES)
  world.network.lose(LOSS_PERCENT)
  const since = stopwatch()
  const talked = await talk(agents, { rounds: ROUNDS })
  const { arrived, dropped } = world.network.lost()
  t.diagnostic(`${dropped} of ${arrived} packets dropped (${((100 * dropped) / arrived).toFixed(1)} %), ${ms(since())}`)
  t.diagnostic(`${talked.acknowledged} of ${talked.sent} messages acknowledged, the slowest after ${ms(talked.slowestMs)}`)
  t.diagnostic(`${talked.delivered} of ${talked.expected} broadcasts delivered, the last ${ms(talked.lastMs)} after the last message`)
  assert.deepEqual(talked.failures, [])
  assert.ok(talked.delivered >= 0.999 * talked.expected)
})

test('half of ten nodes are killed at once, a relay among them: the survivors notice and talk within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  const [second, third] = await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES, { relays: [world.relay.address, second.address] })
  const [survivors, victims] = [agents.slice(0, 4), agents.slice(4)]
  await all(survivors, forget)

  const since = stopwatch()
  await Promise.all([world.relay, third, ...victims].map(node => node.kill()))
  const talked = await talk(survivors)
  const talkedMs = since()
  await all(survivors, survivor => all(victims, ({ peerId }) => seen(survivor, 'peer-suspected', { peerId })))
  const noticedMs = since()
  t.diagnostic(`all survivors have talked after ${ms(talkedMs)}, and suspect all victims after ${ms(noticedMs)}`)
  assertComplete(talked)
  assert.ok(noticedMs < RECOVERY_MS, ms(noticedMs))
})

const all = (list, action) => Promise.all(list.map(action))

// What the agent has seen until now is no longer in its log.
const forget = agent => agent.run(({ log }) => void log.events.splice(0))

function assertComplete({ sent, acknowledged, failures, expected, delivered }) {
  assert.deepEqual(failures, [])
  assert.deepEqual({ acknowledged, delivered }, { acknowledged: sent, delivered: expected })
}

function stopwatch() {
  const began = performance.now()
  return () => performance.now() - began
}

const ms = value => `${Math.round(value)} ms`
