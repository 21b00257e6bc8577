import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCall, checkName, checkRelays, checkJoin as checkEntry, type Entry, type JoinOptions } from '../src/options.js'
import { memoryBlocks } from '../src/store/blocks-memory.js'
import { peerId, relay, throwsCode } from './tools.js'

const checkJoin = (name: string, options: JoinOptions) => checkEntry({ by: 'name', name }, options)

test('relays: one or many, trimmed, each once', () => {
  assert.deepEqual(checkRelays(relay), [relay])
  assert.deepEqual(checkRelays([relay, ` ${relay}\n`]), [relay])
  const secure = `/dns4/relay.example/tcp/443/tls/ws/p2p/${peerId}`
  assert.deepEqual(checkRelays([secure, `/dns4/relay.example/tcp/443/wss/p2p/${peerId}`]).length, 2)
})

test('relays by /webrtc-direct need WebRTC', () => {
  const direct = [`/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/uEiAA-_/p2p/${peerId}`, `/ip6/::1/udp/4004/webrtc-direct/certhash/uEiAA/p2p/${peerId}`]
  assert.deepEqual(checkRelays(direct), direct)
  throwsCode('invalid-argument', /reached by WebRTC, which webrtc: false turns off/, () => checkJoin('lab', { relays: direct, webrtc: false }))
  assert.equal(checkJoin('lab', { relays: [...direct, relay], webrtc: false }).relays.length, 3)
})

const wrongRelays: [unknown, RegExp][] = [
  [undefined, /relays is missing/],
  [[], /relays is missing/],
  [42, /relays is missing/],
  [[42], /must be a string, not number/],
  ['ws://localhost:4001', /is a URL, not a multiaddr/],
  ['localhost:4001', /does not begin with \//],
  ['/ip4/127.0.0.1/tcp/4001/ws', /has no \/p2p\//],
  [`/ip4/127.0.0.1/tcp/4001/ws/p2p/${peerId}/p2p-circuit`, /does not end in \/p2p\//],
  ['/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3', /does not end in \/p2p\//],
  [`/ip4/127.0.0.1/tcp/4001/p2p/${peerId}`, /has neither \/ws nor \/wss nor \/webrtc-direct/],
  [`/ip4/127.0.0.1/udp/4004/webrtc-direct/p2p/${peerId}`, /certhash\/HASH/],
  [`/dns4/relay.example/udp/4004/webrtc-direct/certhash/uEiAA/p2p/${peerId}`, /not \/ip4 or \/ip6/],
]
for (const [relays, message] of wrongRelays) {
  test(`relays ${JSON.stringify(relays)} are refused with ${message}`, () => {
    throwsCode('invalid-argument', message, () => checkRelays(relays))
  })
}

test('joining: what the core gets', () => {
  const identity = new Uint8Array(32)
  const defaults = { mesh: 'lab', relays: [relay], maxIncomingWeights: 256 * 1024 * 1024, iceServers: [] }
  assert.deepEqual(checkJoin('lab', { relays: relay }), defaults)
  assert.equal(checkJoin('lab', { relays: relay, identity: 'stored' }).identity, 'stored')
  const far = ['/dns4/relay.example/tcp/443/wss', '/ip6/2001:db8::1/tcp/4002/ws', '/ip4/192.0.2.1/tcp/4002/ws'].map(at => at + relay.slice(relay.indexOf('/p2p/')))
  assert.deepEqual(checkJoin('lab', { relays: [relay, ...far] }).iceServers, ['stun:relay.example:3478', 'stun:[2001:db8::1]:3478'])
  const iceServers = ['stun:192.0.2.1:3478', 'stun:[2001:db8::1]:3478', 'stun:relay.example']
  assert.deepEqual(checkJoin('lab', { relays: relay, webrtc: { iceServers } }).iceServers, iceServers)
  assert.deepEqual(checkJoin('lab', { relays: relay, identity, maxIncomingWeights: 0, agent: { id: 'ada' }, webrtc: false }), {
    mesh: 'lab',
    relays: [relay],
    identity,
    maxIncomingWeights: 0,
  })
  const listen = '/ip4/0.0.0.0/tcp/0/ws'
  assert.deepEqual(checkJoin('lab', { relays: relay, listen, mdns: true }), { ...defaults, listen: [listen], mdns: true })
  assert.deepEqual(checkJoin('lab', { relays: relay, listen, mdns: false }), { ...defaults, listen: [listen] })
})

test('who is invited, or founds, needs no relay of its own', () => {
  const invite = new Uint8Array([1])
  const invited: Entry = { by: 'invite', name: 'lab', invite, relays: [`/dns4/relay.example/tcp/443/wss/p2p/${peerId}`] }
  const { iceServers, ...rest } = checkEntry(invited, {})
  assert.deepEqual(rest, { mesh: 'lab', relays: [], invite, maxIncomingWeights: 256 * 1024 * 1024 })
  assert.deepEqual(iceServers, ['stun:relay.example:3478'], 'those of the relays that the invite names')
  assert.deepEqual(checkEntry(invited, { relays: relay }).relays, [relay])
  const founding: Entry = { by: 'founding', name: 'lab', open: false }
  throwsCode('invalid-argument', /relays is missing/, () => checkEntry(founding, {}))
  const listen = '/ip4/127.0.0.1/tcp/0/ws'
  assert.deepEqual(checkEntry(founding, { listen }).founding, { open: false })
  for (const entry of [invited, founding]) {
    assert.equal(checkEntry(entry, { relays: relay, identity: 'stored', store: 'votes' }).store, 'votes')
    throwsCode('invalid-argument', /give its identity/, () => checkEntry(entry, { relays: relay, store: 'votes' }))
  }
})

test('knowledge: what a node keeps, at the bounds and past them', () => {
  const identity = new Uint8Array(32)
  const blocks = memoryBlocks()
  const join = (knowledge: object, who: object = { identity }) => checkJoin('lab', { relays: relay, knowledge, ...who }).knowledge
  assert.equal(checkJoin('lab', { relays: relay }).knowledge, undefined)
  const domains = Array.from({ length: 256 }, (_, n) => `d${n}@${peerId}`)
  for (const fits of [{}, { maxBytes: 0 }, { maxBytes: 2 ** 50 }, { hold: false, zone: 'z'.repeat(64), domains }, { blocks: 'dir' }, { domains: [] }]) {
    assert.equal(join(fits), fits)
  }
  assert.equal(join({ blocks }, {})!.blocks, blocks, 'blocks are the same whosever they are')
  const refused = (message: RegExp, knowledge: unknown, who?: object) =>
    throwsCode('invalid-argument', message, () => join(knowledge as object, who))
  for (const wrong of [null, true, 'dir']) refused(/knowledge must be an object/, wrong)
  for (const maxBytes of [-1, 1.5, 2 ** 50 + 1, NaN, '1']) refused(/knowledge\.maxBytes must be/, { maxBytes })
  refused(/knowledge\.hold must be true or false/, { hold: 1 })
  refused(/knowledge\.zone has 65 bytes/, { zone: 'z'.repeat(65) })
  for (const wrong of ['facts', [...domains, 'one']]) refused(/knowledge\.domains must be an array/, { domains: wrong })
  for (const wrong of [['@'], [''], ['d'.repeat(65)], [1]]) refused(/domain/, { domains: wrong })
  for (const wrong of ['', null, {}, 1]) refused(/knowledge\.blocks must be the name/, { blocks: wrong })
  refused(/a knowledge\.blocks belongs to one node: give its identity/, { blocks: 'dir' }, {})
})

test('joining: what is refused', () => {
  throwsCode('invalid-argument', /options are missing/, () => checkJoin('lab', undefined as never))
  throwsCode('invalid-argument', /mesh name must not be empty/, () => checkJoin('', { relays: relay }))
  throwsCode('invalid-argument', /mesh name must be a string, not undefined/, () => checkJoin(undefined as never, { relays: relay }))
  throwsCode('invalid-argument', /32 bytes/, () => checkJoin('lab', { relays: relay, identity: new Uint8Array(31) }))
  throwsCode('invalid-argument', /'stored'/, () => checkJoin('lab', { relays: relay, identity: 'mine' as never }))
  throwsCode('invalid-argument', /mdns must be true or false/, () => checkJoin('lab', { relays: relay, mdns: 'yes' as never }))
  for (const listen of [undefined, '', []]) {
    throwsCode('invalid-argument', /mdns .* needs listen/, () => checkJoin('lab', { relays: relay, listen, mdns: true }))
  }
  for (const webrtc of ['yes', null, { iceServers: 'stun:x' }, { iceServers: Array(5).fill('stun:x') }, { iceServers: ['http://x'] }]) {
    throwsCode('invalid-argument', /webrtc/, () => checkJoin('lab', { relays: relay, webrtc: webrtc as never }))
  }
  throwsCode('invalid-argument', /maxIncomingWeights/, () => checkJoin('lab', { relays: relay, maxIncomingWeights: -1 }))
  throwsCode('invalid-argument', /timeoutMs/, () => checkJoin('lab', { relays: relay, timeoutMs: 0 }))
})

test('texts are bounded in bytes, at the limit and one past it', () => {
  checkName('x', 'a'.repeat(64), 64)
  checkName('x', 'é'.repeat(32), 64)
  throwsCode('invalid-argument', /x has 65 bytes, at most 64/, () => checkName('x', 'a'.repeat(65), 64))
  throwsCode('invalid-argument', /x has 66 bytes/, () => checkName('x', 'é'.repeat(33), 64))
  throwsCode('invalid-argument', /control characters/, () => checkName('x', 'a\nb', 64))
})

test('call options: durations and signals', () => {
  checkCall({})
  checkCall({ timeoutMs: 0.5, signal: new AbortController().signal })
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31, '5' as never]) {
    throwsCode('invalid-argument', /timeoutMs must be/, () => checkCall({ timeoutMs }))
  }
  throwsCode('invalid-argument', /AbortSignal/, () => checkCall({ signal: {} as never }))
})
