import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_CHARTER, isMeshName, isRelay, readLink, writeLink } from '../src/link.js'

const PEER = '12D3KooWNot9rMBqLzL8N2AMFtMVqg4MjXFmWT698kcNm24xehMQ'
const RELAY = `/ip4/127.0.0.1/tcp/4002/ws/p2p/${PEER}`

test('a link is read as it was written', () => {
  for (const mesh of ['lab', 'a & b = c + d', 'd’été #1 100 %', '<b>', '日本語', 'm=x&r=y', '🐝']) {
    const relays = [RELAY, `/dns/relay.example.org/tcp/443/wss/p2p/${PEER}`]
    const stun = ['stun:192.0.2.1:3478', 'stun:[2001:db8::1]:3478']
    assert.deepEqual(readLink(writeLink({ mesh, relays, stun })), { invitation: { mesh, relays, stun } })
  }
  assert.equal(writeLink({ mesh: 'lab', relays: [RELAY], stun: [] }), `#m=lab&r=${RELAY}`, 'and can be read by people')
})

test('a link carries a charter, up to the largest there can be', () => {
  for (const charter of [[0], [255, 254], [251, 239, 190], Array(MAX_CHARTER).fill(255)].map(bytes => Uint8Array.from(bytes))) {
    const relays = Array.from({ length: 8 }, (_, i) => `/dns/${'a'.repeat(400)}/tcp/${i}/ws/p2p/${PEER}`)
    const invitation = { mesh: 'lab', relays, stun: [], charter }
    const link = writeLink(invitation)
    assert.match(link, /&c=[\w-]+$/)
    assert.deepEqual(readLink(link), { invitation })
  }
})

test('an invite is the link, whatever else stands in it', () => {
  for (const fragment of ['#i=Ab-_1', `#m=lab&r=${RELAY}&i=Ab-_1`, '#i=Ab-_1&m=']) assert.deepEqual(readLink(fragment), { invite: '#i=Ab-_1' })
  for (const fragment of ['#i=', '#i=a&i=b', '#i=a%20b', '#i=a+b', '#i=<b>']) assert.deepEqual(readLink(fragment), { error: 'the link has a part that is no invite' })
  const invite = { fragment: '#i=Ab-_1', meshId: '00', invitedBy: PEER, role: 'member', until: new Date() } as const
  assert.equal(writeLink({ mesh: 'lab', relays: [RELAY], stun: [], invite }), '#i=Ab-_1', 'a reload comes in by it again')
})

test('a mesh that this browser founds', () => {
  const invitation = { mesh: 'lab', relays: [RELAY], stun: [], founding: true } as const
  assert.equal(writeLink(invitation), `#m=lab&r=${RELAY}&p=1`)
  assert.deepEqual(readLink(writeLink(invitation)), { invitation })
  assert.deepEqual(readLink(`#m=lab&r=${RELAY}&p=yes`), { invitation: { mesh: 'lab', relays: [RELAY], stun: [] } })
  assert.deepEqual(readLink(`#m=lab&r=${RELAY}&p=1&c=AAAA`), { error: 'the link has a charter and founds a mesh' })
})

test('fields of later versions are passed over, and the order does not matter', () => {
  const invitation = { mesh: 'lab', relays: [RELAY], stun: [] }
  assert.deepEqual(readLink(`#z=later&r=${RELAY}&m=lab&x`), { invitation })
  assert.deepEqual(readLink(`#m=lab&r=${RELAY}&r=${RELAY}`), { invitation })
})

test('what does not try to be a link is none', () => {
  for (const fragment of ['', '#', '#top', '#r=/x', '#xm=lab', 'm=lab']) assert.equal(readLink(fragment), undefined)
})

test('hostile links are refused, with a reason', () => {
  const refused: [string, RegExp][] = [
    ['#m=', /no usable name/],
    [`#m=&r=${RELAY}`, /no usable name/],
    [`#m=%00&r=${RELAY}`, /no usable name/],
    [`#m=a%0Ab&r=${RELAY}`, /no usable name/],
    [`#m=${'x'.repeat(129)}&r=${RELAY}`, /no usable name/],
    [`#m=${encodeURIComponent('é'.repeat(65))}&r=${RELAY}`, /no usable name/],
    [`#m=a&m=b&r=${RELAY}`, /several meshes/],
    ['#m=lab', /no relay/],
    ['#m=lab&r=', /no WebSocket address/],
    ['#m=lab&r=javascript:alert(1)', /no WebSocket address/],
    ['#m=lab&r=ws://127.0.0.1:4002', /no WebSocket address/],
    [`#m=lab&r=/ip4/127.0.0.1/tcp/4001/p2p/${PEER}`, /no WebSocket address/],
    ['#m=lab&r=/ip4/127.0.0.1/tcp/4002/ws', /no WebSocket address/],
    [`#m=lab&r=${RELAY}%20${RELAY}`, /no WebSocket address/],
    [`#m=lab&r=${RELAY}%3Cscript%3E`, /no WebSocket address/],
    [`#m=lab&r=/dns/${'a'.repeat(600)}/ws/p2p/${PEER}`, /no WebSocket address/],
    [`#m=lab&${Array.from({ length: 9 }, (_, i) => `r=/ip4/127.0.0.${i}/tcp/1/ws/p2p/${PEER}`).join('&')}`, /more than 8/],
    [`#m=lab&r=${RELAY}&x=${'y'.repeat(33_000)}`, /too long/],
    [`#m=lab&r=${RELAY}&c=`, /no charter/],
    [`#m=lab&r=${RELAY}&c=ab+d`, /no charter/],
    [`#m=lab&r=${RELAY}&c=abcd%3D`, /no charter/],
    [`#m=lab&r=${RELAY}&c=abcde`, /no charter/],
    [`#m=lab&r=${RELAY}&c=abcd&c=abcd`, /no charter/],
    [`#m=lab&r=${RELAY}&c=${'A'.repeat(Math.ceil((MAX_CHARTER * 4) / 3) + 1)}`, /no charter/],
  ]
  for (const [fragment, why] of refused) {
    const reading = readLink(fragment)
    assert.ok(reading && 'error' in reading, `${fragment.slice(0, 80)} is refused`)
    assert.match(reading.error, why)
    assert.ok(reading.error.length < 200)
  }
})

test('of the STUN servers of a link only some that can be ones are taken', () => {
  const servers = ['turn:x', 'stun:', 'stun:a b', 'stun:<b>', 'javascript:x', `stun:${'a'.repeat(300)}`, ...Array.from({ length: 9 }, (_, i) => `stun:s${i}`)]
  const reading = readLink(`#m=lab&r=${RELAY}&${servers.map(url => `s=${encodeURIComponent(url)}`).join('&')}`)
  assert.deepEqual(reading, { invitation: { mesh: 'lab', relays: [RELAY], stun: ['stun:s0', 'stun:s1', 'stun:s2', 'stun:s3'] } })
})

test('a broken escape is no crash', () => {
  for (const fragment of ['#m=%', '#m=%E0%A4%A&r=%', `#m=lab&r=${RELAY}%`, '#m=\ud800&r=\udfff']) {
    const reading = readLink(fragment)
    assert.ok(reading && ('error' in reading || ('invitation' in reading && reading.invitation.mesh !== '')))
  }
})

test('bounds are met exactly', () => {
  assert.equal(isMeshName('x'.repeat(128)), true)
  assert.equal(isMeshName('x'.repeat(129)), false)
  assert.equal(isRelay(RELAY), true)
  assert.equal(isRelay(`/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/uEiAA-_/p2p/${PEER}`), true)
  assert.equal(isRelay(`/ip4/192.0.2.1/udp/4004/webrtc-direct/p2p/${PEER}`), false)
  assert.equal(isRelay(`${RELAY}/`), false)
  assert.equal(isRelay(`/${'a'.repeat(511 - RELAY.length)}${RELAY}`), true)
  assert.equal(isRelay(`/${'a'.repeat(512 - RELAY.length)}${RELAY}`), false)
})
