import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NetworkTopology, PeerAgent } from 'neural-mesh'
import { readDefaults } from '../src/defaults.js'
import { Recent } from '../src/recent.js'
import { roster } from '../src/roster.js'
import { MAX_ITEMS, Talk, type Said } from '../src/talk.js'
import { bytes, clip, nameOf, payloadText, peerOf, toneOf, wordsOf } from '../src/words.js'

const PEER = '12D3KooWNot9rMBqLzL8N2AMFtMVqg4MjXFmWT698kcNm24xehMQ'

test('relay.json: addresses that this page can use, those on its own way first', () => {
  const address = (host: string, ws = 'ws') => `/${host}/tcp/4002/${ws}/p2p/${PEER}`
  const answer = { mesh: 'lab', peerId: PEER, addresses: [address('ip4/10.0.0.1'), address('ip4/127.0.0.1'), `/ip4/127.0.0.1/tcp/4001/p2p/${PEER}`] }
  const read = (page: string, given: unknown = answer) => readDefaults(given, new URL(page))
  assert.deepEqual(read('http://127.0.0.1:4003/'), { mesh: 'lab', relays: [address('ip4/127.0.0.1')], stun: [] })
  assert.deepEqual(read('http://relay.local/')?.relays, [address('ip4/10.0.0.1'), address('ip4/127.0.0.1')])
  assert.deepEqual(read('http://relay.local/', { ...answer, stun: ['stun:relay.local:3478', 7, 'x'] })?.stun, ['stun:relay.local:3478'])
  assert.equal(read('https://relay.local/'), undefined, 'a page by https needs /wss')
  const secure = { ...answer, addresses: [address('dns/relay.local', 'wss')] }
  assert.deepEqual(read('https://relay.local/', secure)?.relays, secure.addresses)
  assert.deepEqual(read('http://relay.local/', { ...answer, charter: '00Ff' })?.charter, Uint8Array.of(0, 255))
  assert.equal(read('http://relay.local/', { ...answer, private: true })?.closed, true)
  assert.equal(read('http://relay.local/', { ...answer, private: true, charter: '00Ff' })?.charter, undefined, 'its name and charter bring nobody in')
  for (const charter of ['', '0', 'xy', 7, '00'.repeat(16 * 1024 + 1)]) assert.equal(read('http://relay.local/', { ...answer, charter }), undefined)
  for (const broken of [null, 7, [], {}, { mesh: 'lab' }, { mesh: '', addresses: [] }, { mesh: 'lab', addresses: [{}, 7, 'x'] }]) {
    assert.equal(read('http://127.0.0.1/', broken), undefined)
  }
})

test('the roster joins links, peers and agents', () => {
  const agent = (id: string): PeerAgent => ({ id, name: nameOf(id), peerId: peerOf(id), capabilities: [], announcedAt: 0, local: false })
  const link = (peerId: string, more: object = {}) => ({ peerId, relayed: false, address: '', connectedMs: 1, relay: false, ...more })
  const relayed = { relayed: true, address: `/ip4/127.0.0.1/tcp/1/ws/p2p/relay2/p2p-circuit/p2p/bob`, reason: 'no-webrtc', rttMs: 3 }
  const topology: NetworkTopology = {
    peerId: 'self',
    meshId: '',
    links: [link('relay1', { relay: true }), link('relay2', { relay: true }), link('ada'), link('bob', relayed)],
    peers: [{ peerId: 'eve', status: 'suspect', lastHeardMs: 1, agents: 0 }],
    health: { score: 100, parts: { relays: 100, links: 100, members: 100, delivery: 100 }, reasons: [] },
  }
  const members = roster(topology, [agent('x@ada'), agent('y@ada'), agent('z@zed')], ['relay1', 'relay3'])
  assert.deepEqual(members.map(({ peerId, kind, way, via, silent, name }) => [peerId, kind, way, via, silent, name]), [
    ['self', 'self', 'self', undefined, false, '…self'],
    ['relay1', 'relay', 'direct', undefined, false, '…relay1'],
    ['relay2', 'relay', 'direct', undefined, false, '…relay2'],
    ['relay3', 'relay', 'none', undefined, false, '…relay3'],
    ['ada', 'member', 'direct', undefined, false, 'x'],
    ['bob', 'member', 'relayed', 'relay2', false, '…bob'],
    ['eve', 'member', 'none', 'relay1', true, '…eve'],
    ['zed', 'member', 'none', 'relay1', false, 'z'],
  ])
  assert.deepEqual([members[5]!.reason, members[5]!.rttMs, members[4]!.agents.length], ['no-webrtc', 3, 2])
})

test('a relay that is not in the mesh is known to be there, and leads to others', () => {
  const topology: NetworkTopology = {
    peerId: 'self',
    meshId: '',
    links: [],
    peers: [{ peerId: 'eve', status: 'alive', lastHeardMs: 1, agents: 0 }],
    health: { score: 100, parts: { relays: 100, links: 100, members: 100, delivery: 100 }, reasons: [] },
  }
  const ways = (connected: string[]) => roster(topology, [], ['relay'], new Set(connected)).map(({ peerId, kind, way, via }) => [peerId, kind, way, via])
  assert.deepEqual(ways(['relay']), [['self', 'self', 'self', undefined], ['relay', 'relay', 'direct', undefined], ['eve', 'member', 'none', 'relay']])
  assert.deepEqual(ways([])[1], ['relay', 'relay', 'none', undefined])
})

test('conversations are bounded, and the open one stays', () => {
  const talk = new Talk()
  const said = (text: string): Said => ({ kind: 'said', key: 0, mine: false, who: '', peerId: '', text, at: 0 })
  talk.read('open')
  talk.add('open', said('first'))
  for (let i = 0; i < 1000; i++) talk.add(`other ${i}`, said('hello'))
  assert.equal([...talk.ids()].length, 100)
  assert.equal(talk.with('open')?.unread, 0)
  assert.equal(talk.unread, 99)
  for (let i = 0; i < MAX_ITEMS + 10; i++) talk.add('open', said(`${i}`))
  assert.equal(talk.with('open')?.items.length, MAX_ITEMS)
  assert.equal((talk.with('open')?.items.at(0) as Said).text, '10')
})

test('what is recent is kept, and what goes is told', () => {
  const gone: number[] = []
  const recent = new Recent<number>(2, item => gone.push(item))
  for (const n of [1, 2, 3]) recent.push(n)
  assert.deepEqual([[...recent], gone, recent.length], [[2, 3], [1], 2])
})

test('any payload is text', () => {
  const texts: [unknown, string][] = [
    ['<b>', '<b>'],
    [null, 'null'],
    [undefined, 'null'],
    [12n, '"12"'],
    [new Uint8Array(2), '"<2 bytes>"'],
    [{ a: [1, 'x'] }, '{\n "a": [\n  1,\n  "x"\n ]\n}'],
  ]
  for (const [payload, text] of texts) assert.equal(payloadText(payload), text)
  assert.equal(payloadText('x'.repeat(50_000)).length, 4000)
  assert.equal(clip('ab🐝', 4), 'ab🐝')
  assert.equal(clip('ab🐝c', 4), 'ab…', 'never half a character')
})

test('words and figures', () => {
  assert.deepEqual([0, 999, 1000, 203_952, 3_000_000, 1_500_000_000].map(bytes), ['0 bytes', '999 bytes', '1.0 kB', '204 kB', '3.0 MB', '1.5 GB'])
  assert.deepEqual(wordsOf(' a, b,,a\nc '), ['a', 'b', 'c'])
  assert.deepEqual([nameOf(`ada@${PEER}`), nameOf(PEER), peerOf(`a@b@${PEER}`)], ['ada', '…4xehMQ', PEER])
  assert.equal(toneOf(PEER), toneOf(PEER))
})
