// A page that connects and closes again and again is in the end as it was: it has room for 500 peer connections in all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startWorld } from './lib/world.mjs'

const CYCLES = Number(process.env.CYCLES ?? 200)
const LIMIT = { timeout: 60_000 + CYCLES * 2_000 }
// What a cycle may leave behind on average, bytes of JavaScript's heap: measured around 0, with some noise.
const HEAP_PER_CYCLE = 4 * 1024

test(`${CYCLES} connections come and go, and nothing stays behind`, LIMIT, async t => {
  const world = await startWorld(t)
  const bob = await world.browserAgent({ id: 'bob' })
  const { tab } = await world.tab('/test/agent.html')
  await tab.waitForFunction(() => globalThis.neuralMesh !== undefined)
  const devtools = await tab.context().newCDPSession(tab)
  await cycles(tab, world, bob, 10)
  const before = await census(devtools)
  const started = performance.now()
  await cycles(tab, world, bob, CYCLES)
  const took = Math.round((performance.now() - started) / CYCLES)
  const after = await census(devtools)
  t.diagnostic(`${took} ms a cycle`)
  for (const kind of Object.keys(before)) t.diagnostic(`${kind}: ${before[kind]} before, ${after[kind]} after`)

  assert.equal(after.peerConnections, before.peerConnections)
  assert.equal(after.dataChannels, before.dataChannels)
  assert.ok(after.heap - before.heap < CYCLES * HEAP_PER_CYCLE, `${after.heap - before.heap} bytes of heap`)
  assert.ok(after.wasm - before.wasm <= 2 ** 20, `${after.wasm - before.wasm} bytes of wasm`)
})

// Joins, connects directly, and leaves, again and again.
function cycles(tab, world, bob, count) {
  return tab.evaluate(async ([name, relays, id, peerId, count]) => {
    for (let cycle = 0; cycle < count; cycle++) {
      const mesh = await neuralMesh.joinMesh(name, { relays, agent: { id: 'ada' } })
      await mesh.send(id, cycle)
      const isDirect = async () => (await mesh.health.topology()).links.some(link => link.peerId === peerId && !link.relayed)
      while (!(await isDirect())) await new Promise(resolve => setTimeout(resolve, 10))
      await mesh.close()
    }
  }, [world.mesh, world.relay.address, bob.id, bob.peerId, count])
}

// What lives in the page once garbage is collected.
async function census(devtools) {
  await devtools.send('HeapProfiler.enable')
  await devtools.send('HeapProfiler.collectGarbage')
  const count = async name => {
    const { result } = await devtools.send('Runtime.evaluate', { expression: `${name}.prototype` })
    const { objects } = await devtools.send('Runtime.queryObjects', { prototypeObjectId: result.objectId })
    return objects
  }
  const valueOf = async (object, expression) => {
    const functionDeclaration = `function () { return ${expression} }`
    const call = { objectId: object.objectId, functionDeclaration, returnByValue: true }
    return (await devtools.send('Runtime.callFunctionOn', call)).result.value
  }
  const peerConnections = await valueOf(await count('RTCPeerConnection'), 'this.length')
  const dataChannels = await valueOf(await count('RTCDataChannel'), 'this.length')
  const wasm = await valueOf(await count('WebAssembly.Memory'), 'this.reduce((sum, memory) => sum + memory.buffer.byteLength, 0)')
  const { usedSize } = await devtools.send('Runtime.getHeapUsage')
  return { peerConnections, dataChannels, wasm, heap: usedSize }
}
