// The product as it is, and Helia as it is on npm, each in processes of their own: an agent in Node.js and the relay give
// files and directories to Helia by their CIDs, and the agent gets Helia's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Agent, Helia, RelayPeer } from './lib/block-peers.mjs'
import { LARGE, LARGE_CID, gets, tree } from './lib/block-suite.mjs'
import { sha256, xorshift } from './src/bytes.mjs'

const LIMIT = { timeout: 90_000 }
const TCP = /\/tcp\/\d+\/p2p\//
const WEBSOCKET = /\/ws\//

// A relay, an agent of its mesh, and Helia, which is connected with that agent alone.
async function startAll(t) {
  const relay = await RelayPeer.start(t)
  const [agent, helia] = await Promise.all([Agent.start(t, relay.options), Helia.start(t)])
  await helia.meet(agent, WEBSOCKET)
  assert.deepEqual(await helia.connections(), [agent.peerId])
  return { relay, agent, helia }
}

test('Helia dials an agent in Node.js', LIMIT, async t => {
  const { agent, helia } = await startAll(t)
  await t.test('Helia gets a file of 3 MB and a directory', () => gets(helia, agent, LARGE))
  await t.test('the agent gets a file of 3 MB and a directory', () => gets(agent, helia, LARGE + 1))
})

test('the agent keeps what it has pinned of Helia', LIMIT, async t => {
  const { agent, helia } = await startAll(t)
  for (const made of [LARGE, tree('Helia')]) {
    const cid = await helia.add(made)
    const files = await helia.fetch(cid)
    assert.equal(await agent.pin(cid), cid)
    assert.equal(await agent.has(cid), true)
    const { received } = await agent.storage()
    assert.ok(received > LARGE && received < LARGE * 2, `${received} bytes received`)
    // All that it has.
    await helia.gc()
    assert.equal(await helia.has(cid), false)
    assert.deepEqual(await agent.fetch(cid), files)
    // And back again.
    assert.deepEqual(await helia.fetch(cid), files)
  }
})

for (const [way, over] of [['TCP', TCP], ['WebSocket', WEBSOCKET]]) {
  test(`Helia dials the relay over ${way}, and gets what an agent that has gone left there`, LIMIT, async t => {
    const [relay, helia] = await Promise.all([RelayPeer.start(t), Helia.start(t)])
    assert.equal(await relay.add(t, LARGE), LARGE_CID)
    await helia.meet(relay, over)
    assert.deepEqual(await helia.connections(), [relay.peerId])
    const [file] = await helia.fetch(LARGE_CID)
    assert.deepEqual(file, { path: '', length: LARGE, sha256: await sha256(xorshift(LARGE)) })
    assert.equal(await helia.add(LARGE), LARGE_CID)
    const sent = await relay.metric('mesh_relay_blocks_sent_bytes_total')
    assert.ok(sent > LARGE && sent < LARGE + 1000, `${sent} bytes sent`)
  })
}
