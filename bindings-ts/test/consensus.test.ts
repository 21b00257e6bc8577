import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeValue } from '../src/codec.js'
import type { MeshError } from '../src/errors.js'
import type { MeshEvent } from '../src/events.js'
import type { DecisionInfo, MeshNode, NewProposal, OpenProposal } from '../src/generated/mesh_wasm.js'
import { P2PNeuralMeshService } from '../src/service.js'
import { fakeMesh } from './fake-node.js'
import { deferred, peerId, rejectsCode, throwsCode, turn } from './tools.js'

const forever = () => new Promise<never>(() => {})
const id = 'cd'.repeat(32)
const certificate = new Uint8Array([1, 2, 3])

function open(id: string, body: unknown = { action: 'spawn' }, fields: Partial<OpenProposal> = {}): OpenProposal {
  const bytes = body instanceof Uint8Array ? body : encodeValue('body', body, 100_000)
  return { id, author: 'ada', kind: 'spawn', title: 'Spawn one', body: bytes, windowMs: 5000, proposedAt: 7, ...fields }
}

function decided(id: string, fields: Partial<DecisionInfo> = {}): DecisionInfo {
  const votes = { approve: 3, reject: 0, abstain: 0, missing: 1 }
  const ballots = [{ peerId: 'ada', vote: 'approve', reason: '' } as const]
  return { id, outcome: 'approved', certificate, epoch: 2, signers: 3, votes, ballots, ...fields }
}

// A node that takes proposals and votes, and writes down what it was asked.
function voter(methods: Partial<Record<keyof MeshNode, unknown>> = {}) {
  const proposed: NewProposal[] = []
  const votes: unknown[][] = []
  const given = fakeMesh({
    propose: async (proposal: NewProposal) => (proposed.push(proposal), id),
    ending: async (id: string) => decided(id),
    vote: async (...vote: unknown[]) => void votes.push(vote),
    ...methods,
  })
  const heard: MeshEvent[] = []
  const errors: MeshError[] = []
  for (const type of ['proposal', 'vote', 'decided', 'granted', 'no-quorum', 'electorate', 'double-vote', 'store-failed'] as const) {
    given.mesh.on(type, event => heard.push(event))
  }
  given.mesh.on('error', ({ error }) => errors.push(error as MeshError))
  return { ...given, consensus: given.mesh.consensus, proposed, votes, heard, errors }
}

test('propose: what the core gets, with its defaults', async () => {
  const { consensus, proposed } = voter()
  await consensus.propose({ action: 'spawn', type: 'coder' })
  await consensus.propose({ type: 'coder', action: 1 }, { simple: true })
  await consensus.propose({}, { simple: true, windowMs: 500 })
  await consensus.propose({ kind: 'k', title: 't', action: 'a' }, { windowMs: 86_400_000 })
  const fields = proposed.map(({ kind, title, windowMs }) => [kind, title, windowMs])
  assert.deepEqual(fields, [
    ['spawn', 'spawn', 30_000],
    ['coder', 'coder', 5000],
    ['proposal', 'proposal', 500],
    ['k', 't', 86_400_000],
  ])
  assert.deepEqual(proposed[0]!.body, encodeValue('', { action: 'spawn', type: 'coder' }, 100))
})

test('propose: what is refused, before the core is asked', async () => {
  const { consensus, proposed } = voter()
  for (const wrong of [undefined, null, 'spawn', 1, [], ['spawn'], () => {}]) {
    await rejectsCode('invalid-argument', /a proposal must be an object/, consensus.propose(wrong as never))
  }
  for (const windowMs of [499, 86_400_001, 0, -1, NaN, Infinity, '500' as never, null as never]) {
    await rejectsCode('invalid-argument', /windowMs must be/, consensus.propose({}, { windowMs }))
  }
  await rejectsCode('invalid-argument', /simple must be true or false/, consensus.propose({}, { simple: 1 as never }))
  await rejectsCode('invalid-argument', /options must be an object/, consensus.propose({}, null as never))
  await rejectsCode('invalid-argument', /timeoutMs/, consensus.propose({}, { timeoutMs: 0 }))
  await rejectsCode('invalid-argument', /kind must be a string/, consensus.propose({ kind: 1 as never }))
  await rejectsCode('invalid-argument', /kind has 65 bytes/, consensus.propose({ kind: 'k'.repeat(65), title: '' }))
  await rejectsCode('invalid-argument', /title has 257 bytes/, consensus.propose({ title: 't'.repeat(257) }))
  await rejectsCode('invalid-argument', /title must not hold control/, consensus.propose({ title: 'a\nb' }))
  await rejectsCode('invalid-argument', /the proposal\.when is a Date/, consensus.propose({ when: new Date() }))
  assert.deepEqual(proposed, [])
})

test('propose: 32 KiB as CBOR, and one byte more', async () => {
  const { consensus, proposed } = voter()
  // A map of one, a key of one letter, and a text with a length of two bytes.
  const room = 32 * 1024 - 1 - 2 - 3
  await consensus.propose({ a: 'x'.repeat(room) })
  assert.equal(proposed[0]!.body.length, 32 * 1024)
  await rejectsCode('too-large', /the proposal has 32769 bytes/, consensus.propose({ a: 'x'.repeat(room + 1) }))
})

test('propose resolves to how it ended; without what it holds if that is not known', async () => {
  const ends = [decided(id, { proposal: open(id) }), decided(id, { outcome: 'rejected', proposal: open(id, new Uint8Array([0xff])) })]
  const { consensus } = voter({ ending: async () => ends.shift() })
  const [approved, rejected] = [await consensus.propose({}), await consensus.propose({})]
  assert.deepEqual(approved, {
    ...{ id, approved: true, outcome: 'approved', certificate, epoch: 2, signers: 3 },
    proposal: { id, author: 'ada', kind: 'spawn', title: 'Spawn one', proposal: { action: 'spawn' }, windowMs: 5000, proposedAt: 7 },
    votes: { approve: 3, reject: 0, abstain: 0, missing: 1 },
    ballots: [{ peerId: 'ada', vote: 'approve', reason: '' }],
  })
  assert.deepEqual([rejected.approved, rejected.outcome, 'proposal' in rejected], [false, 'rejected', false])
})

test('no quorum: the id, how many were heard, and how to wait on; result does', async () => {
  let quorum = false
  const { consensus, node } = voter({ ending: async (id: string) => (quorum ? decided(id, { outcome: 'lapsed' }) : undefined) })
  await assert.rejects(consensus.propose({}), (error: MeshError) => {
    assert.deepEqual([error.code, error.details], ['no-quorum', { id }])
    assert.match(error.message, new RegExp(`result\\('${id}'\\) waits on`))
    assert.doesNotMatch(error.message, /heard/)
    return true
  })
  node.push({ type: 'proposal', proposal: open(id), asked: true }, { type: 'vote', id, peerId: 'bob', vote: 'approve', reason: '' })
  await turn()
  await rejectsCode('no-quorum', /\(1 have been heard\)/, consensus.result(id))
  quorum = true
  assert.equal((await consensus.result(id)).outcome, 'lapsed')
})

test('result: errors of the core, a time-out, and no claims', async () => {
  const { consensus } = voter({
    ending: async (id: string) => {
      if (id === 'forever') return forever()
      if (id === 'bad') throw { code: 'invalid-argument', message: 'the id of a proposal is 64 hex digits' }
      return decided(id, { outcome: 'granted' })
    },
  })
  await rejectsCode('timeout', /within 5 ms/, consensus.result('forever', { timeoutMs: 5 }))
  await rejectsCode('invalid-argument', /64 hex digits/, consensus.result('bad'))
  await rejectsCode('invalid-argument', /'claim' is a claim/, consensus.result('claim'))
})

test('vote: what the core gets, and what is refused', async () => {
  const { consensus, votes } = voter()
  await consensus.vote('a', 'approve')
  await consensus.vote('b', 'reject', { reason: 'dear' })
  await consensus.vote('c', 'abstain', { reason: 'r'.repeat(256) })
  assert.deepEqual(votes, [['a', 'approve', ''], ['b', 'reject', 'dear'], ['c', 'abstain', 'r'.repeat(256)]])
  for (const wrong of ['yes', 'Approve', undefined, true]) {
    await rejectsCode('invalid-argument', /a vote must be/, consensus.vote('a', wrong as never))
  }
  await rejectsCode('invalid-argument', /reason has 257 bytes/, consensus.vote('a', 'approve', { reason: 'r'.repeat(257) }))
  await rejectsCode('invalid-argument', /reason must be a string/, consensus.vote('a', 'approve', { reason: null as never }))
  assert.equal(votes.length, 3)
})

test('pending: asked until this node has voted, here or by a vote that is heard; gone when decided', async () => {
  const saying = deferred()
  const { consensus, node } = voter({ vote: () => saying.promise })
  const asked = () => consensus.pending.map(({ id, asked }) => [id, asked])
  node.push(...['a', 'b', 'c'].map(id => ({ type: 'proposal', proposal: open(id), asked: id !== 'c' }) as const))
  await turn()
  assert.deepEqual(asked(), [['a', true], ['b', true], ['c', false]])
  const voting = consensus.vote('a', 'approve')
  await turn()
  assert.equal(consensus.pending[0]!.asked, true)
  saying.resolve()
  await voting
  node.push({ type: 'vote', id: 'b', peerId: 'bob', vote: 'reject', reason: '' })
  await turn()
  assert.deepEqual(asked(), [['a', false], ['b', true], ['c', false]])
  node.push({ type: 'vote', id: 'b', peerId, vote: 'approve', reason: '' })
  await turn()
  assert.deepEqual(asked(), [['a', false], ['b', false], ['c', false]])
  node.push({ type: 'decided', decision: decided('a') })
  await turn()
  assert.deepEqual(asked(), [['b', false], ['c', false]])
})

test('a vote that is refused leaves it asked', async () => {
  const { consensus, node } = voter({ vote: () => Promise.reject({ code: 'not-a-voter', message: 'no' }) })
  node.push({ type: 'proposal', proposal: open('a'), asked: true })
  await turn()
  await rejectsCode('not-a-voter', /no/, consensus.vote('a', 'approve'))
  assert.equal(consensus.pending[0]!.asked, true)
})

test('pending holds 400; the oldest give way', async () => {
  const { consensus, node } = voter()
  node.push(...Array.from({ length: 402 }, (_, n) => ({ type: 'proposal', proposal: open(String(n)), asked: true }) as const))
  await turn()
  const ids = consensus.pending.map(({ id }) => id)
  assert.deepEqual([ids.length, ids[0], ids.at(-1)], [400, '2', '401'])
})

test('ballots are events, and gather in pending; those of what is not known are events only', async () => {
  const { consensus, node, heard } = voter()
  const ballots = [{ peerId: 'bob', vote: 'reject', reason: 'dear' }, { peerId: 'eve', vote: 'abstain', reason: '' }] as const
  node.push({ type: 'proposal', proposal: open('a'), asked: true }, ...ballots.map(ballot => ({ type: 'vote', id: 'a', ...ballot }) as const))
  node.push({ type: 'vote', id: 'b', ...ballots[0] })
  await turn()
  assert.deepEqual(consensus.pending.map(({ ballots }) => ballots), [ballots])
  assert.deepEqual(heard.filter(({ type }) => type === 'vote'), [
    { type: 'vote', id: 'a', ...ballots[0] },
    { type: 'vote', id: 'a', ...ballots[1] },
    { type: 'vote', id: 'b', ...ballots[0] },
  ])
})

test('proposals that are no value, or no object, are not shown', async () => {
  const { consensus, node, heard, errors } = voter()
  consensus.setPolicy(() => assert.fail('asked'))
  const bodies = [new Uint8Array([0xff]), new Uint8Array(), encodeValue('', 'text', 9), encodeValue('', null, 9), new Uint8Array(32 * 1024 + 1)]
  node.push(...bodies.map((body, n) => ({ type: 'proposal', proposal: open(String(n), body), asked: true }) as const))
  node.push({ type: 'proposal', proposal: open('good'), asked: false })
  await turn()
  assert.deepEqual(consensus.pending.map(({ id }) => id), ['good'])
  assert.deepEqual([heard.length, errors], [1, []])
})

test('proposals(): open ones first, only those asked, to the end of the mesh', async () => {
  const { mesh, consensus, node } = voter()
  node.push({ type: 'proposal', proposal: open('open'), asked: true }, { type: 'proposal', proposal: open('not asked'), asked: false })
  await turn()
  const seen: string[] = []
  const loop = (async () => {
    for await (const { id, proposal } of consensus.proposals()) {
      assert.deepEqual(proposal, { action: 'spawn' })
      seen.push(id)
    }
  })()
  node.push({ type: 'proposal', proposal: open('not asked either'), asked: false }, { type: 'proposal', proposal: open('later'), asked: true })
  await turn()
  assert.deepEqual(seen, ['open', 'later'])
  await mesh.close()
  await loop
  throwsCode('closed', /closed/, () => consensus.proposals())
})

test('proposals(): one that is left before its first step takes nothing with it', async () => {
  const { consensus, hub } = voter()
  const before = hub.streams({ type: 'proposal', proposal: open('a') as never, asked: true }).length
  await consensus.proposals().return?.()
  assert.equal(hub.streams({ type: 'proposal', proposal: open('a') as never, asked: true }).length, before)
})

test('proposals(): ends with its signal, and when it is left', async () => {
  const { consensus, node } = voter()
  const controller = new AbortController()
  const loop = consensus.proposals({ signal: controller.signal })
  const item = loop.next()
  controller.abort()
  assert.equal((await item).done, true)
  node.push({ type: 'proposal', proposal: open('a'), asked: true })
  await turn()
  for await (const { id } of consensus.proposals()) {
    assert.equal(id, 'a')
    break
  }
  throwsCode('invalid-argument', /AbortSignal/, () => consensus.proposals({ signal: {} as never }))
})

test('a policy votes: a word, a vote with a reason, nothing; also later, and on what is open already', async () => {
  const { consensus, node, votes, errors } = voter()
  node.push(...['approve', 'reason', 'nothing'].map(id => ({ type: 'proposal', proposal: open(id), asked: true }) as const))
  node.push({ type: 'proposal', proposal: open('not asked'), asked: false })
  await turn()
  consensus.setPolicy(async ({ id, proposal }) => {
    assert.deepEqual(proposal, { action: 'spawn' })
    if (id === 'reason') return { vote: 'reject', reason: 'dear' }
    return id === 'nothing' ? undefined : 'approve'
  })
  await turn()
  assert.deepEqual(votes, [['approve', 'approve', ''], ['reason', 'reject', 'dear']])
  assert.deepEqual(consensus.pending.map(({ asked }) => asked), [false, false, true, false])
  node.push({ type: 'proposal', proposal: open('later'), asked: true })
  await turn()
  consensus.setPolicy(undefined)
  node.push({ type: 'proposal', proposal: open('too late'), asked: true })
  await turn()
  assert.deepEqual(votes.slice(2), [['later', 'approve', '']])
  assert.deepEqual(errors, [])
  throwsCode('invalid-argument', /policy must be a function/, () => consensus.setPolicy('approve' as never))
})

test('a policy that throws, rejects, or says what is no vote, becomes an error event, and has not voted', async () => {
  const { consensus, node, votes, errors } = voter()
  consensus.setPolicy(({ id }) => {
    if (id === 'throws') throw new Error('thrown')
    return id === 'rejects' ? Promise.reject(new Error('rejected')) : ('perhaps' as never)
  })
  node.push(...['throws', 'rejects', 'perhaps'].map(id => ({ type: 'proposal', proposal: open(id), asked: true }) as const))
  await turn()
  assert.deepEqual(errors.map(({ message }) => message).sort(), ["a vote must be 'approve', 'reject' or 'abstain'", 'rejected', 'thrown'])
  assert.deepEqual(votes, [])
})

test('a policy that is too late is no error; one whose vote cannot be kept is', async () => {
  for (const code of ['already-decided', 'lapsed', 'already-voted', 'closed', 'store-failed'] as const) {
    const { consensus, node, errors } = voter({ vote: () => Promise.reject({ code, message: 'no' }) })
    consensus.setPolicy(() => 'approve')
    node.push({ type: 'proposal', proposal: open('a'), asked: true })
    await turn()
    assert.deepEqual(errors.map(({ code }) => code), code === 'store-failed' ? [code] : [])
  }
})

test('decided, granted and what the core tells besides are events', async () => {
  const { node, heard } = voter()
  const lease = { resource: 'gpu', lengthMs: 5, epoch: 0, seq: 1 }
  node.push(
    { type: 'decided', decision: decided('a', { outcome: 'rejected' }) },
    { type: 'decided', decision: decided('b', { outcome: 'granted', grant: { ...lease, holder: 'ada' } }) },
    { type: 'decided', decision: decided('c', { outcome: 'lapsed', grant: { ...lease, lengthMs: 0 } }) },
    { type: 'no-quorum', id: 'd' },
    { type: 'electorate', epoch: 1, voters: ['ada'] },
    { type: 'double-vote', peerId: 'eve' },
    { type: 'store-failed' },
  )
  await turn()
  const { votes, ballots } = decided('a')
  assert.deepEqual(heard, [
    { type: 'decided', result: { id: 'a', approved: false, outcome: 'rejected', votes, ballots, certificate, epoch: 2, signers: 3 } },
    { type: 'granted', resource: 'gpu', holder: 'ada', lengthMs: 5 },
    { type: 'granted', resource: 'gpu', lengthMs: 0 },
    { type: 'no-quorum', id: 'd' },
    { type: 'electorate', epoch: 1, voters: ['ada'] },
    { type: 'double-vote', peerId: 'eve' },
    { type: 'store-failed' },
  ])
})

test('electorate: who votes, and what an open mesh says', async () => {
  const voters = [{ peerId: 'ada', votingKey: 'k' }]
  const infos = [{ epoch: 1, voters, votes: true, founder: false, votingKey: 'k' }, { epoch: 1, voters, votes: false, founder: true }, undefined]
  const { consensus } = voter({ electorate: async () => infos.shift() })
  assert.deepEqual(await consensus.electorate(), { epoch: 1, voters: ['ada'], votes: true, founder: false, votingKey: 'k' })
  assert.deepEqual(await consensus.electorate(), { epoch: 1, voters: ['ada'], votes: false, founder: true })
  await rejectsCode('not-a-voter', /open one without a charter/, consensus.electorate())
})

test('elect, proof and chain', async () => {
  const elected: string[][] = []
  const { consensus } = voter({
    elect: async (peers: string[]) => elected.push(peers),
    record: async (id: string) => (id === 'known' ? certificate : undefined),
    epochs: async () => [certificate],
  })
  assert.equal(await consensus.elect(['ada', 'bob', 'ada']), 1)
  assert.deepEqual(elected, [['ada', 'bob']])
  for (const wrong of [[], 'ada', undefined]) await rejectsCode('invalid-argument', /peerIds must be a list/, consensus.elect(wrong as never))
  assert.equal(await consensus.proof('known'), certificate)
  await rejectsCode('unknown-proposal', /'forgotten' has ended/, consensus.proof('forgotten'))
  assert.deepEqual(await consensus.chain(), [certificate])
  await rejectsCode('timeout', /within 5 ms/, voter({ epochs: forever }).consensus.chain({ timeoutMs: 5 }))
})

test('the service proposes and votes as its mesh does, once it is in one', async () => {
  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: [] })
  await rejectsCode('closed', /await initialize\(\) first/, service.proposeCoordination({ action: 'spawn' }))
  await rejectsCode('closed', /await initialize\(\) first/, service.voteOnProposal(id, 'approve'))
})
