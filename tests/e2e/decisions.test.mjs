// Deciding together: a relay with a charter, and voters in processes of their own, with stores.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyDecision, verifyRecord } from 'neural-mesh'
import { relayBinary } from '../../scripts/lib/relay.mjs'
import { startChartered } from './lib/chartered.mjs'
import { Program } from './lib/program.mjs'

const LIMIT = { timeout: 60_000 }
const ROUNDS = 15
// Within this a proposal is decided, mostly: when voters are killed, after it was proposed.
const KILL_MS = 120

const codeOf = promise => promise.then(() => 'none', ({ code }) => code)

// What is the same at everybody; who has signed, and which ballots were heard, is not.
const same = ({ id, outcome, epoch, proposal }) => ({ id, outcome, epoch, proposal })

test('five voters: all are told the same, and the certificate holds for anybody', LIMIT, async t => {
  const world = await startChartered(t, 5)
  const { voters } = world
  const { meshId } = voters[0].agent
  const result = await voters[1].propose({ action: 'spawn-agent', vote: 'approve' }, { simple: true })
  assert.deepEqual([result.approved, result.outcome, result.epoch], [true, 'approved', 1])
  assert.deepEqual([result.proposal.author, result.proposal.kind], [voters[1].peerId, 'spawn-agent'])
  assert.deepEqual(result.proposal.proposal, { action: 'spawn-agent', vote: 'approve' })
  assert.ok(result.votes.approve >= 4, JSON.stringify(result.votes))

  const chain = await voters[4].run(({ mesh }) => mesh.consensus.chain())
  for (const voter of voters) {
    const told = await voter.decided(result.id)
    assert.deepEqual(same(told), same(result))
    const { signers, ...rest } = await verifyDecision(told.certificate, world.charter, chain)
    assert.deepEqual(rest, { meshId, mesh: 'e2e', id: result.id, outcome: 'approved', epoch: 1, voters: 5, author: voters[1].peerId })
    assert.ok(signers >= 4)
    assert.deepEqual(await mishaps(world, voter), [])
  }
  await assert.rejects(verifyDecision(result.certificate, world.charter), { code: 'integrity' })

  const proof = await voters[3].run(({ mesh }, id) => mesh.consensus.proof(id), result.id)
  assert.deepEqual((await verifyRecord(proof)).proposal, result.proposal)
  const file = join(world.dir, 'decision.cbor')
  const check = async bytes => {
    writeFileSync(file, bytes)
    const program = Program.spawn(relayBinary(), ['verify', file, '--mesh-id', meshId, '--json'])
    const { value } = await program.lines().next()
    return { ...(await program.exited), value }
  }
  const good = await check(proof)
  assert.equal(good.code, 0)
  const { mesh, outcome, voters: count, proposal } = JSON.parse(good.value)
  assert.deepEqual([mesh, outcome.is, count, proposal.kind], [meshId, 'approved', 5, 'spawn-agent'])
  const bad = new Uint8Array(proof)
  bad[Math.floor(bad.length / 2)] ^= 1
  assert.equal((await check(bad)).code, 1)
})

test('rejections have reasons; votes that come too late, twice, for nothing or from nobody have codes', LIMIT, async t => {
  const world = await startChartered(t, 4)
  const [ada, bob, eve, joe] = world.voters

  const rejected = await ada.propose({ vote: 'reject', reason: 'dear' }, { simple: true })
  assert.deepEqual([rejected.approved, rejected.outcome, rejected.votes.approve], [false, 'rejected', 1])
  const against = rejected.ballots.filter(({ vote }) => vote === 'reject')
  const isAs = ({ reason, peerId }) => reason === 'dear' && peerId !== ada.peerId
  assert.ok(against.length >= 2 && against.every(isAs), JSON.stringify(against))
  for (const voter of world.voters) assert.deepEqual(same(await voter.decided(rejected.id)), same(rejected))

  const follower = await world.follower('follower')
  const propose = ({ mesh }) => mesh.consensus.propose({})
  assert.equal(await codeOf(follower.run(propose)), 'not-a-voter')

  const proposing = ada.propose({ title: 'by hand' })
  const [id] = await Promise.all([bob, eve, joe].map(voter => voter.opened('by hand')))
  const hearsAndVotes = async ({ mesh, until }, id) => {
    await until(() => mesh.consensus.pending.some(pending => pending.id === id))
    await mesh.consensus.vote(id, 'approve')
  }
  assert.equal(await codeOf(follower.run(hearsAndVotes, id)), 'not-a-voter')
  await bob.vote(id, 'approve')
  assert.equal(await codeOf(bob.vote(id, 'reject')), 'already-voted')
  assert.equal(await codeOf(bob.vote('00'.repeat(32), 'approve')), 'unknown-proposal')
  assert.equal(await codeOf(bob.vote('id', 'approve')), 'invalid-argument')
  await eve.vote(id, 'approve')
  assert.equal((await proposing).approved, true)
  await joe.decided(id)
  assert.equal(await codeOf(joe.vote(id, 'reject')), 'already-decided')
  assert.equal((await follower.run(({ mesh }, id) => mesh.consensus.result(id, { timeoutMs: 10_000 }), id)).outcome, 'approved')

  const twice = await world.process()
  assert.equal(await codeOf(twice.join(world, 'twice', bob.member)), 'in-use', 'a store is one process’s at a time')

  const lapsed = await bob.propose({ title: 'nobody cares' }, { windowMs: 500 })
  assert.deepEqual([lapsed.approved, lapsed.outcome], [false, 'lapsed'])
  await ada.decided(lapsed.id)
  assert.equal(await codeOf(ada.vote(lapsed.id, 'approve')), 'lapsed')
})

test('with two of four voters gone there is no quorum, until they are back', LIMIT, async t => {
  const world = await startChartered(t, 4)
  const [ada, bob, ...gone] = world.voters
  await Promise.all(gone.map(voter => voter.kill()))
  const error = await ada.propose({ vote: 'approve' }, { windowMs: 500 }).catch(error => error)
  assert.equal(error.code, 'no-quorum')
  const { id } = error.details
  assert.match(error.message, /2 have been heard/)
  assert.deepEqual((await ada.told('no-quorum')).map(event => event.id), [id])
  const waiting = ada.result(id)
  await Promise.all(gone.map(voter => voter.start()))
  const result = await waiting
  for (const voter of [bob, ...gone]) assert.equal((await voter.result(id)).outcome, result.outcome)
  assert.equal((await ada.propose({ vote: 'approve' }, { simple: true })).approved, true)
})

test('a lease is one voter\'s at a time; given back, it is the next one\'s, with a greater token', LIMIT, async t => {
  const world = await startChartered(t, 4)
  const [ada, bob] = world.voters
  const acquire = voter => voter.run(async ({ mesh, state }) => {
    state.lease = await mesh.consensus.acquire('gpu/0', { lengthMs: 60_000 })
    const { token, leftMs } = state.lease
    return { token, leftMs }
  })
  const tries = await Promise.allSettled([ada, bob].map(acquire))
  const winner = tries.findIndex(({ status }) => status === 'fulfilled')
  assert.deepEqual(tries.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], JSON.stringify(tries))
  const [first, second] = winner === 0 ? [ada, bob] : [bob, ada]
  const { token, leftMs } = tries[winner].value
  assert.ok(leftMs > 0 && leftMs <= 48_000, `${leftMs}`)
  const refusal = tries[1 - winner].reason
  assert.deepEqual([refusal.code, refusal.details.holder], ['held', first.peerId])
  assert.ok(refusal.details.leftMs > 0 && refusal.details.leftMs <= 60_000, `${refusal.details.leftMs}`)
  assert.equal(await codeOf(acquire(second)), 'held')

  const renewed = await first.run(async ({ state }) => {
    await state.lease.renew()
    return state.lease.token
  })
  assert.ok(greater(renewed, token))
  await first.run(({ state }) => state.lease.release())
  const free = ({ mesh, until }) => until(async () => (await mesh.consensus.holder('gpu/0')) === undefined, { what: 'gpu/0 is free' })
  await Promise.all(world.voters.map(voter => voter.run(free)))
  const next = await acquire(second)
  assert.ok(greater(next.token, renewed))
})

const greater = (a, b) => a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)

test('kill -9 at any moment: nobody votes twice, and what is decided for one is for all', { timeout: 120_000 }, async t => {
  const seed = Number(process.env.SEED ?? randomInt(2 ** 31))
  t.diagnostic(`SEED=${seed}`)
  const random = generator(seed)
  const world = await startChartered(t, 4)
  const outcomes = {}
  for (let round = 0; round < ROUNDS; round++) {
    const [victim, author, ...others] = shuffled(world.voters, random)
    const afterMs = random() * KILL_MS
    const what = `round ${round}: ${victim.name} was killed ${afterMs.toFixed(1)} ms after ${author.name} had proposed`
    const proposing = author.propose({ round, vote: 'approve' }, { simple: true })
    await Promise.all([proposing.catch(() => {}), sleep(afterMs).then(() => victim.kill()).then(() => victim.start())])
    const result = await proposing.catch(error => assert.fail(`${what}: ${error.code} ${error.message}`))
    for (const voter of [victim, ...others]) {
      const known = await voter.result(result.id).catch(error => ({ ...error, id: error.code }))
      assert.deepEqual(short(known), short(result), `${what}, as ${voter.name} has it`)
    }
    outcomes[result.outcome] = (outcomes[result.outcome] ?? 0) + 1
  }
  t.diagnostic(`${ROUNDS} rounds ended ${JSON.stringify(outcomes)}`)
  for (const voter of world.voters) assert.deepEqual(await mishaps(world, voter), [], voter.name)
})

// What no voter should see of another, or of itself.
async function mishaps({ voters }, voter) {
  const peerIds = voters.map(({ peerId }) => peerId)
  const events = await voter.told('double-vote', 'store-failed', 'offence', 'error')
  return events.filter(({ type, peerId }) => type !== 'offence' || peerIds.includes(peerId))
}

// A node that was started anew may have forgotten what was proposed, but not how it ended.
const short = ({ id, outcome, epoch }) => ({ id, outcome, epoch })

function shuffled(items, random) {
  const from = [...items]
  return items.map(() => from.splice(Math.floor(random() * from.length), 1)[0])
}

// mulberry32
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
