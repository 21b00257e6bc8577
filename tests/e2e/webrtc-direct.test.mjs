// Node agents that know a relay by its /webrtc-direct address only.

import { test } from 'node:test'
import { startMesh } from './lib/mesh.mjs'

test('a Node agent with WebRTC joins by /webrtc-direct', { timeout: 60_000 }, async t => {
  const world = await startMesh(t, { listen: ['/ip4/127.0.0.1/udp/0/webrtc-direct'] })
  const relays = world.relay.addresses.find(address => address.includes('/webrtc-direct/'))
  const nora = await world.agent('nora', { relays, webrtc: true })
  const bob = await world.agent('bob')
  for (const [from, to] of [[nora, bob], [bob, nora]]) {
    await from.run(({ mesh }, to) => mesh.send(to, 'hello'), to.id)
    await to.run(({ log, until }) => until(() => log.messages.length === 1))
  }
})
