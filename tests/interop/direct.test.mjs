// js-libp2p dials a relay by /webrtc-direct, by version 1 of that protocol.

import './src/node-20.mjs'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startMesh } from '../e2e/lib/mesh.mjs'

test('js-libp2p connects, learns what the relay speaks, and its streams come and go', { timeout: 60_000 }, async t => {
  const [{ createLibp2p }, { webRTCDirect }, { noise }, { identify }, { ping }, { multiaddr }] = await Promise.all(
    ['libp2p', '@libp2p/webrtc', '@libp2p/noise', '@libp2p/identify', '@libp2p/ping', '@multiformats/multiaddr'].map(name => import(name)),
  )
  const world = await startMesh(t, { listen: ['/ip4/127.0.0.1/udp/0/webrtc-direct'] })
  const address = world.relay.addresses.find(address => address.includes('/webrtc-direct/'))
  const node = await createLibp2p({
    transports: [webRTCDirect()],
    connectionEncrypters: [noise()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping({ maxOutboundStreams: 64 }) },
  })
  t.after(() => node.stop())
  const { remotePeer } = await node.dial(multiaddr(address))
  assert.equal(remotePeer.toString(), world.relay.peerId)
  // libdatachannel gives the id of a channel to the next one as soon as it may: the relay must be done with it by then.
  for (let round = 0; round < 200; round++) await node.services.ping.ping(remotePeer)
  while (!(await node.peerStore.get(remotePeer)).protocols.includes('/neural-mesh/join/1')) await new Promise(resolve => setTimeout(resolve, 20))
})
