// What one test has at hand: our relay, and nodes where they are wanted. All of it ends with the test.

import { startMesh } from '../../e2e/lib/mesh.mjs'
import { startWorld } from '../../browser/lib/world.mjs'
import { NodePeer, TabPeer } from './peers.mjs'

// `places`: where nodes will run, 'node' or 'chromium'.
export async function startInterop(t, places) {
  const ends = []
  // Its nodes before its relay.
  t.after(() => Promise.all(ends.map(end => end())))
  const world = places.includes('chromium') ? await startWorld(t, { mesh: 'interop' }) : undefined
  const { relay } = world ?? (await startMesh(t, { mesh: 'interop' }))
  return {
    relay,
    // A node of a kind, 'js' or 'ours', that listens by way of the relay or only dials.
    async peer(place, kind, { listen = false } = {}) {
      const peer = place === 'node' ? NodePeer.start() : await TabPeer.start(world)
      if (place === 'node') ends.push(() => peer.end())
      await peer.start(kind, { relay: relay.address, listen })
      return Object.assign(peer, { place })
    },
  }
}
