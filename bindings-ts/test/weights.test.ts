import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { MeshEvent as CoreEvent, WeightsInfo } from '../src/generated/mesh_wasm.js'
import { MAX_METADATA, decodeValue, encodeValue } from '../src/codec.js'
import { MeshError } from '../src/errors.js'
import type { MeshEvent } from '../src/events.js'
import { MAX_UNCHECKED, MAX_UNCLAIMED, unpack } from '../src/weights-desk.js'
import { prepare, type ReceivedWeights, type TransferProgress } from '../src/weights.js'
import type { Mesh } from '../src/mesh.js'
import { fakeMesh, type FakeNode } from './fake-node.js'
import { deferred, peerId, rejectsCode, turn } from './tools.js'

const data = new Uint8Array(100_000).map((_, i) => (i / 1000) | 0)
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

function received(changes: Partial<WeightsInfo> = {}, body: Uint8Array = data, transfer = 't'): CoreEvent & { type: 'weights-received' } {
  const info: WeightsInfo = { agentId: 'ada', format: 'safetensors', codec: 'none', rawSize: data.length, checksum: sum(data), ...changes }
  return { type: 'weights-received', transfer, peerId: 'x', info, body }
}

test('preparing: hashed, named, as they are', async () => {
  const { info, body } = await prepare({ agentId: 'ada', data, metadata: { epoch: 3 } }, undefined)
  const { metadata, ...rest } = info
  assert.deepEqual(rest, { agentId: 'ada', format: 'safetensors', codec: 'none', rawSize: data.length, checksum: sum(data) })
  assert.deepEqual(decodeValue(metadata!, MAX_METADATA), { epoch: 3 })
  assert.equal(body, data)
})

test('preparing: gzip where it saves, by the option or by the weights', async () => {
  for (const [weights, option] of [[undefined, 'gzip'], ['gzip', undefined], ['none', 'gzip']] as const) {
    const { info, body } = await prepare({ agentId: 'ada', data, compression: weights }, option)
    assert.equal(info.codec, 'gzip')
    assert.equal(info.rawSize, data.length)
    assert.deepEqual(new Uint8Array(gunzipSync(body)), data)
  }
  const random = crypto.getRandomValues(new Uint8Array(10_000))
  assert.equal((await prepare({ agentId: 'ada', data: random }, 'gzip')).info.codec, 'none')
  assert.equal((await prepare({ agentId: 'ada', data: new Uint8Array(0) }, 'gzip')).info.codec, 'none')
})

test('preparing: an ArrayBuffer, a view, shared memory, a checksum in capitals', async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(data.length))
  shared.set(data)
  const view = new Uint8Array([9, ...data, 9]).subarray(1, data.length + 1)
  for (const same of [data.buffer, shared, view, Buffer.from(data)]) {
    const { body } = await prepare({ agentId: 'ada', data: same, checksum: sum(data).toUpperCase() }, undefined)
    assert.deepEqual(Uint8Array.from(body), data)
  }
})

test('preparing: what is refused', async () => {
  const refused = (message: RegExp, weights: unknown, compression?: unknown) =>
    rejectsCode('invalid-argument', message, prepare(weights as never, compression as never))
  await refused(/weights must be an object/, null)
  await refused(/agentId must be a string/, { data })
  await refused(/data must be/, { agentId: 'a', data: [1] })
  await refused(/data must be/, { agentId: 'a', data: new Float32Array(1) })
  await refused(/64 digits/, { agentId: 'a', data, checksum: 'abc' })
  await refused(/format has 65 bytes/, { agentId: 'a', data, format: 'x'.repeat(65) })
  await refused(/'none' or 'gzip'/, { agentId: 'a', data }, 'zstd')
  await rejectsCode('integrity', /checksum is 0+, but/, prepare({ agentId: 'a', data, checksum: '0'.repeat(64) }, undefined))
  const metadata = { m: new Uint8Array(1019) }
  await rejectsCode('too-large', /metadata has 1025 bytes/, prepare({ agentId: 'a', data, metadata }, undefined))
})

test('unpacking: plain and gzip, with everything that came along', async () => {
  const metadata = encodeValue('m', { epoch: 3 }, MAX_METADATA)
  const expected = { transfer: 't', from: 'x', agentId: 'ada', format: 'f', name: 'n', data, checksum: sum(data), metadata: { epoch: 3 } }
  assert.deepEqual(await unpack(received({ format: 'f', name: 'n', metadata }), 1e6), expected)
  const zipped = new Uint8Array(gzipSync(data))
  assert.deepEqual((await unpack(received({ codec: 'gzip' }, zipped), 1e6)).data, data)
})

test('unpacking: what is damaged, too large or not what it says', async () => {
  const zipped = new Uint8Array(gzipSync(data))
  await rejectsCode('integrity', /checksum/, unpack(received({ checksum: sum(new Uint8Array(1)) }), 1e6))
  await rejectsCode('integrity', /100000 bytes and not the 99999/, unpack(received({ rawSize: 99_999 }), 1e6))
  await rejectsCode('integrity', /more than the 99999/, unpack(received({ codec: 'gzip', rawSize: 99_999 }, zipped), 1e6))
  await rejectsCode('integrity', /metadata/, unpack(received({ metadata: new Uint8Array([0xff]) }), 1e6))
  await unpack(received(), data.length)
  await rejectsCode('too-large', /100000 bytes uncompressed, at most 99999/, unpack(received(), data.length - 1))
  await rejectsCode('too-large', /uncompressed/, unpack(received({ codec: 'gzip', rawSize: NaN }, zipped), 1e6))
})

test('receiving: handlers get checked weights, damaged ones become weights-failed', async () => {
  const { node, mesh } = fakeMesh()
  const got = deferred<ReceivedWeights>()
  const failed = deferred<MeshEvent<'weights-failed'>>()
  const progress: TransferProgress[] = []
  mesh.weights.onWeights(got.resolve, { onProgress: report => progress.push(report) })
  mesh.on('weights-failed', failed.resolve)
  const step = (direction: 'in' | 'out', bytes: number): CoreEvent => {
    return { type: 'weights-progress', transfer: 't', direction, peerId: 'x', bytes, total: data.length }
  }
  node.push(step('in', 50_000), step('out', 1), step('in', 100_000), received({ checksum: '0'.repeat(64) }), received())
  assert.deepEqual((await got.promise).data, data)
  const { code, transfer, direction, peerId } = await failed.promise
  assert.deepEqual([code, transfer, direction, peerId], ['integrity', 't', 'in', 'x'])
  assert.deepEqual(progress.map(({ direction, bytes, total }) => [direction, bytes, total]), [['in', 50_000, 100_000], ['in', 100_000, 100_000]])
  assert.equal(progress[0]!.rate, undefined)
})

test('receiving: kept until somebody takes them, the oldest dropped past the bound', async () => {
  const { node, mesh } = fakeMesh()
  let dropped = 0
  mesh.on('lagged', event => {
    assert.equal(event.buffer, 'weights')
    dropped += event.dropped
  })
  for (let i = 0; i < MAX_UNCLAIMED + 2; i++) {
    node.push(received({}, data, `t${i}`))
    await allChecked(node, mesh)
  }
  assert.equal(dropped, 2)
  const transfers: string[] = []
  const stop = mesh.weights.onWeights(({ transfer }) => transfers.push(transfer))
  assert.deepEqual(transfers, [])
  await turn()
  assert.deepEqual(transfers.length, MAX_UNCLAIMED)
  assert.equal(transfers[0], 't2')
  stop()
  const incoming = mesh.weights.incoming()
  node.push(received({}, data, 'last'))
  assert.equal((await incoming.next()).value?.transfer, 'last')
})

test('receiving: more than can wait to be checked are turned down', async () => {
  const { node, mesh } = fakeMesh()
  const failures: [string, string][] = []
  const transfers: string[] = []
  const all = deferred()
  mesh.on('weights-failed', ({ code, transfer }) => failures.push([code, transfer]))
  mesh.weights.onWeights(({ transfer }) => transfers.push(transfer) === MAX_UNCHECKED && all.resolve())
  for (let i = 0; i <= MAX_UNCHECKED; i++) node.push(received({}, data, `t${i}`))
  await all.promise
  assert.deepEqual(failures, [['over-quota', `t${MAX_UNCHECKED}`]])
})

// Weights are checked in order, so when a damaged one has failed, those before it are done.
async function allChecked(node: FakeNode, mesh: Mesh): Promise<void> {
  const failed = deferred()
  const stop = mesh.on('weights-failed', ({ code }) => code === 'integrity' && failed.resolve())
  await turn()
  node.push(received({ checksum: '0'.repeat(64) }))
  await failed.promise
  stop()
}

test('sharing: what the core is given, and what comes back', async () => {
  let given: unknown[] = []
  const receipt = { transfer: 't', peerId: 'x', bytes: data.length, resumed: 0, durationMs: 1 }
  const { mesh } = fakeMesh({ shareWeights: (...args: unknown[]) => ((given = args), Promise.resolve(receipt)) })
  const result = await mesh.weights.share('ada', { agentId: 'bob', data }, { timeoutMs: 5 })
  assert.deepEqual(result, { ...receipt, rawSize: data.length, checksum: sum(data) })
  assert.equal(given[0], 'ada')
  assert.deepEqual(given[3], { timeoutMs: 5 })
})

test('sharing: progress finds its call, the last report has all bytes', async () => {
  const done = { a: deferred<unknown>(), b: deferred<unknown>() }
  const started = { a: deferred(), b: deferred() }
  const agents = () => Promise.resolve([{ name: 'ada', peerId: 'pa' }, { name: 'bob', peerId: 'pb' }])
  const shareWeights = (to: string) => {
    const which = to === 'ada' ? 'a' : 'b'
    started[which].resolve()
    return done[which].promise
  }
  const { node, mesh } = fakeMesh({ agents, shareWeights })
  const seen: [string, string, number][] = []
  const share = (to: string) =>
    mesh.weights.share(to, { agentId: 'me', data }, { onProgress: ({ peerId, bytes }) => seen.push([to, peerId, bytes]) })
  const shares = [share('ada'), share('bob')]
  await Promise.all([started.a.promise, started.b.promise])
  const step = (transfer: string, peerId: string, bytes: number): CoreEvent => {
    return { type: 'weights-progress', transfer, direction: 'out', peerId, bytes, total: data.length }
  }
  node.push(step('tb', 'pb', 1), step('ta', 'pa', 2), step('tb', 'pb', 100_000), step('tx', 'px', 3))
  await turn()
  done.b.resolve({ transfer: 'tb', peerId: 'pb', bytes: 100_000, resumed: 0, durationMs: 1 })
  done.a.resolve({ transfer: 'ta', peerId: 'pa', bytes: 100_000, resumed: 0, durationMs: 1 })
  await Promise.all(shares)
  node.push(step('ta', 'pa', 100_000))
  await turn()
  assert.deepEqual(seen, [['bob', 'pb', 1], ['ada', 'pa', 2], ['bob', 'pb', 100_000], ['ada', 'pa', 100_000]])
})

test('sharing with many: all are tried, each once, and the error lists those that failed', async () => {
  const tried: string[] = []
  const { mesh } = fakeMesh({
    shareWeights: (to: string) => {
      tried.push(to)
      if (to === 'ada') return Promise.resolve({ transfer: 't', peerId, bytes: 1, resumed: 0, durationMs: 1 })
      return Promise.reject({ code: to === 'bob' ? 'refused' : 'timeout', message: `${to} said no` })
    },
  })
  const shared = mesh.weights.shareAll(['ada', 'bob', 'eve', 'ada'], { agentId: 'me', data })
  await assert.rejects(shared, error => {
    assert.ok(MeshError.isInstance(error))
    assert.equal(error.code, 'refused')
    assert.match(error.message, /2 of 3 targets: bob: refused, bob said no; eve: timeout, eve said no/)
    assert.deepEqual(error.details, {
      delivered: ['ada'],
      failures: [
        { target: 'bob', code: 'refused', message: 'bob said no' },
        { target: 'eve', code: 'timeout', message: 'eve said no' },
      ],
    })
    return true
  })
  assert.deepEqual(tried, ['ada', 'bob', 'eve'])
  assert.equal((await mesh.weights.shareAll(['ada'], { agentId: 'me', data })).length, 1)
  assert.deepEqual(await mesh.weights.shareAll([], { agentId: 'me', data }), [])
})

test('sharing: aborting says aborted, also while compressing', async () => {
  const { mesh } = fakeMesh({ shareWeights: () => new Promise(() => {}) })
  const controller = new AbortController()
  const shared = mesh.weights.share('ada', { agentId: 'me', data }, { compression: 'gzip', signal: controller.signal })
  controller.abort()
  await rejectsCode('aborted', /aborted/, shared)
})
