// What a mesh does by itself when a part of it is gone, and what it says of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knows, startMesh } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }

const health = agent => agent.run(async ({ mesh }) => (await mesh.health.topology()).health)

// Resolves when `holds`, a function of the health, is true of it.
const becomes = (agent, holds, what) => {
  return agent.run(
    ({ mesh, until }, holds, what) => {
      const now = new Function('health', `return (${holds})(health)`)
      return until(async () => now((await mesh.health.topology()).health), { what, everyMs: 50 })
    },
    holds.toString(),
    what,
  )
}

test('an agent whose only relay is gone is reached through another one of the mesh', LIMIT, async t => {
  const world = await startMesh(t)
  const second = await world.secondRelay()
  const ada = await world.agent('ada')
  const bob = await world.agent('bob', { relays: second.address })
  await Promise.all([knows(ada, [bob.id]), knows(bob, [ada.id])])
  await becomes(ada, ({ parts }) => parts.relays === 100, 'its relay counts')

  await world.relay.kill()
  await becomes(ada, ({ parts }) => parts.relays === 50, 'another relay stands in')
  const { score, reasons } = await health(ada)
  assert.equal(score, 50)
  assert.ok(reasons.includes('1 of 1 relays cannot be reached; others of the mesh that stand in: 1'), reasons.join('; '))

  // Who comes now knows nothing of the relay that is gone, and reaches it all the same.
  const eve = await world.agent('eve', { relays: second.address })
  await knows(eve, [ada.id])
  const { peerId } = await eve.run(({ mesh }, id) => mesh.messages.send(id, 'still there?'), ada.id)
  assert.equal(peerId, ada.peerId)

  await world.startRelay()
  await becomes(ada, ({ parts }) => parts.relays === 100, 'its own relay is back')
})

test('an agent that is alone says so, and is well when others come', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent('ada')
  await becomes(ada, ({ parts }) => parts.members === 100 && parts.links === 100, 'the relay is company enough')
  const bob = await world.agent('bob')
  await knows(ada, [bob.id])
  await becomes(ada, ({ score, reasons }) => score === 100 && reasons.length === 0, 'all is well')
})
