// What a page has written outlives it, and two of the three nodes that hold it.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { acquaint } from '../e2e/lib/mesh.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 240_000 }
// From the issue: three hold it again so soon after each death.
const HEALED_MS = 60_000
const SIZE = 300_000
const DOMAIN = 'lab'

test('12 agents: a tab closes, two of three holders are killed, and what it wrote is always readable', LIMIT, async t => {
  const world = await startWorld(t)
  const nodes = await Promise.all(Array.from({ length: 11 }, (_, n) => world.nodeAgent(`node-${n}`)))
  await acquaint(...nodes)
  const tab = await world.browserAgent({ id: 'tab' })
  const relayId = world.relay.address.split('/').at(-1)
  await Promise.all(nodes.map(node => node.run(({ mesh, until }, id) => until(async () => (await mesh.agents.list()).some(agent => agent.id === id)), tab.id)))

  const bytes = Array.from({ length: SIZE }, (_, n) => (n * 31) % 251)
  const stored = await tab.run(async ([bytes, domain]) => {
    return mesh.knowledge.put('weights', new Uint8Array(bytes), { domain, metadata: { from: 'a tab' }, waitMs: 20_000 })
  }, [bytes, DOMAIN])
  assert.equal(stored.placed.length, 3)
  assert.deepEqual(stored.placed.filter(peerId => !stored.holders.includes(peerId)), [], 'all with whom it was placed hold it')
  assert.ok(!stored.placed.includes(tab.peerId), 'the tab itself does not count')

  await tab.close()
  const sha256 = createHash('sha256').update(Uint8Array.from(bytes)).digest('hex')
  let alive = nodes
  // Another one each time, which has to fetch it.
  const readers = nodes.filter(node => !stored.placed.includes(node.peerId))
  let reads = 0
  const readable = async () => {
    const read = await readers[reads].run(
      async ({ mesh }, domain) => {
        const { createHash } = await import('node:crypto')
        const entry = await mesh.knowledge.get('weights', { domain, timeoutMs: 20_000 })
        return { sha256: createHash('sha256').update(entry.value).digest('hex'), metadata: entry.metadata }
      },
      DOMAIN,
    )
    assert.deepEqual(read, { sha256, metadata: { from: 'a tab' } })
    reads++
  }
  const holders = async () => {
    const held = await Promise.all(alive.map(node => node.run(async ({ mesh }) => (await mesh.knowledge.storage()).held)))
    const others = await readers[0].run(({ mesh }, cid) => mesh.knowledge.whoHas(cid), stored.cid)
    return [...alive.filter((_, n) => held[n] > 0).map(node => node.peerId), ...others.filter(peerId => peerId === relayId)]
  }
  await readable()
  for (const death of [1, 2]) {
    const victim = alive.find(node => stored.placed.includes(node.peerId))
    victim.child.kill('SIGKILL')
    await victim.exited
    alive = alive.filter(node => node !== victim)
    const died = performance.now()
    await readable()
    while ((await holders()).length < 3) {
      assert.ok(performance.now() - died < HEALED_MS, `three hold it within ${HEALED_MS} ms of death ${death}: ${await holders()}`)
      await new Promise(resolve => setTimeout(resolve, 500))
    }
    await readable()
    t.diagnostic(`death ${death}: three hold it again after ${Math.round((performance.now() - died) / 1000)} s`)
  }
  t.diagnostic(`read by ${reads} others, each time the same ${SIZE} bytes`)
})
