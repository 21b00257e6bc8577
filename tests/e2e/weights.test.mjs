// Weights: they arrive whole and as they were hashed, also over a link that breaks, or the sender gets a typed error.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { acquaint, seen, startMesh, until } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
const MIB = 1024 * 1024
const SIZE = 10 * 1000 * 1000

for (const [cutOff, other] of [['sender', 'receiver'], ['receiver', 'sender']]) {
  test(`10 MB are resumed when the ${cutOff}'s link is cut at half`, LIMIT, async t => {
    const world = await startMesh(t)
    const proxy = await world.proxy()
    const join = async role => [role, await world.agent(role, { via: role === cutOff ? proxy : undefined })]
    const agents = Object.fromEntries(await Promise.all([cutOff, other].map(join)))
    const { sender, receiver } = agents
    await acquaint(sender, receiver)
    const before = proxy.up + proxy.down

    const data = randomBytes(SIZE)
    const cut = proxy.cutAfter(SIZE / 2)
    const shared = share(sender, receiver.id, { agentId: 'sender', data })
    await cut
    await Promise.all([
      seen(agents[cutOff], 'relay-disconnected'),
      seen(agents[other], 'peer-disconnected', { peerId: agents[cutOff].peerId }),
    ])
    await until(() => proxy.refused > 0, { what: 'a try to come back' })
    const { bytes } = await sender.run(({ state }) => state.progress.at(-1))
    assert.ok(bytes > 0 && bytes < SIZE, `cut in the middle: ${bytes} bytes are confirmed`)
    proxy.heal()

    const result = await shared
    assert.ok(result.resumed >= 1, `resumed ${result.resumed} times`)
    assert.equal(result.bytes, SIZE)
    const [received] = await weightsOf(receiver, 1)
    assert.equal(received.sha256, sha256(data))
    assert.equal(received.checksum, received.sha256)
    assert.equal(received.transfer, result.transfer)
    const passed = proxy.up + proxy.down - before
    assert.ok(passed < 1.6 * SIZE, `${passed} bytes passed`)
    for (const end of [sender.run(({ state }) => state.progress), receiver.run(({ log }) => log.progress)]) {
      checkProgress(await end, SIZE)
    }
    t.diagnostic(`cut with ${bytes} bytes confirmed, resumed ${result.resumed} times, ${passed} bytes passed`)
  })
}

for (const compression of ['none', 'gzip']) {
  test(`weights arrive as they are, compression ${compression}`, LIMIT, async t => {
    const world = await startMesh(t)
    const [ada, bob] = await world.agents('ada', 'bob')
    const data = Buffer.alloc(2 * MIB, 'a row of weights that repeats itself, ')
    const weights = { agentId: 'ada', name: 'digits', format: 'raw', metadata: { epoch: 3 }, checksum: sha256(data), data }
    const result = await share(ada, bob.id, weights, { compression })
    assert.equal(result.peerId, bob.peerId)
    assert.equal(result.rawSize, data.length)
    assert.equal(result.checksum, sha256(data))
    assert.equal(result.resumed, 0)
    if (compression === 'gzip') assert.ok(result.bytes < data.length / 10, `${result.bytes} bytes travelled`)
    else assert.equal(result.bytes, data.length)

    const [{ size, sha256: arrived, ...received }] = await weightsOf(bob, 1)
    assert.deepEqual([size, arrived], [data.length, sha256(data)])
    const { transfer } = result
    const { agentId, name, format, metadata, checksum } = weights
    assert.deepEqual(received, { transfer, from: ada.peerId, agentId, name, format, metadata, checksum })
    checkProgress(await ada.run(({ state }) => state.progress), result.bytes)
    checkProgress(await bob.run(({ log }) => log.progress), result.bytes)
  })
}

test('gzip is left away where it saves nothing; empty and tiny weights arrive too', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const sizes = [0, 1, 64 * 1024, 64 * 1024 + 1]
  for (const size of sizes) {
    const { bytes } = await share(ada, 'bob', { agentId: 'ada', data: randomBytes(size) }, { compression: 'gzip' })
    assert.equal(bytes, size)
  }
  const arrived = await weightsOf(bob, sizes.length)
  assert.deepEqual(arrived.map(({ size }) => size), sizes)
  assert.ok(arrived.every(({ sha256, checksum }) => sha256 === checksum))
})

test('weights for a node that nobody takes yet are kept until somebody does', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await Promise.all([world.agent('ada'), world.agent('bob', { listen: false })])
  await acquaint(ada, bob)
  const data = randomBytes(MIB)
  await share(ada, bob.peerId, { agentId: 'ada', data })
  const received = await bob.run(async ({ mesh }) => {
    for await (const { data } of mesh.weights.incoming()) return data
  })
  assert.equal(sha256(received), sha256(data))
})

test('a checksum that is not that of the data is refused before anything is sent', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const data = randomBytes(MIB)
  const wrong = sha256(Buffer.from('something else'))
  const error = await share(ada, bob.id, { agentId: 'ada', data, checksum: wrong }).catch(error => error)
  assert.equal(error.code, 'integrity')
  assert.deepEqual(error.details, { given: wrong, computed: sha256(data) })
  await share(ada, bob.id, { agentId: 'ada', data: randomBytes(10) })
  assert.deepEqual((await weightsOf(bob, 1)).map(({ size }) => size), [10])
  const transfers = await bob.run(({ log }) => [...new Set(log.progress.map(({ transfer }) => transfer))])
  assert.equal(transfers.length, 1, 'the second share is all that bob has heard of')
})

test('weights for an unknown agent reject with unknown-agent', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada] = await world.agents('ada', 'bob')
  await assert.rejects(share(ada, 'nobody', { agentId: 'ada', data: randomBytes(10) }), { code: 'unknown-agent' })
})

test('weights for a vanished agent reject with peer-unreachable', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await bob.kill()
  const shared = share(ada, bob.id, { agentId: 'ada', data: randomBytes(10) }, { timeoutMs: 2000 })
  await assert.rejects(shared, { code: 'peer-unreachable' })
})

test('weights larger than the receiver takes reject with too-large', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await Promise.all([world.agent('ada'), world.agent('bob', { maxIncomingWeights: MIB })])
  await acquaint(ada, bob)
  await assert.rejects(share(ada, bob.id, { agentId: 'ada', data: randomBytes(MIB + 1) }), { code: 'too-large' })
  await share(ada, bob.id, { agentId: 'ada', data: randomBytes(MIB) })
  assert.deepEqual((await weightsOf(bob, 1)).map(({ size }) => size), [MIB])
})

test('an aborted share rejects at once, and the rest is not sent', LIMIT, async t => {
  const world = await startMesh(t)
  const proxy = await world.proxy()
  const [ada, bob] = await Promise.all([world.agent('ada', { via: proxy }), world.agent('bob')])
  await acquaint(ada, bob)
  const before = proxy.up
  const size = 4 * SIZE
  const error = await ada.run(async ({ mesh }, to, size) => {
    const controller = new AbortController()
    const options = { signal: controller.signal, onProgress: () => controller.abort() }
    const shared = mesh.weights.share(to, { agentId: 'ada', data: new Uint8Array(size) }, options)
    return shared.then(() => undefined, ({ code }) => ({ code }))
  }, bob.id, size)
  assert.equal(error?.code, 'aborted')

  // On the same connection, so nothing of the first is still to come when this has arrived.
  await share(ada, bob.id, { agentId: 'ada', data: randomBytes(10) })
  const passed = proxy.up - before
  assert.ok(passed < size / 2, `${passed} bytes passed`)
  assert.deepEqual((await weightsOf(bob, 1)).map(({ size }) => size), [10])
  t.diagnostic(`${passed} of ${size} bytes passed`)
})

// Shares, and keeps what the sender is told of the progress in its `state`.
function share(agent, to, weights, options) {
  return agent.run(
    ({ mesh, state }, to, weights, options) => {
      state.progress = []
      return mesh.weights.share(to, weights, { ...options, onProgress: progress => state.progress.push(progress) })
    },
    to,
    weights,
    options,
  )
}

// Resolves to what has arrived, when it is at least `count`: with its size and SHA-256 in the place of `data`.
function weightsOf(agent, count) {
  return agent.run(async ({ log, until }, count) => {
    const { createHash } = await import('node:crypto')
    await until(() => log.weights.length >= count, { what: () => `${count} weights; there are ${log.weights.length}` })
    return log.weights.map(({ type: _, data, ...rest }) => {
      return { ...rest, size: data.length, sha256: createHash('sha256').update(data).digest('hex') }
    })
  }, count)
}

// Never back, never past the end, and to the end.
function checkProgress(progress, total) {
  assert.ok(progress.length > 0, 'there is some')
  assert.ok(progress.every(step => step.total === total))
  const bytes = progress.map(step => step.bytes)
  assert.deepEqual(bytes, [...bytes].sort((a, b) => a - b), 'never back')
  assert.equal(bytes.at(-1), total)
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}
