// With the real core, as far as it works without a network.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { createCharter, peerIdOf, readCharter, verifyDecision, verifyRecord } from '../src/charter.js'
import { MeshError } from '../src/errors.js'
import { joinMesh } from '../src/mesh.js'
import { checkJoin as checkEntry, type JoinOptions } from '../src/options.js'
import { memoryStore } from '../src/store/memory.js'
import { loadWasm } from '../src/wasm.js'
import { fromHex } from './dag-cbor.js'
import { peerId, rejectsCode, relay, throwsCode } from './tools.js'

const checkJoin = (name: string, options: JoinOptions, charter?: Uint8Array) =>
  checkEntry(charter ? { by: 'charter', name, charter } : { by: 'name', name }, options)

before(() => loadWasm(readFileSync(new URL('../src/generated/mesh_wasm_bg.wasm', import.meta.url))))

interface Hex {
  name: string
  hex: string
}
interface Decisions {
  charter: Hex & { mesh: string; value: { threshold: number; name: string } }
  epoch: Hex
  slots: (Hex & { id: string })[]
  record: Hex
  messages: Hex[]
}

// From test/dist/test, where this runs, to the top of the repository.
function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${file}`, import.meta.url), 'utf8')) as T
}

const bytes = (hex: string) => new Uint8Array(fromHex(hex))
const { nodes } = read<{ nodes: { seed: string; peerId: string }[] }>('ids.json')
const decisions = read<Decisions>('decisions.json')
const charter = bytes(decisions.charter.hex)
const epoch = bytes(decisions.epoch.hex)
const record = bytes(decisions.record.hex)
const [ada, bob, eve] = nodes.map(node => node.peerId) as [string, string, string]

// The message { decision: certificate } without what it is wrapped in: a map of one, and a text of eight letters.
function certificate(): Uint8Array {
  const { hex } = decisions.messages.find(({ name }) => name === 'decision')!
  const wrapped = bytes(hex)
  assert.equal(Buffer.from(wrapped.subarray(0, 10)).toString('latin1'), '\xa1hdecision')
  return wrapped.slice(10)
}

test('the peer id of an identity', async () => {
  for (const { seed, peerId } of nodes) assert.equal(await peerIdOf(bytes(seed)), peerId)
  for (const length of [0, 31, 33]) await rejectsCode('invalid-argument', /32 bytes/, peerIdOf(new Uint8Array(length)))
  for (const wrong of [undefined, 'stored', [1], new ArrayBuffer(32)]) await rejectsCode('invalid-argument', /Uint8Array/, peerIdOf(wrong as never))
})

test('a charter says what it was made of, in an order that does not depend on the caller', async () => {
  const voters = [{ peerId: ada, votingKey: bob }, { peerId: bob, votingKey: eve }]
  const made = await createCharter({ name: 'lab', founders: [ada, bob, eve], threshold: 2, voters })
  const { meshId, founders, voters: listed, ...rest } = await readCharter(made)
  assert.match(meshId, /^[0-9a-f]{64}$/)
  assert.deepEqual(rest, { name: 'lab', threshold: 2, open: true })
  assert.deepEqual([...founders].sort(), [ada, bob, eve].sort())
  assert.deepEqual([...listed].sort((a, b) => (a.peerId < b.peerId ? -1 : 1)), [...voters].sort((a, b) => (a.peerId < b.peerId ? -1 : 1)))
  assert.deepEqual(await createCharter({ name: 'lab', founders: [eve, bob, ada], threshold: 2, voters: [...voters].reverse() }), made)
})

test('a charter of one founder, without voters, by default', async () => {
  const { threshold, founders, voters, name } = await readCharter(await createCharter({ name: 'Lab ✓', founders: ada }))
  assert.deepEqual({ threshold, founders, voters, name }, { threshold: 1, founders: [ada], voters: [], name: 'Lab ✓' })
  const other = await readCharter(await createCharter({ name: 'Lab', founders: ada }))
  assert.notEqual(other.meshId, (await readCharter(await createCharter({ name: 'Lab ✓', founders: ada }))).meshId)
})

test('createCharter: what is refused', async () => {
  const refused = (message: RegExp, options: unknown) => rejectsCode('invalid-argument', message, createCharter(options as never))
  await refused(/options are missing/, undefined)
  await refused(/options are missing/, 'lab')
  for (const name of [undefined, '', 1]) await refused(/name must be a text/, { name, founders: ada })
  for (const founders of [undefined, [], 1]) await refused(/founders must be at least one/, { name: 'lab', founders })
  for (const threshold of [0, 2, 1.5, '1']) await refused(/threshold must be from 1 to 1/, { name: 'lab', founders: ada, threshold })
  await refused(/./, { name: 'lab', founders: 'ada' })
  await refused(/founders/, { name: 'lab', founders: [ada, ada] })
  await refused(/name/, { name: 'a\nb', founders: ada })
  await refused(/name/, { name: 'n'.repeat(129), founders: ada })
  await refused(/voters/, { name: 'lab', founders: ada, voters: [{ peerId: ada, votingKey: bob }, { peerId: ada, votingKey: eve }] })
  await refused(/./, { name: 'lab', founders: ada, voters: [{ peerId: ada, votingKey: 'key' }] })
  await createCharter({ name: 'n'.repeat(128), founders: ada })
})

test('readCharter: the one of the vectors, and what is none', async () => {
  const { meshId, name, threshold } = await readCharter(charter)
  const { mesh, value } = decisions.charter
  assert.deepEqual({ meshId, name, threshold }, { meshId: mesh, name: value.name, threshold: value.threshold })
  for (const wrong of [new Uint8Array(), charter.slice(1), charter.slice(0, -1), new Uint8Array(20_000)]) {
    await rejectsCode('invalid-argument', /./, readCharter(wrong))
  }
  for (const wrong of [undefined, 'lab', [...charter]]) await rejectsCode('invalid-argument', /Uint8Array/, readCharter(wrong as never))
})

test('a certificate holds, with or without later epochs', async () => {
  for (const chain of [undefined, [], [epoch]]) {
    const { meshId, mesh, id, outcome, epoch, voters, signers, author, proposal } = await verifyDecision(certificate(), charter, chain)
    assert.deepEqual([meshId, mesh], [decisions.charter.mesh, decisions.charter.value.name])
    assert.deepEqual([id, outcome, epoch, voters, signers, author], [decisions.slots[0]!.id, 'approved', 0, 4, 3, ada])
    assert.equal(proposal, undefined)
  }
})

test('a certificate with any byte changed does not', async () => {
  const good = certificate()
  const codes = new Set<string>()
  for (let at = 0; at < good.length; at++) {
    const bad = good.slice()
    bad[at]! ^= 1
    await verifyDecision(bad, charter, [epoch]).then(
      () => assert.fail(`it holds with byte ${at} changed`),
      error => {
        assert.ok(MeshError.isInstance(error), String(error))
        codes.add(error.code)
      },
    )
  }
  assert.deepEqual([...codes].sort(), ['integrity', 'invalid-argument'])
})

test('a certificate of another mesh, or with a chain that does not follow, does not hold', async () => {
  await rejectsCode('integrity', /./, verifyDecision(certificate(), await createCharter({ name: 'lab', founders: ada })))
  await rejectsCode('integrity', /./, verifyDecision(certificate(), charter, [epoch, epoch]))
  await rejectsCode('invalid-argument', /./, verifyDecision(certificate(), charter, [epoch.slice(1)]))
  for (const wrong of [undefined, 'certificate']) {
    await rejectsCode('invalid-argument', /certificate must be a Uint8Array/, verifyDecision(wrong as never, charter))
    await rejectsCode('invalid-argument', /charter must be a Uint8Array/, verifyDecision(certificate(), wrong as never))
  }
  await rejectsCode('invalid-argument', /chain must be a list/, verifyDecision(certificate(), charter, epoch as never))
  await rejectsCode('invalid-argument', /record of chain/, verifyDecision(certificate(), charter, ['x' as never]))
})

test('a file holds by itself, and not with a byte changed', async () => {
  const { meshId, id, outcome, author, signers, resource, holder } = await verifyRecord(record)
  assert.deepEqual([meshId, id, outcome], [decisions.charter.mesh, decisions.slots[0]!.id, 'approved'])
  assert.deepEqual([author, signers, resource, holder], [ada, 3, undefined, undefined])
  for (let at = 0; at < record.length; at++) {
    const bad = record.slice()
    bad[at]! ^= 1
    await assert.rejects(verifyRecord(bad), MeshError.isInstance, `it holds with byte ${at} changed`)
  }
  await rejectsCode('invalid-argument', /./, verifyRecord(record.slice(1)))
  await rejectsCode('invalid-argument', /record must be a Uint8Array/, verifyRecord('record' as never))
})

test('joining by a charter: its name, and what a store needs', async () => {
  const identity = bytes(nodes[0]!.seed)
  const store = memoryStore()
  assert.equal(checkJoin('lab', { relays: relay, identity, store }, charter).store, store)
  assert.equal(checkJoin('lab', { relays: relay, identity: 'stored', store: 'voter' }, charter).store, 'voter')
  const refused = (message: RegExp, options: object, with_?: Uint8Array) =>
    throwsCode('invalid-argument', message, () => checkJoin('lab', { relays: relay, ...options }, with_))
  for (const wrong of ['', null, 1, {}, { close: 1 }]) refused(/store must be the name/, { identity, store: wrong }, charter)
  assert.equal(checkJoin('lab', { relays: relay, identity, store }).store, store)
  refused(/a store belongs to one node: give its identity/, { store }, charter)
  for (const wrong of [new ArrayBuffer(8), {}, undefined, 1]) {
    await rejectsCode('invalid-argument', /a name, an invite, or the bytes of a charter/, joinMesh(wrong as never, { relays: relay }))
  }
  await rejectsCode('invalid-argument', /./, joinMesh(charter.slice(1), { relays: relay }))
  await rejectsCode('invalid-argument', /relays is missing/, joinMesh(charter, { relays: [] }))
  assert.notEqual(peerId, ada)
})
