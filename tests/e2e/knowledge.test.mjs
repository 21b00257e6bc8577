// Shared knowledge: a relay, and agents in processes of their own that put, get, take away and hold values for each other.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateIdentity } from 'neural-mesh'
import { acquaint, seen, startMesh } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
// `printf hello | ipfs add --cid-version 1`
const HELLO = 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq'

const codeOf = promise => promise.then(() => 'none', ({ code }) => code)

const put = (agent, key, value, options) =>
  agent.run(({ mesh }, key, value, options) => mesh.knowledge.put(key, value, options), key, value, options)

const remove = (agent, key, options) => agent.run(({ mesh }, key, options) => mesh.knowledge.delete(key, options), key, options)

const get = (agent, key, options) => agent.run(({ mesh }, key, options) => mesh.knowledge.get(key, options), key, options)

// What a key stands for, once its latest version is this one.
async function got(agent, key, version, options) {
  await known(agent, key, [version], options)
  return get(agent, key, options)
}

// Resolves when `agent` knows these versions of a key, in this order.
function known(agent, key, versions, options) {
  const knows = async ({ mesh, until }, key, versions, options) => {
    const here = async () => (await mesh.knowledge.entries(key, options)).map(({ version }) => version)
    await until(async () => String(await here()) === String(versions), { what: `${key} is ${versions}` })
  }
  return agent.run(knows, key, versions, options)
}

test('values of all kinds come to the other agent as they were, texts and bytes under the CIDs that IPFS has for them', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const hello = new TextEncoder().encode('hello')
  const values = [
    ...['hello', '', 'grüße 👋', hello, new Uint8Array(), null, true, -1.5, 2n ** 60n, [1, [2]], { loss: 0.12, at: { step: 3 }, raw: hello }],
    ...[new Float32Array([1.5, -2]), new Float64Array([Math.PI]), new Int16Array([-1]), new BigUint64Array([2n ** 63n])],
    // Of several blocks.
    new Uint8Array(600_000).map((_, i) => i * i),
  ]
  const cids = []
  for (const [n, value] of values.entries()) {
    const { cid, version } = await put(ada, `value/${n}`, value, { metadata: { n }, waitMs: 0 })
    const entry = await got(bob, `value/${n}`, version)
    assert.deepEqual(entry.value, value)
    assert.deepEqual([entry.metadata, entry.author, entry.cid], [{ n }, ada.peerId, cid])
    cids.push(cid)
  }
  const { cid: file } = await ada.run(({ mesh }, bytes) => mesh.knowledge.addFile(bytes), hello)
  assert.deepEqual([cids[0], cids[3], file], [HELLO, HELLO, HELLO])
  const keys = await bob.run(async ({ mesh }) => {
    const keys = []
    for await (const { key, size } of mesh.knowledge.keys('shared', { prefix: 'value/1', limit: 3 })) keys.push([key, size])
    return keys
  })
  assert.deepEqual(keys.map(([key]) => key), ['value/1', 'value/10', 'value/11'])
  assert.deepEqual([keys[0][1], keys[2][1]], [0, 8])
  const image = await put(ada, 'image', hello, { type: 'image/png', waitMs: 0 })
  const { type, value } = await got(bob, 'image', image.version)
  assert.deepEqual([type, value], ['image/png', hello])
})

test('four agents: what one puts, three others hold; they are told, and tell; what is pinned stays when it was taken away', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, cyd, dan] = await world.agents('ada', 'bob', 'cyd', 'dan')
  const value = new Uint8Array(300_000).fill(7)
  const { cid, placed, holders } = await put(ada, 'model', value, { waitMs: 20_000 })
  assert.equal(placed.length, 3)
  assert.ok(!placed.includes(ada.peerId))
  assert.deepEqual(new Set(holders), new Set([ada.peerId, ...placed]))
  const whoHas = agent => agent.run(({ mesh }) => mesh.knowledge.whoHas({ key: 'model' }))
  for (const agent of [ada, dan]) assert.deepEqual(new Set(await whoHas(agent)), new Set(holders))
  // The relay may be one of them.
  for (const agent of [ada, bob, cyd, dan].filter(({ peerId }) => holders.includes(peerId))) {
    const { used, max, placed, held } = await agent.run(({ mesh }) => mesh.knowledge.storage())
    assert.deepEqual([used > 300_000, max, held], [true, 256 * 1024 * 1024, placed])
    assert.equal(held, agent === ada ? 0 : 1)
  }

  const one = await put(ada, 'one', value.fill(8), { replicas: 1, waitMs: 20_000 })
  assert.equal(one.placed.length, 1)
  assert.equal(await bob.run(({ mesh }) => mesh.knowledge.pin({ key: 'model' })), cid)
  const version = await remove(cyd, 'model')
  await Promise.all([ada, bob, cyd, dan].map(agent => known(agent, 'model', [version])))
  const pinned = ({ mesh, until }, cid, peerId) => until(async () => String(await mesh.knowledge.whoHas(cid)) === peerId, { what: 'bob alone has it' })
  await bob.run(pinned, cid, bob.peerId)
  assert.deepEqual(await bob.run(({ mesh }) => mesh.knowledge.pins()), [cid])
  await bob.run(({ mesh }, cid) => mesh.knowledge.unpin(cid), cid)
  assert.deepEqual(await bob.run(({ mesh }) => mesh.knowledge.pins()), [])
})

test('who writes a key without knowing of the other\'s is its sibling; who knows of both replaces both', LIMIT, async t => {
  const world = await startMesh(t)
  const proxy = await world.proxy()
  const [ada, bob] = [await world.agent('ada'), await world.agent('bob', { via: proxy })]
  await acquaint(ada, bob)
  const first = await put(ada, 'plan', 'first', { waitMs: 0 })
  await known(bob, 'plan', [first.version])

  proxy.cut()
  await seen(bob, 'relay-disconnected')
  const earlier = await put(ada, 'plan', 'from ada', { waitMs: 0 })
  const later = await put(bob, 'plan', 'from bob', { waitMs: 0 })
  proxy.heal()
  for (const agent of [ada, bob]) await known(agent, 'plan', [later.version, earlier.version])
  const read = async ({ mesh }) => {
    const { value, author, siblings } = await mesh.knowledge.get('plan')
    return [value, author, await Promise.all(siblings.map(async sibling => [sibling.author, await sibling.value()]))]
  }
  for (const agent of [ada, bob]) assert.deepEqual(await agent.run(read), ['from bob', bob.peerId, [[ada.peerId, 'from ada']]])

  const merged = await put(ada, 'plan', 'from both', { waitMs: 0 })
  await known(bob, 'plan', [merged.version])
  assert.equal(await codeOf(get(bob, 'plan', { maxBytes: 8 })), 'too-large')
  const { value, siblings } = await get(bob, 'plan', { maxBytes: 9 })
  assert.deepEqual([value, siblings], ['from both', []])
})

test('a key is taken away, by whoever; one that is over counts as that, and both are told', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const options = { domain: 'facts' }
  await bob.run(({ mesh, state }) => {
    state.told = []
    mesh.knowledge.subscribe('facts', ({ key, change, current, entry }) => state.told.push([key, change, current, entry?.author]))
    state.read = (async () => {
      for await (const { key, change, entry } of mesh.knowledge.subscribe('facts')) {
        if (change === 'put') return [key, await entry.value()]
      }
    })()
  })
  const { version } = await put(ada, 'kept', 1, { ...options, waitMs: 0 })
  await known(bob, 'kept', [version], options)
  assert.deepEqual(await bob.run(({ state }) => state.read), ['kept', 1])
  const gone = await remove(bob, 'kept', options)
  await known(ada, 'kept', [gone], options)
  assert.equal(await get(ada, 'kept', options), null)

  await put(ada, 'brief', 1, { ...options, ttlMs: 1000, waitMs: 0 })
  const told = await bob.run(async ({ state, until }) => {
    await until(() => state.told.some(([, change]) => change === 'expired'), { what: 'it is over' })
    return state.told
  })
  assert.deepEqual(told, [
    ['kept', 'put', true, ada.peerId],
    ['kept', 'delete', true, bob.peerId],
    ['brief', 'put', true, ada.peerId],
    ['brief', 'expired', true, undefined],
  ])
  assert.equal(await get(bob, 'brief', options), null)
  assert.ok(await bob.run(async ({ mesh }) => (await mesh.knowledge.keys('facts').next()).done), 'nothing is left')
})

test('in a domain of its own a node says who writes; what others wrote counts while they may', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, cyd] = await world.agents('ada', 'bob', 'cyd')
  const domain = await ada.run(({ mesh }) => mesh.knowledge.ownDomain('plans'))
  assert.equal(domain, `plans@${ada.peerId}`)
  const options = { domain, waitMs: 0 }
  const { version } = await put(ada, 'next', 'sleep', options)
  assert.equal((await got(bob, 'next', version, { domain })).value, 'sleep')
  assert.equal(await codeOf(put(bob, 'next', 'work', options)), 'not-a-writer')
  assert.equal(await codeOf(remove(bob, 'next', { domain })), 'not-a-writer')
  assert.equal(await codeOf(bob.run(({ mesh }, domain) => mesh.knowledge.grant(domain, []), domain)), 'not-a-writer')

  const grant = peerIds => ada.run(({ mesh }, domain, peerIds) => mesh.knowledge.grant(domain, peerIds), domain, peerIds)
  const granted = async (agents, peerIds) => {
    const told = agents.map(agent => agent.run(({ mesh }, domain) => new Promise(resolve => {
      const stop = mesh.on('knowledge-changed', ({ entry }) => {
        if (entry.domain !== domain || entry.change !== 'grant') return
        stop()
        resolve(entry.writers)
      })
    }), domain))
    // Each of them listens by now, for an agent runs one call after another.
    await Promise.all(agents.map(agent => agent.run(() => {})))
    await grant(peerIds)
    for (const writers of await Promise.all(told)) assert.deepEqual(writers, peerIds)
  }
  await granted([bob, cyd], [bob.peerId])
  const bobs = await put(bob, 'next', 'work', options)
  for (const agent of [ada, cyd]) assert.equal((await got(agent, 'next', bobs.version, { domain })).value, 'work')
  assert.equal(await codeOf(put(cyd, 'next', 'play', options)), 'not-a-writer')
  await granted([bob, cyd], [])
  assert.equal(await codeOf(put(bob, 'next', 'rest', options)), 'not-a-writer')
  for (const agent of [ada, bob, cyd]) assert.equal(await get(agent, 'next', { domain }), null)
})

test('a domain is compared on demand: what one has missed comes, and both know the same', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await ada.run(async ({ mesh }) => {
    for (let n = 0; n < 20; n++) await mesh.knowledge.put(`k${n}`, n, { domain: 'numbers', waitMs: 0 })
  })
  // It has heard nothing of all that.
  const cyd = await world.agent('cyd')
  const result = await cyd.run(async ({ mesh, until }, ada, bob) => {
    await until(async () => {
      const links = (await mesh.health.topology()).links.map(({ peerId }) => peerId)
      return [ada, bob].every(peerId => links.includes(peerId))
    }, { what: 'there are links to both' })
    const progress = []
    const result = await mesh.knowledge.sync('numbers', [`ada@${ada}`, bob, 'stranger'], { onProgress: ({ done }) => progress.push(done) })
    return { ...result, progress }
  }, ada.peerId, bob.peerId)
  assert.deepEqual(result.progress, [1, 2, 3])
  assert.deepEqual(result.failures.map(({ peerId, code }) => [peerId, code]), [['stranger', 'peer-unreachable']])
  assert.deepEqual(new Set(result.peers.map(({ peerId }) => peerId)), new Set([ada.peerId, bob.peerId]))
  assert.ok(result.peers.every(({ whole }) => whole), JSON.stringify(result))
  const digest = ({ mesh }) => mesh.knowledge.domains()
  const [theirs, ours] = await Promise.all([ada, cyd].map(agent => agent.run(digest)))
  assert.deepEqual(ours, theirs)
  assert.equal(ours[0].entries, 20)
  assert.equal((await get(cyd, 'k7', { domain: 'numbers' })).value, 7)
  const stored = await cyd.run(async ({ mesh, DistributedKnowledgeStore }) => {
    const store = new DistributedKnowledgeStore(mesh, { domain: 'numbers' })
    const cid = await store.storeKnowledge('k7', 'seven', { by: 'cyd' })
    const entry = await store.retrieveKnowledge('k7')
    return [cid === entry.cid, entry.value, entry.metadata]
  })
  assert.deepEqual(stored, [true, 'seven', { by: 'cyd' }])
})

test('the first who asks for a key that was put before it came gets it', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent('ada')
  await put(ada, 'early', 'bird', { waitMs: 0 })
  const bob = await world.agent('bob')
  await acquaint(ada, bob)
  const value = await bob.run(async ({ mesh, until }, peerId) => {
    await until(async () => (await mesh.health.topology()).links.some(link => link.peerId === peerId), { what: 'there is a link' })
    return (await mesh.knowledge.get('early'))?.value
  }, ada.peerId)
  assert.equal(value, 'bird')
})

test('an agent that is killed knows and has everything when it is back, by itself', LIMIT, async t => {
  const world = await startMesh(t)
  const member = { identity: generateIdentity(), store: join(world.dir, 'ada') }
  const ada = await world.agent('ada', member)
  const value = new Uint8Array(600_000).map((_, i) => i * i)
  const versions = await ada.run(async ({ mesh }, value) => {
    const { version } = await mesh.knowledge.put('large', value, { metadata: { n: 1 }, waitMs: 0 })
    const small = await mesh.knowledge.put('small', 'text', { waitMs: 0 })
    await mesh.knowledge.put('gone', 1, { waitMs: 0 })
    const gone = await mesh.knowledge.delete('gone')
    await mesh.knowledge.addFile(new TextEncoder().encode('pinned'))
    return [version, small.version, gone]
  }, value)
  const pins = await ada.run(({ mesh }) => mesh.knowledge.pins())
  await ada.kill()
  assert.ok(readdirSync(join(world.dir, 'ada', 'blocks')).length > 2, 'blocks stand beside the rest')

  const back = await world.agent('ada', member)
  assert.equal(back.peerId, ada.peerId)
  const [large, small] = [await get(back, 'large'), await get(back, 'small')]
  assert.deepEqual([large.version, large.value, large.metadata, small.version, small.value], [versions[0], value, { n: 1 }, versions[1], 'text'])
  assert.equal(await get(back, 'gone'), null)
  await known(back, 'gone', [versions[2]])
  assert.deepEqual(await back.run(({ mesh }) => mesh.knowledge.pins()), pins)
  const { used, received, entries } = await back.run(({ mesh }) => mesh.knowledge.storage())
  assert.ok(used > 600_000 && received === 0 && entries === 3, JSON.stringify({ used, received, entries }))

  const twice = await world.process()
  assert.equal(await codeOf(twice.join(world, 'ada', { ...member, identity: generateIdentity() })), 'in-use')
  const other = await world.process()
  const blocks = { identity: generateIdentity(), knowledge: { blocks: join(member.store, 'blocks') } }
  assert.equal(await codeOf(other.join(world, 'ada', blocks)), 'in-use')
})

test('what there is no room for is refused: by the bound, and by a store that is full; the node goes on', LIMIT, async t => {
  const world = await startMesh(t)
  const small = await world.agent('small', { knowledge: { maxBytes: 100_000 } })
  const large = new Uint8Array(200_000).map((_, i) => i * i)
  assert.equal(await codeOf(put(small, 'large', large)), 'storage-full')
  assert.equal(await get(small, 'large'), null)
  const { version } = await put(small, 'small', large.subarray(0, 50_000), { waitMs: 0 })
  assert.equal((await got(small, 'small', version)).size, 50_000)

  const full = await world.process()
  const codes = await full.run(async ({ joinMesh, memoryBlocks, MeshError }, relays) => {
    const blocks = memoryBlocks()
    const put = blocks.put.bind(blocks)
    let room = false
    blocks.put = batch => (room ? put(batch) : Promise.reject(new MeshError('storage-full', 'no room left')))
    const mesh = await joinMesh('e2e', { relays, webrtc: false, knowledge: { blocks } })
    const codeOf = promise => promise.then(() => 'none', ({ code }) => code)
    const tries = () => [mesh.knowledge.put('k', 'value', { waitMs: 0 }), mesh.knowledge.addFile(new Uint8Array(10))]
    const codes = await Promise.all(tries().map(codeOf))
    room = true
    codes.push(...(await Promise.all(tries().map(codeOf))), (await mesh.knowledge.get('k')).value)
    await mesh.close()
    return codes
  }, world.relay.address)
  assert.deepEqual(codes, ['storage-full', 'storage-full', 'none', 'none', 'value'])
})

test('files and directories go from agent to agent, with progress', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const bytes = new Uint8Array(3_000_000).map((_, i) => (i * i) >> 3)
  const file = await ada.run(({ mesh }, bytes) => mesh.knowledge.addFile(bytes), bytes)
  assert.equal(file.size, bytes.length)
  const { read, progress } = await bob.run(async ({ mesh }, cid) => {
    const progress = []
    const read = await mesh.knowledge.readFile(cid, { onProgress: ({ bytes }) => progress.push(bytes) })
    return { read, progress }
  }, file.cid)
  assert.deepEqual(read, bytes)
  assert.ok(progress.length > 1 && progress.every((bytes, n) => n === 0 || bytes > progress[n - 1]), String(progress))

  const directory = await ada.run(async ({ mesh }, file) => {
    const note = new TextEncoder().encode('hello')
    return mesh.knowledge.addDirectory({ 'large.bin': file, docs: { 'note.txt': note, empty: {} } })
  }, file)
  const tree = await bob.run(async ({ mesh }, cid) => {
    const { knowledge } = mesh
    const names = []
    const walk = async (path, cid) => {
      for (const entry of await knowledge.list(cid)) {
        names.push(`${path}/${entry.name}`)
        if (entry.name === 'docs') await walk(`${path}/docs`, entry.cid)
        if (entry.name === 'note.txt') names.push(new TextDecoder().decode(await knowledge.readFile(entry.cid)))
      }
    }
    await walk('', cid)
    await knowledge.pin(cid)
    return names
  }, directory.cid)
  assert.deepEqual(tree, ['/docs', '/docs/empty', '/docs/note.txt', 'hello', '/large.bin'])
  assert.deepEqual(new Set(await ada.run(({ mesh }) => mesh.knowledge.pins())), new Set([file.cid, directory.cid]))

  // Whoever has pinned it has all of it when the other one is gone.
  await ada.kill()
  const here = await bob.run(({ mesh }, cid) => mesh.knowledge.readFile(cid), file.cid)
  assert.deepEqual(here, bytes)
  const nowhere = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
  const readIt = ({ mesh }, cid, options) => mesh.knowledge.readFile(cid, options)
  assert.equal(await codeOf(bob.run(readIt, nowhere, { timeoutMs: 500 })), 'not-found')
  assert.equal(await codeOf(bob.run(readIt, directory.cid)), 'integrity')
  assert.equal(await codeOf(bob.run(readIt, 'no CID')), 'invalid-argument')
})

test('blocks are hashed by node:crypto', LIMIT, async t => {
  const world = await startMesh(t)
  const ada = await world.agent('ada')
  const hashed = await ada.run(async ({ mesh }) => {
    const { Hash } = await import('node:crypto')
    const { update } = Hash.prototype
    let bytes = 0
    Hash.prototype.update = function (data, ...rest) {
      bytes += data.length
      return update.call(this, data, ...rest)
    }
    await mesh.knowledge.addFile(new Uint8Array(3_000_000)).finally(() => (Hash.prototype.update = update))
    return bytes
  })
  assert.ok(hashed >= 3_000_000, `${hashed} bytes of 3,000,000`)
})
