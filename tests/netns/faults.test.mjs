// Real processes, each in a network namespace of its own, and the faults of real networks. Half of the agents connect
// directly where they can, by WebRTC, the others only through relays. Each test prints what it measured, in lines that
// begin with the name of the fault.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { whyNoNamespaces } from '../../scripts/lib/namespaces.mjs'
import { seen } from '../e2e/lib/mesh.mjs'
import { metric, talk } from './lib/traffic.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 90_000, skip: whyNoNamespaces() }
const NAMES = ['ada', 'bob', 'cleo', 'dan', 'eve', 'fay', 'gil']
const HEARD = 'mesh_broadcasts_received_total'
const RECOVERY_MS = 10_000
// Longer than 12.6 s, after which TCP repeats what was lost for the last time in the next 12.8 s.
const DOWN_MS = 14_000
const LOSS_PERCENT = 20
// More than a thousand deliveries of broadcasts: one of them is less than a tenth of a percent.
const LOSS_ROUNDS = 4
// TCP repeats after 0.2 s, and what it loses again after twice as long each time: one message in thousands takes 20 s.
const LOSS_LIMIT_MS = 45_000

test('a relay is killed and started again: everybody is back and talks within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  const natives = await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES.slice(0, 6))
  await all(agents, forget)
  const { peerId } = world.relay
  await world.relay.kill()
  await all(agents, agent => seen(agent, 'relay-disconnected', { peerId }))

  const began = performance.now()
  await world.restartRelay()
  assert.equal(world.relay.peerId, peerId, 'the same relay')
  await all(agents, agent => seen(agent, 'relay-connected', { peerId }))
  const connectedMs = performance.now() - began
  const talked = await talk(agents)
  await all([...natives, world.relay], native => metric(native, HEARD, value => value >= 6 * 5, agents[0]))
  const talkedMs = performance.now() - began
  t.diagnostic(`relay killed: all agents connected again after ${ms(connectedMs)}, each has talked to each after ${ms(talkedMs)}`)
  assertComplete(talked)
  assert.ok(talkedMs < RECOVERY_MS, ms(talkedMs))
})

test('the links of two agents are down for 14 s: the others notice, and they are back within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  const native = await world.native()
  const agents = await world.agents(NAMES.slice(0, 6))
  const [direct, relayed, ...others] = agents
  await talk(agents)
  await all(agents, forget)

  const began = performance.now()
  for (const { host } of [direct, relayed]) host.unplug()
  const during = talk(agents, { broadcasts: false })
  await all([direct, relayed], ({ peerId }) => all(others, other => seen(other, 'peer-suspected', { peerId })))
  const noticedMs = performance.now() - began
  await sleep(DOWN_MS - noticedMs)
  for (const { host } of [direct, relayed]) host.plug()
  const up = performance.now()
  // What is broadcast to whoever is still away is not kept for it: first all are back.
  const back = await talk(agents, { broadcasts: false })
  const after = await talk(agents)
  const before = await during
  await metric(native, HEARD, value => value >= 2 * 6 * 5, others[0])
  t.diagnostic(`links down: noticed by all others after ${ms(noticedMs)}`)
  t.diagnostic(`links down: each has talked to each ${ms(back.at - up)} after they were up again, and heard each ${ms(after.at - up)} after; what was said before had arrived after ${ms(before.at - up)}`)
  assert.ok(noticedMs < RECOVERY_MS, ms(noticedMs))
  for (const talked of [before, back, after]) {
    assertComplete(talked)
    assert.ok(talked.at - up < RECOVERY_MS, ms(talked.at - up))
  }
})

test('20 % of packets are lost on every link: broadcasts reach all, and messages are acknowledged', LIMIT, async t => {
  const world = await startWorld(t)
  await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES)
  await all(agents, forget)
  world.network.lose(LOSS_PERCENT)
  const began = performance.now()
  const talked = await talk(agents, { rounds: LOSS_ROUNDS, limitMs: LOSS_LIMIT_MS })
  const took = performance.now() - began
  const { arrived, dropped } = world.network.lost()
  world.network.heal()
  const lost = await all(agents, agent => agent.run(({ log }) => log.events.filter(({ type }) => type === 'relay-disconnected').length))
  t.diagnostic(`packets lost: ${dropped} of ${arrived} dropped (${((100 * dropped) / arrived).toFixed(1)} %), ${ms(took)}`)
  t.diagnostic(`packets lost: ${talked.acknowledged} of ${talked.sent} messages acknowledged, the slowest after ${ms(talked.slowestMs)}`)
  t.diagnostic(`packets lost: ${talked.delivered} of ${talked.expected} broadcasts delivered; relays lost: ${lost}`)
  assert.deepEqual(talked.failures, [])
  // A link that repeats a packet for 10 s is given up, and what was broadcast until the next one is there is not kept.
  assert.ok(talked.delivered >= 0.99 * talked.expected)
})

test('half of ten nodes are killed at once, a relay among them: the survivors notice and talk within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  const [second, third] = await Promise.all([world.native(), world.native()])
  const agents = await world.agents(NAMES, { relays: [world.relay.address, second.address] })
  const [survivors, victims] = [agents.slice(0, 4), agents.slice(4)]
  await all(survivors, forget)

  const began = performance.now()
  await all([world.relay, third, ...victims], node => node.kill())
  const talked = await talk(survivors)
  await metric(second, HEARD, value => value >= 4 * 3, survivors[0])
  const talkedMs = performance.now() - began
  await metric(second, 'mesh_links', value => value === survivors.length, survivors[0])
  await all(survivors, survivor => all(victims, ({ peerId }) => seen(survivor, 'peer-suspected', { peerId })))
  const noticedMs = performance.now() - began
  t.diagnostic(`half killed: each survivor has talked to each after ${ms(talkedMs)}, all suspect all that are gone after ${ms(noticedMs)}`)
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

const ms = value => `${Math.round(value)} ms`
