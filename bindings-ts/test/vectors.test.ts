// The vectors in tests/vectors, read by another implementation than the one that made them.

import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { decodeCanonical, decodeDagCbor, encodeCanonical, fromHex, fromVector, toHex } from './dag-cbor.js'

interface Ids {
  openMeshDomain: string
  openMeshes: { name: string; id: string }[]
  nodes: { seed: string; node: string; peerId: string }[]
  topics: { mesh: string; names: string[] }
}
interface Envelopes {
  domain: string
  envelopes: { name: string; seed: string; hex: string; body: unknown; payload: unknown }[]
}
interface Frame {
  name: string
  hex: string
  value: unknown
}
interface Transfers {
  frames: Frame[]
  offered: { len: number; chunks: { start: number; end: number; blake3: string }[] }
}
interface Hashed extends Frame {
  digest: string
}
interface Decisions {
  domains: Record<'charter' | 'epoch' | 'slot' | 'outcome' | 'proposal' | 'propose' | 'vote' | 'claim' | 'release', string>
  charter: Frame & { mesh: string }
  epoch: Hashed & { record: string }
  slots: (Frame & { id: string })[]
  outcomes: Hashed[]
  proposal: Hashed
  record: Frame
  messages: Frame[]
  signatures: { of: string; by: string; domain: string; signed: string; signature: string }[]
}
interface Credentials {
  domains: Record<'credential' | 'invitation' | 'redeem' | 'revocation' | 'admission', string>
  messages: Frame[]
  signatures: Decisions['signatures']
}
interface Knowledge {
  entries: (Envelopes['envelopes'][number] & { id: string; version: { author: string; clock: string } })[]
  digests: { all: string; none: string }
  messages: Frame[]
}
interface Refused {
  name: string
  what: 'envelope' | 'direct' | 'join' | 'transfer' | 'charter' | 'epoch' | 'decision' | 'knowledge'
  by: 'form' | 'type' | 'bound' | 'signature' | 'strict signature'
  hex: string
}

// From test/dist/test, where this runs, to the top of the repository.
function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${file}`, import.meta.url), 'utf8'))
}

const ids = read<Ids>('ids.json')
const knowledge = read<Knowledge>('knowledge.json')
const { domain, envelopes: others } = read<Envelopes>('envelopes.json')
const envelopes = [...others, ...knowledge.entries]
const transfers = read<Transfers>('transfer.json')
const join = read<{ requests: Frame[]; replies: Frame[] }>('join.json')
const decisions = read<Decisions>('decisions.json')
const credentials = read<Credentials>('credentials.json')
const { charter, epoch, slots, outcomes, proposal, messages } = decisions
const frames = [
  ...read<{ frames: Frame[] }>('direct.json').frames,
  ...[...join.requests, ...join.replies, ...transfers.frames],
  ...[charter, epoch, ...slots, ...outcomes, proposal, decisions.record, ...messages],
  ...credentials.messages,
  ...knowledge.messages,
]
const refused = read<Refused[]>('refused.json')

// Keys in the form that node:crypto takes: DER, with the 32 bytes at its end.
const PKCS8 = '302e020100300506032b657004220420'
const SPKI = '302a300506032b6570032100'

function privateKey(seed: string): KeyObject {
  return createPrivateKey({ key: Buffer.from(PKCS8 + seed, 'hex'), format: 'der', type: 'pkcs8' })
}

function publicKey(node: string): KeyObject {
  return createPublicKey({ key: Buffer.from(SPKI + node, 'hex'), format: 'der', type: 'spki' })
}

function nodeOf(seed: string): string {
  return toHex(createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' })).slice(SPKI.length)
}

// base58btc of an identity multihash of a protobuf of the key.
function peerId(node: string): string {
  const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  let text = ''
  for (let rest = BigInt(`0x002408011220${node}`); rest > 0n; rest /= 58n) {
    text = `${alphabet[Number(rest % 58n)]}${text}`
  }
  return `1${text}` // for the byte 0 at the start
}

interface Envelope {
  body: Uint8Array
  signature: Uint8Array
}

function openSeal(wire: unknown): Envelope {
  assert.ok(Array.isArray(wire) && wire.length === 2)
  const [body, signature] = wire as unknown[]
  assert.ok(body instanceof Uint8Array && signature instanceof Uint8Array)
  return { body, signature }
}

function verifies({ body, signature }: Envelope): boolean {
  const from = (decodeCanonical(body) as Map<string, unknown>).get('from')
  assert.ok(from instanceof Uint8Array)
  return verify(null, Buffer.concat([fromHex(domain), body]), publicKey(toHex(from)), signature)
}

test('an open mesh is the hash of a domain and its name', () => {
  for (const { name, id } of ids.openMeshes) {
    const hash = createHash('sha256').update(fromHex(ids.openMeshDomain)).update(name, 'utf8')
    assert.equal(hash.digest('hex'), id, name)
  }
  const [agents, swarm] = ids.topics.names
  assert.equal(agents, `neural-mesh/${ids.topics.mesh}/agents`)
  assert.equal(swarm, `neural-mesh/${ids.topics.mesh}/swarm`)
})

test('a node is its public key, and so is its peer id', () => {
  for (const { seed, node, peerId: expected } of ids.nodes) {
    assert.equal(nodeOf(seed), node)
    assert.equal(peerId(node), expected)
  }
})

test('domains are texts that end in a zero byte', () => {
  assert.equal(Buffer.from(domain, 'hex').toString(), 'neural-mesh envelope v1\0')
  assert.equal(Buffer.from(ids.openMeshDomain, 'hex').toString(), 'neural-mesh open mesh v1\0')
})

assert.ok(envelopes.length > 0 && frames.length > 0 && refused.length > 0, 'vectors are missing')

for (const { name, seed, hex, body, payload } of envelopes) {
  test(`envelope: ${name}`, () => {
    const envelope = openSeal(decodeDagCbor(hex))
    const decoded = decodeCanonical(envelope.body) as Map<string, unknown>
    assert.deepEqual(decoded, fromVector(body))
    assert.deepEqual(decodeCanonical(decoded.get('payload') as Uint8Array), fromVector(payload))
    assert.equal(toHex(decoded.get('from') as Uint8Array), nodeOf(seed))
    assert.ok(verifies(envelope))
  })

  test(`envelope, made here: ${name}`, () => {
    const fields = fromVector(body) as Map<string, unknown>
    fields.set('payload', encodeCanonical(fromVector(payload)))
    const encoded = encodeCanonical(fields)
    const signature = sign(null, Buffer.concat([fromHex(domain), encoded]), privateKey(seed))
    assert.equal(toHex(encodeCanonical([encoded, Uint8Array.from(signature)])), hex)
  })
}

for (const { name, hex, value } of frames) {
  test(`frame: ${name}`, () => {
    assert.deepEqual(decodeDagCbor(hex), fromVector(value))
    assert.equal(toHex(encodeCanonical(fromVector(value))), hex)
  })
}

test('a manifest covers its bytes with chunks, and says their SHA-256', () => {
  const { len, chunks } = transfers.offered
  const offer = transfers.frames.find(frame => frame.name === 'offer')
  assert.ok(offer)
  const manifest = ((decodeDagCbor(offer.hex) as Map<string, unknown>).get('offer') as Map<string, unknown>).get('manifest')
  const { size, chunk, hashes, info } = Object.fromEntries(manifest as Map<string, unknown>)
  assert.equal(size, len)
  assert.deepEqual((hashes as Uint8Array[]).map(toHex), chunks.map(chunk => chunk.blake3))
  assert.deepEqual(
    chunks.map(({ start, end }) => [start, end]),
    [[0, 65_536], [65_536, 131_072], [131_072, 150_000]],
  )
  assert.equal(chunk, 65_536)
  const bytes = Uint8Array.from({ length: len }, (_, n) => n % 251)
  const checksum = createHash('sha256').update(bytes).digest('hex')
  assert.equal(toHex((info as Map<string, Uint8Array>).get('checksum')!), checksum)
})

test('ids and digests are hashes of a domain and an encoding', () => {
  const { domains } = decisions
  const hash = (domain: string, hex: string) => createHash('sha256').update(fromHex(domain + hex)).digest('hex')
  assert.equal(hash(domains.charter, charter.hex), charter.mesh)
  assert.equal(hash(domains.epoch, epoch.record), epoch.digest)
  assert.equal(toHex(encodeCanonical((decodeDagCbor(epoch.hex) as Map<string, unknown>).get('record'))), epoch.record)
  assert.equal(hash(domains.proposal, proposal.hex), proposal.digest)
  for (const { name, hex, id } of slots) assert.equal(hash(domains.slot, hex), id, name)
  for (const { name, hex, digest } of outcomes) assert.equal(hash(domains.outcome, hex), digest, name)
})

test('what replaces another entry comes after it', () => {
  for (const { name, body, payload, version } of knowledge.entries) {
    const { from, clock } = Object.fromEntries(fromVector(body) as Map<string, unknown>)
    const replaced = (fromVector(payload) as Map<string, unknown>).get('replaces') as [Uint8Array, bigint | number][]
    const clocks = [BigInt(clock as bigint), ...replaced.map(([, clock]) => BigInt(clock) + 1n)]
    const latest = clocks.reduce((a, b) => (a > b ? a : b))
    assert.deepEqual(version, { author: toHex(from as Uint8Array), clock: String(latest) }, name)
  }
})

test('what is said about slots, and of who is let in, is signed in a domain of its own', () => {
  const { epoch, propose, vote, claim, release } = decisions.domains
  const known = [epoch, propose, vote, claim, release, ...Object.values(credentials.domains)]
  const signatures = [...decisions.signatures, ...credentials.signatures]
  for (const { of, by, domain, signed, signature } of signatures) {
    assert.ok(known.includes(domain), of)
    assert.ok(verify(null, fromHex(domain + signed), publicKey(by), fromHex(signature)), of)
  }
})

for (const { name, what, by, hex } of refused) {
  test(`refused: ${what}: ${name}, by ${by}`, () => {
    if (by === 'form') {
      assert.throws(() => readAll(what, hex))
      return
    }
    // What is wrong here is not the form, so that it is refused for what it says, or for who says it.
    readAll(what, hex)
    if (what === 'envelope' && by === 'signature') assert.ok(!verifies(openSeal(decodeDagCbor(hex))))
    if (what === 'envelope' && by === 'bound') assert.ok(verifies(openSeal(decodeDagCbor(hex))))
  })
}

// Decodes everything in it.
function readAll(what: Refused['what'], hex: string): void {
  const value = decodeDagCbor(hex)
  if (what !== 'envelope' || !Array.isArray(value)) return
  const body = decodeCanonical(value[0] as Uint8Array)
  const payload = body instanceof Map ? (body.get('payload') as unknown) : undefined
  if (payload instanceof Uint8Array) decodeCanonical(payload)
}
