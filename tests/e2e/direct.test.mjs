// Agents in Node.js with node-datachannel connect directly; without it they say so, and go through the relay.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { acquaint, seen, startMesh } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
const WITHOUT = fileURLToPath(new URL('lib/without-datachannel.mjs', import.meta.url))
const SIZE = 10_000_000

test('two Node agents connect directly, and weights leave the relay alone', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await directPair(world)
  const bytes = () => world.relay.metric('mesh_relay_relayed_bytes_total')
  const before = await bytes()
  const shared = await ada.run(async ({ mesh }, to, size) => {
    const { bytes, resumed } = await mesh.weights.share(to, { agentId: 'ada', data: new Uint8Array(size).fill(7) })
    return { bytes, resumed }
  }, bob.id, SIZE)
  assert.deepEqual(shared, { bytes: SIZE, resumed: 0 })
  const passed = (await bytes()) - before
  t.diagnostic(`${passed} bytes through the relay, ${SIZE} directly`)
  assert.ok(passed < 20_000, `${passed} bytes through the relay`)
})

test('1,000 messages both ways while the relay is killed: none lost, none twice, in order', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await directPair(world)
  const send = async ({ mesh, state }, to) => {
    for (let n = 0; n < 1000; n++) await mesh.send(to, (state.sent = n), { timeoutMs: 30_000 })
  }
  const sending = Promise.all([ada.run(send, bob.id), bob.run(send, ada.id)])
  await ada.run(({ state, until }) => until(() => state.sent >= 300))
  await world.relay.kill()
  await sending
  for (const agent of [ada, bob]) {
    await seen(agent, 'relay-disconnected')
    const payloads = await agent.run(({ log }) => log.messages.map(message => message.payload))
    assert.deepEqual(payloads, Array.from({ length: 1000 }, (_, n) => n))
  }
})

test('without node-datachannel an agent says how to get it, and goes through the relay', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent('ada', { webrtc: true })
  const bob = await world.process({ execArgv: ['--import', WITHOUT] })
  await bob.join(world, 'bob', { webrtc: true })
  await acquaint(ada, bob)
  assert.match(bob.stderr, /\[NEURAL_MESH_NO_WEBRTC\].*node-datachannel is not installed.*npm install node-datachannel/)
  await bob.run(({ mesh }, to) => mesh.send(to, 'by way of the relay'), ada.id)
  const reason = (agent, peer) => agent.run(async ({ mesh }, peerId) => {
    const { links } = await mesh.health.topology()
    return links.find(link => link.peerId === peerId)?.reason
  }, peer.peerId)
  assert.equal(await reason(bob, ada), 'no-webrtc-here')
  assert.equal(await reason(ada, bob), 'no-webrtc-there')
})

test('webrtc: false keeps everything on the relay', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent('ada', { webrtc: true })
  const bob = await world.agent('bob', { webrtc: false })
  await acquaint(ada, bob)
  await ada.run(({ mesh }, to) => mesh.send(to, 'hello'), bob.id)
  const links = await bob.run(async ({ mesh }) => (await mesh.health.topology()).links.filter(link => !link.relay))
  assert.deepEqual(links.map(({ peerId, relayed, reason }) => ({ peerId, relayed, reason })), [
    { peerId: ada.peerId, relayed: true, reason: 'relay-only' },
  ])
})

// Two agents that are connected without a relay between them.
async function directPair(world) {
  const pair = await Promise.all(['ada', 'bob'].map(name => world.agent(name, { webrtc: true })))
  await acquaint(...pair)
  const direct = async ({ mesh, until }, peerId) => {
    const isDirect = ({ links }) => links.some(link => link.peerId === peerId && !link.relayed)
    await until(async () => isDirect(await mesh.health.topology()), { what: 'a direct connection', everyMs: 10 })
  }
  await Promise.all([pair[0].run(direct, pair[1].peerId), pair[1].run(direct, pair[0].peerId)])
  return pair
}
