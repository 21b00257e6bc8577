import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError, type ConsensusResult, type Mesh, type PendingProposal, type VerifiedDecision } from 'neural-mesh'
import { check, checkFile, verdict } from '../src/certificates.js'
import { openLink } from '../src/invitations.js'
import { Decisions, MAX_ENDED } from '../src/decisions.js'
import { decidedBefore, rememberDecided } from '../src/recall.js'
import { timeLeft } from '../src/words.js'

const VOTES = { approve: 4, reject: 1, abstain: 0, missing: 0 }

test('what is open has its time, and what was said of it', async t => {
  const { decisions, mesh, pending, emit } = setUp(t)
  pending.push(proposal('a', { proposedAt: Date.now() - 10_000 }), proposal('b', { asked: true, proposedAt: Date.now() + 60_000 }))
  await decisions.begin()
  assert.equal(decisions.electorate?.voters.length, 5)
  const [b, a] = decisions.open()
  assert.deepEqual([a?.id, b?.id, decisions.asked], ['a', 'b', 1], 'the latest first')
  assert.ok(a!.leftMs > 19_000 && a!.leftMs <= 20_000, 'as its author says')
  assert.ok(b!.leftMs > 29_000 && b!.leftMs <= 30_000, 'unless that clock is wrong')
  assert.equal(decisions.open(Date.now() + 1e9)[0]!.leftMs, 0)
  emit('no-quorum', { id: 'a' })
  assert.deepEqual(decisions.open().map(({ stalled }) => stalled), [false, true])

  mesh.consensus.vote = async () => assert.equal(decisions.open()[0]!.voting, true)
  await decisions.vote('b', 'approve', 'cheap')
  mesh.consensus.vote = async () => Promise.reject(new MeshError('already-voted', 'too late'))
  await assert.rejects(decisions.vote('b', 'reject', ''), { code: 'already-voted' })
  assert.equal(decisions.open()[0]!.voting, false)
})

test('the last that were decided are kept, each once', t => {
  const { decisions, emit, news } = setUp(t)
  for (let i = 0; i < MAX_ENDED + 5; i++) for (const _ of [1, 2]) emit('decided', { result: result(`${i}`) })
  assert.deepEqual([...decisions.ended].map(({ id }) => id), Array.from({ length: MAX_ENDED }, (_, i) => `${i + 5}`))
  assert.equal(news.length, MAX_ENDED + 5)
  assert.equal(news[0], 'approved: Title of 0')
})

test('what was decided before is found again, by those who know it', async t => {
  const storage = new Map<string, string>()
  const localStorage = { getItem: (key: string) => storage.get(key) ?? null, setItem: (key: string, value: string) => storage.set(key, value) }
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true })
  t.after(() => Reflect.deleteProperty(globalThis, 'localStorage'))
  for (const id of ['old', 'a', 'b', 'gone', 'b']) rememberDecided('mesh', { id, at: 7, title: `Was ${id}`, kind: 'k', author: 'p', votes: VOTES }, 3)
  assert.deepEqual(decidedBefore('mesh', 3).map(({ id }) => id), ['a', 'gone', 'b'])
  assert.deepEqual(decidedBefore('other', 3), [])

  const { decisions, mesh, changed } = setUp(t)
  mesh.consensus.result = (async (id: string) => {
    if (id === 'gone') throw new MeshError('timeout', 'not known')
    const { proposal: _, ...bare } = result(id)
    return bare
  }) as Mesh['consensus']['result']
  await decisions.begin()
  await changed(() => decisions.ended.length > 0)
  assert.deepEqual([...decisions.ended].map(({ id, title, at, votes }) => [id, title, at, votes.approve]), [['a', 'Was a', 7, 4], ['b', 'Was b', 7, 4]])
  for (const broken of ['{', '7', '{"meshId":"mesh","seen":7}', '{"meshId":"mesh","seen":[null,{"id":7}]}']) {
    storage.set('neural-mesh/decided', broken)
    assert.deepEqual(decidedBefore('mesh', 3), [])
  }
})

test('too few voters are no failure, and not being one is', async t => {
  const { decisions, mesh } = setUp(t)
  const failing = (code: MeshError['code']) => (mesh.consensus.propose = async () => Promise.reject(new MeshError(code, 'no')))
  failing('no-quorum')
  await decisions.propose('Lunch?', 30_000)
  failing('not-a-voter')
  await assert.rejects(decisions.propose('Lunch?', 30_000), { code: 'not-a-voter' })
})

test('a certificate is told in words', async () => {
  const decision: VerifiedDecision = { meshId: 'ours', mesh: 'lab', id: 'a', outcome: 'approved', epoch: 1, voters: 5, signers: 4 }
  assert.deepEqual(verdict(decision, 'ours'), { holds: true, text: 'Holds: 4 of 5 voters have signed that it is approved. It is of this mesh.' })
  assert.deepEqual(verdict(decision, 'other').holds, false)
  assert.match(verdict(decision, 'other').text, /^Of another mesh, not of this one: there 4 of 5 voters have signed\. It is called lab, its id is ours\.$/)
  assert.match((await check(new Uint8Array(10), 'ours')).text, /^This is no certificate: /)
  const large = await checkFile(new Blob([new Uint8Array(5_000_000)]), 'ours')
  assert.deepEqual([large.holds, large.text], [false, 'This is no certificate: it is larger than any.'])
})

test('a link with a part that is no charter is none', async () => {
  const invitation = { mesh: 'lab', relays: [], stun: [], charter: Uint8Array.of(1, 2, 3) }
  const reading = await openLink({ invitation })
  assert.ok(reading && 'error' in reading)
  assert.match(reading.error, /^the link has a part that is no charter \(/)
  const { charter: _, ...open } = invitation
  assert.deepEqual(await openLink({ invitation: open }), { invitation: open })
})

test('time that is left', () => {
  assert.deepEqual([1, 30_000, 119_001, 150_000, 3_600_000, 86_400_000].map(timeLeft), ['1 s', '30 s', '2 min', '3 min', '60 min', '24 h'])
})

function proposal(id: string, more: Partial<PendingProposal> = {}): PendingProposal {
  const made = { id, author: 'p', kind: 'question', title: `Title of ${id}`, proposal: {}, windowMs: 30_000, proposedAt: 0 }
  return { ...made, asked: false, ballots: [], ...more }
}

function result(id: string): ConsensusResult {
  const { asked: _, ballots, ...made } = proposal(id)
  return { id, approved: true, outcome: 'approved', proposal: made, votes: VOTES, ballots, certificate: new Uint8Array(), epoch: 1, signers: 4 }
}

// A mesh of which only what decisions need is there.
function setUp(t: { after(end: () => void): void }) {
  const listeners = new Map<string, (event: object) => void>()
  const pending: PendingProposal[] = []
  const news: string[] = []
  const electorate = async () => ({ epoch: 1, voters: ['1', '2', '3', '4', '5'], votes: true, founder: false })
  const mesh = { meshId: 'mesh', on: (type: string, listener: (event: object) => void) => listeners.set(type, listener), consensus: { pending, electorate } } as unknown as { consensus: { -readonly [K in keyof Mesh['consensus']]: Mesh['consensus'][K] } }
  let told = () => {}
  const decisions = new Decisions(mesh as unknown as Mesh, line => {
    if (line !== undefined) news.push(line)
    told()
  })
  t.after(() => decisions.close())
  const changed = async (until: () => boolean) => {
    while (!until()) await new Promise<void>(resolve => (told = resolve))
  }
  return { decisions, mesh, pending, news, changed, emit: (type: string, event: object) => listeners.get(type)!(event) }
}
