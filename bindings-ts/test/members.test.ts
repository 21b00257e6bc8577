// With the real core, as far as it works without a network.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { createCharter, peerIdOf } from '../src/charter.js'
import { inviteIn, readInvite } from '../src/members.js'
import { createMesh, generateIdentity, joinMesh } from '../src/mesh.js'
import { memoryStore } from '../src/store/memory.js'
import { loadWasm } from '../src/wasm.js'
import { fromHex } from './dag-cbor.js'
import { fakeMesh } from './fake-node.js'
import { peerId, rejectsCode, relay, throwsCode } from './tools.js'

before(() => loadWasm(readFileSync(new URL('../src/generated/mesh_wasm_bg.wasm', import.meta.url))))

const vectors = JSON.parse(readFileSync(new URL('../../../../tests/vectors/credentials.json', import.meta.url), 'utf8')) as {
  messages: { name: string; hex: string }[]
}
const invite = new Uint8Array(fromHex(vectors.messages.find(({ name }) => name === 'invite')!.hex))
const text = Buffer.from(invite).toString('base64url')

test('an invite is found in a link, wherever it stands behind the #', async () => {
  for (const link of [`neural-mesh:#i=${text}`, `https://lab.example/page?x=1#i=${text}`, `#m=lab&i=${text}`, `#i=${text}&s=stun:x`]) {
    assert.deepEqual(inviteIn(link), invite)
    const { name, role, invitesPerDay, relays, until, meshId } = await readInvite(link)
    assert.deepEqual([name, role, invitesPerDay], ['playground', 'member', 3])
    assert.deepEqual(relays, ['/dns4/relay.example/tcp/443/wss'])
    assert.match(meshId, /^[0-9a-f]{64}$/)
    assert.equal(until.getTime() % 1000, 0)
  }
  for (const link of ['lab', '', `https://lab.example/?i=${text}`, '#i=', '#j=abc', undefined]) assert.equal(inviteIn(link), undefined)
  throwsCode('invalid-argument', /damaged/, () => inviteIn('#i=abcde'))
  await rejectsCode('invalid-argument', /an invite is a link/, readInvite('lab'))
  await rejectsCode('invalid-argument', /./, readInvite(`#i=${text.slice(0, -8)}`))
})

test('what is asked of the core', async () => {
  const asked: unknown[] = []
  const methods = {
    invite: async (given: unknown) => (asked.push(given), invite),
    issue: async (...given: unknown[]) => (asked.push(given), new Uint8Array([7])),
    revokePeer: async (given: unknown) => void asked.push(given),
    revokeInvite: async (given: unknown) => void asked.push(given),
    membership: async () => ({ open: false, founder: false, role: 'member', invitesPerDay: 2, until: 1_700_000_000_000 }),
    pass: async () => undefined,
  }
  const { mesh } = fakeMesh(methods)
  assert.equal(await mesh.createInvite(), `neural-mesh:#i=${text}`)
  const more = { role: 'observer', invitesPerDay: 0, lifetimeMs: 60_500, link: 'https://lab.example/', relays: [relay, `${relay}`] } as const
  assert.equal(await mesh.members.createInvite(more), `https://lab.example/#i=${text}`)
  assert.deepEqual(await mesh.members.issuePass(peerId, { role: 'voter', invitesPerDay: 9 }), new Uint8Array([7]))
  await mesh.members.revoke(peerId)
  await mesh.members.revoke(`neural-mesh:#i=${text}`)
  assert.deepEqual(asked, [
    { role: 'member', invitesPerDay: 0, lifetimeS: 86_400, relays: [relay] },
    { role: 'observer', invitesPerDay: 0, lifetimeS: 60, relays: [relay] },
    [peerId, 'voter', 9],
    peerId,
    invite,
  ])
  assert.deepEqual(await mesh.members.own(), { open: false, founder: false, role: 'member', invitesPerDay: 2, until: new Date(1_700_000_000_000) })
  assert.equal(await mesh.members.pass(), undefined)
  await mesh.close()
})

test('what is refused before the core is asked', async () => {
  const { mesh } = fakeMesh()
  const refused = (message: RegExp, options: object) => rejectsCode('invalid-argument', message, mesh.createInvite(options))
  for (const role of ['founder', '', null, 1]) await refused(/role must be/, { role })
  for (const invitesPerDay of [-1, 1.5, 10_001, '3', null]) await refused(/invitesPerDay must be/, { invitesPerDay })
  for (const lifetimeMs of [0, 999, 7 * 86_400_000 + 1, NaN, '1000']) await refused(/lifetimeMs must be/, { lifetimeMs })
  for (const link of ['https://x/#a', 7]) await refused(/link must be/, { link })
  await refused(/is not a multiaddr/, { relays: 'here' })
  await rejectsCode('invalid-argument', /peerId must be/, mesh.members.issuePass(7 as never))
  await mesh.close()
})

test('nobody comes into a private mesh without a credential', async () => {
  const [founder, stranger] = [generateIdentity(), generateIdentity()]
  const charter = await createCharter({ name: 'lab', founders: await peerIdOf(founder), open: false })
  const webrtc = false
  await rejectsCode('not-a-member', /get an invite/, joinMesh(charter, { relays: relay, identity: stranger, webrtc }))
  const store = memoryStore()
  await rejectsCode('not-a-member', /get an invite/, joinMesh(charter, { relays: relay, identity: stranger, store, webrtc }))
  await rejectsCode('invalid-argument', /open must be/, createMesh('lab', { relays: relay, open: 'no' as never }))
  await rejectsCode('invalid-argument', /open must be/, createCharter({ name: 'lab', founders: await peerIdOf(founder), open: 1 as never }))
})
