import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, mock, test } from 'node:test'
import { createCharter, peerIdOf, readCharter } from '../src/charter.js'
import { MeshError } from '../src/errors.js'
import { createMesh, joinMesh } from '../src/mesh.js'
import { P2PNeuralMeshService } from '../src/service.js'
import type { NodeBlocks } from '../src/generated/mesh_wasm.js'
import { memoryBlocks } from '../src/store/blocks-memory.js'
import type { BlockStore } from '../src/store/blocks.js'
import { memoryStore } from '../src/store/memory.js'
import { MeshNode, loadWasm } from '../src/wasm.js'
import { FakeNode } from './fake-node.js'
import { deferred, rejectsCode, relay, turn } from './tools.js'

// The core is the real one, as far as its loading goes; the nodes that it opens are ours.
before(() => loadWasm(readFileSync(new URL('../src/generated/mesh_wasm_bg.wasm', import.meta.url))))

const joined = { type: 'joined', peerId: 'r', agents: 0 } as const
const connected = { type: 'relay-connected', peerId: 'r' } as const

function nodes(...given: FakeNode[]): FakeNode[] {
  const left = [...given]
  mock.method(MeshNode, 'open', async () => left.shift() as never)
  return given
}

test('joining waits for the member list, then announces the agent', async () => {
  const announced: unknown[] = []
  const [node] = nodes(new FakeNode({ announce: async (agent: unknown) => announced.push(agent) }))
  let done = false
  const joining = joinMesh('lab', { relays: relay, agent: { id: 'ada', capabilities: ['digits'] } }).then(mesh => ((done = true), mesh))
  node!.push(connected)
  await turn()
  assert.ok(!done)
  node!.push(joined)
  const mesh = await joining
  assert.deepEqual(announced, [{ name: 'ada', capabilities: ['digits'] }])
  assert.equal(mesh.name, 'lab')
  assert.ok(mesh.connected)
  await mesh.close()
})

test('messages that come before anybody listens are not lost', async () => {
  const [node] = nodes(new FakeNode())
  node!.push(joined, { type: 'message', id: 'm', from: 'x', to: '', body: new Uint8Array([1]), receipt: 9 })
  const mesh = await joinMesh('lab', { relays: relay })
  await turn()
  const heard = deferred<unknown>()
  mesh.on('message', ({ payload }) => heard.resolve(payload))
  assert.equal(await heard.promise, 1)
  assert.deepEqual(node!.receipts, [9])
  await mesh.close()
})

test('no relay answers: the error names them and the next step, and the node is closed', async () => {
  const [silent, deaf] = nodes(new FakeNode(), new FakeNode())
  await rejectsCode('relay-unreachable', /no relay answered within 5 ms: \/ip4.*mesh-relay --mesh lab/, joinMesh('lab', { relays: relay, timeoutMs: 5 }))
  deaf!.push(connected)
  await rejectsCode('relay-unreachable', /connected to a relay, but.*members of mesh 'lab'/, joinMesh('lab', { relays: relay, timeoutMs: 5 }))
  await turn()
  assert.deepEqual([silent!.closes, deaf!.closes], [1, 1])
})

test('aborting while it waits says so at once, and the node is closed', async () => {
  const [node] = nodes(new FakeNode())
  const controller = new AbortController()
  const joining = joinMesh('lab', { relays: relay, signal: controller.signal })
  await turn()
  controller.abort()
  await rejectsCode('aborted', /aborted/, joining)
  await turn()
  assert.equal(node!.closes, 1)
})

test('aborting while the node opens: it is closed when it is there', async () => {
  const opening = deferred<FakeNode>()
  mock.method(MeshNode, 'open', () => opening.promise as never)
  const controller = new AbortController()
  const joining = joinMesh('lab', { relays: relay, signal: controller.signal })
  await turn()
  controller.abort()
  await rejectsCode('aborted', /aborted/, joining)
  const node = new FakeNode()
  opening.resolve(node)
  await turn()
  assert.equal(node.closes, 1)
})

test('an agent that cannot be announced, a node that cannot be opened: the reason is told', async () => {
  const full = () => Promise.reject({ code: 'over-quota', message: 'too many agents' })
  const [node] = nodes(new FakeNode({ announce: full }))
  node!.push(joined)
  await rejectsCode('over-quota', /too many agents/, joinMesh('lab', { relays: relay, agent: { id: 'ada' } }))
  await turn()
  assert.equal(node!.closes, 1)
  mock.method(MeshNode, 'open', () => Promise.reject({ code: 'invalid-argument', message: 'bad multiaddr' }))
  await rejectsCode('invalid-argument', /bad multiaddr/, joinMesh('lab', { relays: relay }))
})

test('a charter and a store: what the core is opened with, and when the store is let go', async () => {
  const identity = new Uint8Array(32).fill(1)
  const charter = await createCharter({ name: 'Lab ✓', founders: await peerIdOf(identity) })
  const records = new Map([['a', new Uint8Array([1])]])
  const store = memoryStore(records)
  const node = new FakeNode()
  const opened = deferred<[Record<string, unknown>, { load(): Promise<unknown>; write(changes: [string, Uint8Array?][]): Promise<void> }]>()
  mock.method(MeshNode, 'open', async (...given: [never, never]) => (opened.resolve(given), node as never))
  node.push(joined)
  const mesh = await joinMesh(charter, { relays: relay, identity, store, webrtc: false })
  assert.equal(mesh.name, 'Lab ✓')
  const [config, kept] = await opened.promise
  assert.deepEqual([config['mesh'], config['charter'], config['identity'], 'store' in config], ['Lab ✓', charter, identity, false])
  assert.deepEqual(await kept.load(), [['a', new Uint8Array([1])]])
  await kept.write([['b', new Uint8Array([2])], ['a', undefined]])
  assert.deepEqual([...records], [['b', new Uint8Array([2])]])
  await mesh.close()
  await rejectsCode('closed', /closed/, store.write([]))

  const unused = memoryStore()
  mock.method(MeshNode, 'open', () => Promise.reject({ code: 'store-failed', message: 'no' }))
  await rejectsCode('store-failed', /no/, joinMesh(charter, { relays: relay, identity, store: unused }))
  await rejectsCode('closed', /closed/, unused.load())
})

test('knowledge: what the core is opened with, and when the stores are let go', async () => {
  const blocks = new Map([['bafkreia', new Uint8Array([1])]])
  const [store, kept] = [memoryStore(), memoryBlocks(blocks)]
  const given: [{ knowledge: unknown }, { load(): Promise<unknown> }?, NodeBlocks?][] = []
  const opening = new FakeNode()
  mock.method(MeshNode, 'open', async (...args: never) => (given.push(args), opening as never))
  opening.push(joined)
  const knowledge = { maxBytes: 5, hold: false, zone: 'rack 1', domains: ['facts'], blocks: kept }
  const mesh = await joinMesh('lab', { relays: relay, identity: new Uint8Array(32), store, knowledge, webrtc: false })
  const [config, entries, shelf] = given[0]!
  assert.deepEqual(config.knowledge, { maxBytes: 5, holds: false, native: false, zone: 'rack 1', domains: ['facts'] })
  assert.deepEqual(await entries!.load(), [])
  assert.deepEqual(await shelf!.list(), [['bafkreia', 1]])
  await shelf!.put([['bafkreib', new Uint8Array([2, 3])]])
  assert.deepEqual(await shelf!.get('bafkreib'), new Uint8Array([2, 3]))
  await shelf!.delete(['bafkreia'])
  assert.deepEqual([...blocks.keys()], ['bafkreib'])
  await mesh.close()
  for (const one of [store.write([]), kept.put([])]) await rejectsCode('closed', /closed/, one)

  opening.push(joined)
  await (await joinMesh('lab', { relays: relay })).close()
  assert.deepEqual(given[1]![0].knowledge, { maxBytes: 64 * 1024 * 1024, holds: true, native: false, zone: '' })
  assert.deepEqual(given[1]!.slice(1), [undefined, undefined])
})

test('a store that cannot be opened says why, and the other one is let go', async () => {
  const full = new MeshError('storage-full', 'no room left')
  const broken = { ...memoryBlocks(), list: () => Promise.reject(full), close: async () => {} } as BlockStore
  mock.method(MeshNode, 'open', async (_: never, __: never, blocks: NodeBlocks) => {
    await blocks.list().catch(() => {})
    throw { code: 'over-quota', message: 'the core knows no more' }
  })
  const store = memoryStore()
  const joining = joinMesh('lab', { relays: relay, identity: new Uint8Array(32), store, knowledge: { blocks: broken } })
  await rejectsCode('storage-full', /no room left/, joining)
  await rejectsCode('closed', /closed/, store.load())
})

test('no relay answers for a charter: the next step is the one for that', async () => {
  nodes(new FakeNode())
  const charter = await createCharter({ name: 'lab', founders: await peerIdOf(new Uint8Array(32)) })
  await rejectsCode('relay-unreachable', /mesh-relay --charter FILE/, joinMesh(charter, { relays: relay, timeoutMs: 5 }))
})

test('in a private mesh a founder may be alone, and a member when nobody comes in time', async () => {
  const identity = new Uint8Array(32)
  const is = (founder: boolean) => ({ membership: async () => ({ open: false, founder, invitesPerDay: 0 }) })
  const [founder, member, outside] = nodes(new FakeNode(is(true)), new FakeNode(is(false)), new FakeNode(is(false)))
  founder!.push(connected)
  const mesh = await createMesh('lab', { relays: relay, identity })
  const charter = await createCharter({ name: 'lab', founders: await peerIdOf(identity), open: false })
  await mesh.close()
  member!.push(connected)
  await (await joinMesh(charter, { relays: relay, timeoutMs: 20 })).close()
  await rejectsCode('relay-unreachable', /no relay answered within 5 ms/, joinMesh(charter, { relays: relay, timeoutMs: 5 }))
  await turn()
  assert.equal(outside!.closes, 1)
})

test('who founds is in the charter: by an identity that was given, or a new one', async () => {
  const configs: { charter: Uint8Array; identity: Uint8Array }[] = []
  const is = { membership: async () => ({ open: false, founder: true, invitesPerDay: 0 }) }
  mock.method(MeshNode, 'open', async (config: never) => (configs.push(config), new FakeNode(is) as never))
  const listen = '/ip4/127.0.0.1/tcp/0/ws'
  const identity = new Uint8Array(32).fill(9)
  for (const options of [{ identity }, { identity }, {}, { open: true }]) await (await createMesh('lab', { listen, ...options })).close()
  const charters = await Promise.all(configs.map(({ charter }) => readCharter(charter)))
  for (const [n, { founders, name, open }] of charters.entries()) {
    assert.deepEqual([founders, name, open], [[await peerIdOf(configs[n]!.identity)], 'lab', n === 3])
  }
  assert.equal(charters[0]!.meshId, charters[1]!.meshId, 'the same identity and name found the same mesh')
  assert.equal(new Set(charters.map(({ meshId }) => meshId)).size, 3)
})

test('the service: one attempt for many callers, listeners from before, again after shutdown', async () => {
  const [first, second] = nodes(new FakeNode(), new FakeNode())
  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: relay })
  const events: string[] = []
  service.on('joined', () => events.push('joined'))
  service.on('closed', () => events.push(service.mesh === undefined ? 'closed' : 'closed, but has a mesh'))
  first!.push(connected, joined)
  await Promise.all([service.initialize(), service.initialize()])
  await service.initialize()
  assert.ok(service.isConnected())
  assert.equal(service.mesh?.peerId, first!.peerId)

  await service.shutdown()
  assert.equal(service.mesh, undefined)
  assert.equal(first!.closes, 1)
  await rejectsCode('closed', /initialize\(\) first/, service.broadcastToSwarm(1))

  second!.push(joined)
  await service.initialize()
  await service.shutdown()
  assert.deepEqual(events, ['joined', 'closed', 'joined', 'closed'])
})

test('the service: a failed attempt can be repeated; shutdown ends an attempt', async () => {
  const [silent, answers, late] = nodes(new FakeNode(), new FakeNode(), new FakeNode())
  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: relay, timeoutMs: 5 })
  await rejectsCode('relay-unreachable', /within 5 ms/, service.initialize())
  answers!.push(joined)
  await service.initialize({ timeoutMs: 1000 })
  await service.shutdown()

  const joining = service.initialize({ timeoutMs: 10_000 })
  await turn()
  await service.shutdown()
  await assert.rejects(joining, MeshError.isInstance)
  await turn()
  assert.deepEqual([silent!.closes, answers!.closes, late!.closes], [1, 1, 1])
  assert.equal(service.mesh, undefined)
})

test('the service: one caller that gives up does not end the attempt of another', async () => {
  const [node] = nodes(new FakeNode())
  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: relay })
  const patient = service.initialize()
  const controller = new AbortController()
  const hasty = service.initialize({ signal: controller.signal })
  await turn()
  controller.abort()
  await rejectsCode('aborted', /aborted/, hasty)
  node!.push(joined)
  await patient
  await service.shutdown()
})

// Last, because nothing can be joined in this process after it.
test('a core that fails while it joins: told at once, and so is whoever comes later; other nodes are looked at', async () => {
  const trap = () => Promise.reject(new WebAssembly.RuntimeError('unreachable'))
  const forever = () => new Promise(() => {})
  const [other, dying] = nodes(new FakeNode({ metrics: trap, send: forever }), new FakeNode({ nextEvent: trap }))
  other!.push(joined)
  const mesh = await joinMesh('lab', { relays: relay })
  const sent = mesh.send('ada', 1)
  await rejectsCode('internal', /core has failed/, joinMesh('lab', { relays: relay }))
  await rejectsCode('internal', /core has failed/, sent)
  await rejectsCode('internal', /core has failed/, joinMesh('lab', { relays: relay }))
  assert.equal(dying!.closes, 0)
})
