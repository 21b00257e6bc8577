// Agents in browsers connect to each other directly, and go on without the relay.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 90_000 }
// What Chromium writes down while the relay is away.
const AWAY = [/WebSocket connection to .* failed/]

test('two browsers connect directly, and talk while the relay is gone', LIMIT, async t => {
  const world = await startWorld(t)
  const { ada, bob, connectMs } = await directPair(world)
  t.diagnostic(`direct ${connectMs} ms after the second had joined`)
  assert.ok(connectMs < 3000, `direct after ${connectMs} ms`)

  // Once the circuit is closed, what they send leaves the relay alone.
  const before = await relayedBytes(world)
  const { bytes, digest } = await shareWeights(ada, bob, 10_000_000)
  assert.equal(bytes, 10_000_000)
  assert.equal(await arrivedDigest(bob), digest)
  const passed = (await relayedBytes(world)) - before
  t.diagnostic(`${passed} bytes passed through the relay meanwhile`)
  assert.ok(passed < 20_000, `${passed} bytes passed through the relay`)

  await world.relay.kill()
  await ada.until(() => log.events.some(event => event.type === 'relay-disconnected'))
  for (const [from, to] of [[ada, bob], [bob, ada]]) {
    await from.run(([to]) => mesh.send(to, 'still here').then(() => mesh.broadcast('to all')), [to.id])
    await to.until(() => log.messages.some(message => message.payload === 'still here'))
    await to.until(() => log.broadcasts.some(broadcast => broadcast.payload === 'to all'))
  }

  await world.e2e.startRelay()
  const carol = await world.browserAgent({ id: 'carol' })
  await carol.run(to => mesh.send(to, 'hello from a newcomer'), ada.id)
  await ada.until(() => log.messages.some(message => message.payload === 'hello from a newcomer'))
})

test('a browser and a Node agent connect directly', LIMIT, async t => {
  const world = await startWorld(t)
  const nora = await world.nodeAgent('nora', { webrtc: true })
  const ada = await world.browserAgent({ id: 'ada' })
  await ada.connectsTo(nora)
  const { bytes, digest } = await shareWeights(ada, nora, 1_000_000)
  assert.equal(bytes, 1_000_000)
  const arrived = await nora.run(({ log, until }) => until(() => log.weights[0]?.checksum))
  assert.equal(arrived, hex(digest))
  await nora.run(({ mesh }, to) => mesh.send(to, 'and back'), ada.id)
  await ada.until(() => log.messages.some(message => message.payload === 'and back'))
})

test('where WebRTC is forbidden everything goes through the relay, and the topology says why', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.browserAgent({ id: 'ada' }, { init: () => void delete globalThis.RTCPeerConnection })
  const bob = await world.browserAgent({ id: 'bob' })
  await ada.until(id => log.events.some(event => event.type === 'agent-joined' && event.agent.id === id), bob.id)
  const before = await relayedBytes(world)
  const { digest } = await shareWeights(ada, bob, 1_000_000)
  assert.equal(await arrivedDigest(bob), digest)
  assert.ok((await relayedBytes(world)) - before >= 1_000_000)
  await bob.run(to => mesh.send(to, 'hello').then(() => mesh.broadcast('to all')), ada.id)
  await ada.until(() => log.messages.length > 0 && log.broadcasts.length > 0)
  const reason = (one, other) => one.run(async peerId => {
    return (await mesh.health.topology()).links.find(link => link.peerId === peerId)?.reason
  }, other.peerId)
  assert.equal(await reason(ada, bob), 'no-webrtc-here')
  assert.equal(await reason(bob, ada), 'no-webrtc-there')
})

// Payload that the relay has carried between others.
function relayedBytes(world) {
  return world.relay.metric('mesh_relay_relayed_bytes_total')
}

// Two tabs in contexts of their own, once they are connected directly and the relayed connection is closed.
async function directPair(world) {
  const ada = await world.browserAgent({ id: 'ada' }, { expect: AWAY })
  const bob = await world.browserAgent({ id: 'bob' }, { expect: AWAY })
  const started = performance.now()
  await Promise.all([ada.connectsTo(bob), bob.connectsTo(ada)])
  return { ada, bob, connectMs: Math.round(performance.now() - started) }
}

function shareWeights(from, to, size) {
  return from.run(async ([to, size]) => {
    const bytes = new Uint8Array(size)
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65_536, size)))
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).join()
    const shared = await mesh.weights.share(to, { agentId: 'ada', data: bytes })
    return { bytes: shared.bytes, digest }
  }, [to.id, size])
}

async function arrivedDigest(agent) {
  await agent.until(() => log.weights.length > 0)
  return agent.run(async () => new Uint8Array(await crypto.subtle.digest('SHA-256', log.weights[0].data)).join())
}

// A digest that came as numbers, as the package writes it.
function hex(numbers) {
  return Buffer.from(numbers.split(',').map(Number)).toString('hex')
}
