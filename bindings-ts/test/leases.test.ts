import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { asyncDispose } from '../src/dispose.js'
import type { MeshError } from '../src/errors.js'
import type { DecisionInfo, LeaseInfo, MeshNode } from '../src/generated/mesh_wasm.js'
import { FencingGuard } from '../src/leases.js'
import { fakeMesh } from './fake-node.js'
import { deferred, peerId, rejectsCode, throwsCode } from './tools.js'

const id = 'ef'.repeat(32)

function granted(holder?: string): DecisionInfo {
  const votes = { approve: 0, reject: 0, abstain: 0, missing: 0 }
  const grant = { resource: 'gpu', ...(holder !== undefined && { holder }), lengthMs: 1000, epoch: 1, seq: 4 }
  return { id, outcome: 'granted', certificate: new Uint8Array(1), epoch: 1, signers: 3, votes, ballots: [], grant }
}

const lease = (fields: Partial<LeaseInfo> = {}): LeaseInfo => ({ holder: peerId, epoch: 1, seq: 4, leftMs: 1000, stopInMs: 800, ...fields })

// A mesh in which claims are granted to this node, unless told otherwise.
function holder(methods: Partial<Record<keyof MeshNode, unknown>> = {}) {
  const claims: unknown[][] = []
  const releases: string[] = []
  const given = fakeMesh({
    claim: async (...claim: unknown[]) => (claims.push(claim), id),
    ending: async () => granted(peerId),
    lease: async () => lease(),
    release: async (resource: string) => void releases.push(resource),
    ...methods,
  })
  return { ...given, consensus: given.mesh.consensus, claims, releases }
}

// Time that stands still, for timers and for performance.now().
function stopped(t: { after(end: () => void): void }) {
  let now = 5000
  mock.timers.enable({ apis: ['setTimeout'] })
  const clock = mock.method(performance, 'now', () => now)
  t.after(() => {
    mock.timers.reset()
    clock.mock.restore()
  })
  return (ms: number) => {
    now += ms
    mock.timers.tick(ms)
  }
}

test('a lease lasts until its holder has to stop, and then aborts', async t => {
  const pass = stopped(t)
  const { consensus, claims, releases } = holder()
  const held = await consensus.acquire('gpu', { lengthMs: 1000 })
  assert.deepEqual(claims, [['gpu', 1000]])
  assert.deepEqual([held.resource, held.token, held.leftMs, held.signal.aborted], ['gpu', { epoch: 1, seq: 4 }, 800, false])
  pass(799)
  assert.deepEqual([held.leftMs, held.signal.aborted], [1, false])
  pass(1)
  assert.deepEqual([held.leftMs, held.signal.aborted], [0, true])
  assert.equal((held.signal.reason as MeshError).code, 'not-held')
  assert.match((held.signal.reason as MeshError).message, /'gpu' has ended: it is over/)
  await rejectsCode('not-held', /acquire it again/, held.renew())
  await held.release()
  assert.deepEqual([claims.length, releases], [1, []])
})

test('a late timer does not make a lease longer', async t => {
  const pass = stopped(t)
  const { consensus } = holder()
  const held = await consensus.acquire('gpu', { lengthMs: 1000 })
  mock.method(performance, 'now', () => 5800)
  assert.deepEqual([held.leftMs, held.signal.aborted], [0, false])
  await rejectsCode('not-held', /is over/, held.renew())
  pass(0)
})

test('renew: as long again from now, with a new token and options of its own', async t => {
  const pass = stopped(t)
  const states = [lease(), lease({ seq: 5 })]
  const { consensus, claims } = holder({ lease: async () => states.shift() })
  const controller = new AbortController()
  const held = await consensus.acquire('gpu', { lengthMs: 1000, signal: controller.signal })
  controller.abort()
  pass(500)
  await held.renew()
  assert.deepEqual([held.token, held.leftMs, claims.length], [{ epoch: 1, seq: 5 }, 800, 2])
  pass(799)
  assert.equal(held.signal.aborted, false)
  await rejectsCode('invalid-argument', /timeoutMs/, held.renew({ timeoutMs: 0 }))
  await rejectsCode('aborted', /aborted/, held.renew({ signal: AbortSignal.abort() }))
  pass(1)
  assert.equal(held.signal.aborted, true)
})

test('renew that is granted after the end is given back, as nobody uses it', async t => {
  const pass = stopped(t)
  const late = deferred<DecisionInfo>()
  const endings = [Promise.resolve(granted(peerId)), late.promise]
  const { consensus, releases } = holder({ ending: () => endings.shift() })
  const held = await consensus.acquire('gpu', { lengthMs: 1000 })
  const renewing = held.renew()
  pass(800)
  late.resolve(granted(peerId))
  await rejectsCode('not-held', /acquire it again/, renewing)
  assert.deepEqual([releases, held.leftMs, held.token], [['gpu'], 0, { epoch: 1, seq: 4 }])
})

test('release: once, and what is over already is no error', async t => {
  stopped(t)
  const { consensus, releases } = holder()
  const held = await consensus.acquire('gpu', { lengthMs: 1000 })
  await Promise.all([held.release(), held.release()])
  await held[asyncDispose]()
  assert.deepEqual(releases, ['gpu'])
  assert.match((held.signal.reason as MeshError).message, /it was given back/)
  assert.equal(held.leftMs, 0)

  const refusing = (code: string) => holder({ release: () => Promise.reject({ code, message: 'no' }) }).consensus.acquire('gpu', { lengthMs: 1 })
  await (await refusing('not-held')).release()
  const failing = await refusing('store-failed')
  await rejectsCode('store-failed', /no/, failing.release())
  assert.equal(failing.signal.aborted, true)
})

test('held by somebody else: by whom and how long, from the voters and from what is known here', async () => {
  const held = (error: MeshError) => {
    assert.deepEqual([error.code, error.details], ['held', { holder: 'ada', leftMs: 700 }])
    return /ada holds .*700 ms more/.test(error.message)
  }
  const outvoted = holder({ ending: async () => granted('ada'), lease: async () => lease({ holder: 'ada', leftMs: 700 }) })
  await assert.rejects(outvoted.consensus.acquire('gpu', { lengthMs: 1000 }), held)
  const known = { code: 'held', message: 'ada holds it for 700 ms more', details: { holder: 'ada', leftMs: 700 } }
  await assert.rejects(holder({ claim: () => Promise.reject(known) }).consensus.acquire('gpu', { lengthMs: 1000 }), held)
  const over = holder({ ending: async () => granted('ada'), lease: async () => undefined })
  await assert.rejects(over.consensus.acquire('gpu', { lengthMs: 1 }), (error: MeshError) => error.details?.leftMs === 0 && error.code === 'held')
})

test('nobody got it, it was over before it was granted, or there is no quorum', async () => {
  const acquire = (methods: object) => holder(methods).consensus.acquire('gpu', { lengthMs: 1000 })
  await assert.rejects(acquire({ ending: async () => granted() }), (error: MeshError) => error.code === 'lapsed' && error.details?.id === id)
  await rejectsCode('lapsed', /over before it was granted/, acquire({ lease: async () => undefined }))
  await rejectsCode('lapsed', /over before it was granted/, acquire({ lease: async () => lease({ holder: 'ada' }) }))
  await assert.rejects(acquire({ ending: async () => undefined }), (error: MeshError) => {
    assert.deepEqual([error.code, error.details], ['no-quorum', { id }])
    // A claim is no proposal, whose result could be waited for.
    assert.doesNotMatch(error.message, /result\(/)
    return true
  })
})

test('acquire and holder: what is refused', async () => {
  const { consensus, claims } = holder()
  await rejectsCode('invalid-argument', /options are missing/, consensus.acquire('gpu', undefined as never))
  for (const lengthMs of [undefined as never, 0, -1, NaN, 86_400_001, '1' as never]) {
    await rejectsCode('invalid-argument', /lengthMs must be/, consensus.acquire('gpu', { lengthMs }))
  }
  await rejectsCode('invalid-argument', /AbortSignal/, consensus.acquire('gpu', { lengthMs: 1, signal: 1 as never }))
  for (const call of [(name: string) => consensus.acquire(name, { lengthMs: 1 }), (name: string) => consensus.holder(name)]) {
    await rejectsCode('invalid-argument', /resource must not be empty/, call(''))
    await rejectsCode('invalid-argument', /resource has 257 bytes/, call('r'.repeat(257)))
    await rejectsCode('invalid-argument', /resource must be a string/, call(1 as never))
  }
  assert.deepEqual(claims, [])
})

test('holder: who, or nobody', async () => {
  assert.deepEqual(await holder().consensus.holder('gpu'), { holder: peerId, token: { epoch: 1, seq: 4 }, leftMs: 1000, stopInMs: 800 })
  assert.equal(await holder({ lease: async () => undefined }).consensus.holder('gpu'), undefined)
})

test('a guard lets the same and greater tokens through, epochs first', () => {
  const guard = new FencingGuard()
  assert.equal(guard.greatest, undefined)
  for (const token of [{ epoch: 0, seq: 9 }, { epoch: 0, seq: 9 }, { epoch: 0, seq: 10 }, { epoch: 1, seq: 0 }]) guard.admit(token)
  for (const late of [{ epoch: 0, seq: 11 }, { epoch: 0, seq: 10 }]) throwsCode('refused', /token 1\.0 was seen since/, () => guard.admit(late))
  assert.deepEqual(guard.greatest, { epoch: 1, seq: 0 })
  const restarted = new FencingGuard(guard.greatest)
  throwsCode('refused', /1\.0/, () => restarted.admit({ epoch: 0, seq: 11 }))
  restarted.admit({ epoch: 1, seq: 0 })
})

test('a guard takes nothing but tokens', () => {
  const guard = new FencingGuard()
  for (const wrong of [undefined, null, {}, { epoch: 1 }, { epoch: '1', seq: 1 }, { epoch: 1, seq: 0.5 }, 1]) {
    throwsCode('invalid-argument', /a token is \{ epoch, seq \}/, () => guard.admit(wrong as never))
    if (wrong) throwsCode('invalid-argument', /a token is/, () => new FencingGuard(wrong as never))
  }
  assert.equal(guard.greatest, undefined)
})
