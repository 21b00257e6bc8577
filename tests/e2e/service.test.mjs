// P2PNeuralMeshService, name by name; and leaving a mesh leaves nothing behind.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { P2PNeuralMeshService } from 'neural-mesh'
import { acquaint, knows, seen, startMesh } from './lib/mesh.mjs'
import { Program } from './lib/program.mjs'

const LIMIT = { timeout: 60_000 }
const LEAVE = fileURLToPath(new URL('lib/leave.mjs', import.meta.url))

test('the service has the names of the roadmap', () => {
  const service = new P2PNeuralMeshService({ mesh: 'e2e', relays: [] })
  for (const name of [
    ...['initialize', 'announceAgent', 'discoverAgents', 'sendDirectMessage', 'broadcastToSwarm', 'shareNeuralWeights'],
    ...['requestKnowledgeSync', 'storeKnowledge', 'retrieveKnowledge', 'syncKnowledgeDomain'],
    ...['proposeCoordination', 'voteOnProposal'],
    ...['getNetworkTopology', 'getMeshMetrics', 'isConnected', 'shutdown', 'on', 'once', 'off', 'inbox', 'onWeights'],
  ]) {
    assert.equal(typeof service[name], 'function', name)
  }
})

test('the service from initialize to shutdown', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, eve] = await Promise.all([world.process(), world.agent('bob'), world.agent('eve')])
  await acquaint(bob, eve)

  const before = await ada.run(async ({ P2PNeuralMeshService, MeshError, state }, config) => {
    const service = (state.service = new P2PNeuralMeshService(config))
    state.messages = []
    service.on('message', message => state.messages.push(message))
    const error = await service.broadcastToSwarm('too early').catch(error => error)
    const early = { code: error.code, isMeshError: MeshError.isInstance(error), connected: service.isConnected() }
    await Promise.all([service.initialize(), service.initialize()])
    return { ...early, after: service.isConnected(), peerId: service.mesh.peerId }
  }, { mesh: world.mesh, relays: [world.relay.address] })
  const { peerId } = before
  assert.deepEqual(before, { code: 'closed', isMeshError: true, connected: false, after: true, peerId })

  await ada.run(({ state }) => state.service.announceAgent({ id: 'ada', capabilities: ['digits'] }))
  await Promise.all([bob, eve].map(other => knows(other, [`ada@${peerId}`])))
  const found = await ada.run(({ state }) => state.service.discoverAgents({ name: 'bob' }, { limit: 1, timeoutMs: 20_000 }))
  assert.deepEqual(found.map(({ id }) => id), [bob.id])

  await ada.run(({ state }) => state.service.sendDirectMessage('bob', { task: 'digits' }, { from: 'ada' }))
  const message = await bob.run(async ({ log, until }) => {
    await until(() => log.messages.length > 0)
    return log.messages[0]
  })
  assert.deepEqual([message.from, message.payload], [`ada@${peerId}`, { task: 'digits' }])
  await bob.run(({ mesh }, to) => mesh.send(to, 'thanks'), message.from)
  const answers = await ada.run(({ state, until }) => until(() => state.messages.length > 0 && state.messages))
  assert.deepEqual(answers.map(({ payload }) => payload), ['thanks'])

  await ada.run(({ state }) => state.service.broadcastToSwarm('hello', { topic: 'greetings' }))
  for (const other of [bob, eve]) {
    const broadcast = await other.run(({ log, until }) => until(() => log.broadcasts[0]))
    assert.deepEqual([broadcast.from, broadcast.topic, broadcast.payload], [peerId, 'greetings', 'hello'])
  }

  const topology = await ada.run(({ state }) => state.service.getNetworkTopology())
  assert.deepEqual([topology.peerId, topology.meshId], [peerId, bob.meshId])
  assert.ok(topology.links.some(link => link.relay && !link.relayed && link.peerId === world.relay.peerId))
  assert.ok(topology.links.some(link => link.relayed && link.peerId === bob.peerId))
  for (const other of [bob, eve]) {
    const peer = topology.peers.find(peer => peer.peerId === other.peerId)
    assert.deepEqual([peer.status, peer.agents], ['alive', 1])
  }
  const metrics = await ada.run(({ state }) => state.service.getMeshMetrics())
  const { messagesSent, messagesDelivered, messagesReceived, broadcastsSent, agentsKnown, offences } = metrics
  assert.deepEqual([messagesSent, messagesDelivered, messagesReceived, broadcastsSent], [1, 1, 1, 1])
  assert.deepEqual([agentsKnown, offences], [3, 0])

  const [cid, bundle] = await ada.run(async ({ state }, peerId) => {
    const cid = await state.service.storeKnowledge('digits', { accuracy: 0.95 }, { model: 'mlp' }, { domain: 'results' })
    const { entries, sync } = await state.service.requestKnowledgeSync('results')
    const values = await Promise.all(entries.map(async entry => [entry.key, entry.metadata, await entry.value()]))
    const { peers } = await state.service.syncKnowledgeDomain('results', [peerId])
    return [cid, { values, domain: sync.domain, failures: sync.failures, peers: peers.map(({ peerId, whole }) => [peerId, whole]) }]
  }, bob.peerId)
  const digits = ['digits', { model: 'mlp' }, { accuracy: 0.95 }]
  assert.deepEqual(bundle, { values: [digits], domain: 'results', failures: [], peers: [[bob.peerId, true]] })
  const retrieved = await ada.run(({ state }) => state.service.retrieveKnowledge('digits', { domain: 'results' }))
  assert.deepEqual([retrieved.cid, retrieved.value], [cid, { accuracy: 0.95 }])

  const after = await ada.run(async ({ state }) => {
    await state.service.shutdown()
    await state.service.shutdown()
    const { code } = await state.service.sendDirectMessage('bob', 'too late').catch(error => error)
    return { code, connected: state.service.isConnected(), mesh: state.service.mesh }
  })
  assert.deepEqual(after, { code: 'closed', connected: false, mesh: undefined })
  await seen(bob, 'agent-left', { id: `ada@${peerId}` })

  await ada.run(({ state }) => state.service.initialize())
  await ada.run(({ state }) => state.service.announceAgent({ id: 'ada' }))
  await bob.run(({ mesh, until }) => until(async () => (await mesh.agents.list()).some(({ name }) => name === 'ada')))
})

test('announceAgent takes the three shapes of agents', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await Promise.all([world.process(), world.agent('bob')])
  await ada.run(async ({ P2PNeuralMeshService, state }, config) => {
    const service = (state.service = new P2PNeuralMeshService(config))
    await service.initialize()
    // One that is part of a swarm, with all that it carries about.
    await service.announceAgent({
      ...{ id: 'swarm', name: 'Swarm', type: 'coder', status: 'active', capabilities: ['b', 'a', 'b'] },
      position: { x: 1, y: 2, z: 3 },
      neuralProperties: { neuronId: 'n', layer: 1, lastSpike: new Date() },
      realtime: { cpuUsage: 0.25, memoryUsage: 64, networkLatency: 3 },
    })
    // One that owns a network to train.
    await service.announceAgent({
      id: 'network',
      config: { type: 'mlp', architecture: [784, 32, 10] },
      network: { run() {} },
      ...{ state: 'active', createdAt: Date.now(), memoryUsage: 512, totalInferences: 0 },
      metadata: { since: new Date(), tags: ['x'] },
    })
    // One that says what it can do in its configuration.
    await service.announceAgent({
      id: 'configured',
      config: { type: 'researcher', capabilities: ['digits'] },
      resources: { cpu: 2, memory: 1024 },
    })
  }, { mesh: world.mesh, relays: world.relay.address })
  const agents = await bob.run(async ({ mesh, until }) => {
    const others = async () => (await mesh.agents.list()).filter(({ local }) => !local)
    await until(async () => (await others()).length === 3)
    return Object.fromEntries((await others()).map(({ name, id, peerId, announcedAt, local, ...rest }) => [name, rest]))
  })
  assert.deepEqual(agents, {
    swarm: { type: 'coder', capabilities: ['a', 'b'], resources: { cpu: 0.25, memory: 64 } },
    network: {
      ...{ type: 'mlp', capabilities: [], resources: { memory: 512, specialization: 'mlp' } },
      metadata: { tags: ['x'] },
    },
    configured: {
      ...{ type: 'researcher', capabilities: ['digits'] },
      resources: { cpu: 2, memory: 1024, specialization: 'researcher' },
    },
  })
})

test('shareNeuralWeights reaches all targets, and names each that it does not reach', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob, eve] = await Promise.all([world.process(), world.agent('bob'), world.agent('eve')])
  await ada.run(async ({ P2PNeuralMeshService, state, until }, config) => {
    state.service = new P2PNeuralMeshService(config)
    await state.service.initialize()
    await until(async () => (await state.service.mesh.agents.list()).length === 2)
  }, { mesh: world.mesh, relays: world.relay.address })

  const data = randomBytes(1_000_000)
  const share = targets => ada.run(async ({ state }, targets, data) => {
    await state.service.shareNeuralWeights(targets, { agentId: 'ada', data, compression: 'gzip' })
  }, targets, data)
  await share([bob.id, eve.id])
  await assert.rejects(share([bob.id, 'nobody', 'no-one']), error => {
    assert.equal(error.code, 'unknown-agent')
    assert.match(error.message, /2 of 3 targets: nobody: .*; no-one: /)
    assert.deepEqual(error.details.delivered, [bob.id])
    const failures = error.details.failures.map(({ target, code }) => `${target}: ${code}`)
    assert.deepEqual(failures, ['nobody: unknown-agent', 'no-one: unknown-agent'])
    return true
  })
  for (const [other, count] of [[bob, 2], [eve, 1]]) {
    const arrived = await other.run(async ({ log, until }, count) => {
      await until(() => log.weights.length >= count)
      return log.weights.map(({ data }) => data)
    }, count)
    assert.deepEqual(arrived.map(sha256), Array(count).fill(sha256(data)))
  }
})

test('a mesh that is disposed of is closed', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const codes = await ada.run(async ({ mesh, log }) => {
    await mesh[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]()
    await mesh.close()
    const calls = [() => mesh.send('bob', 1), () => mesh.broadcast(1), () => mesh.agents.find(), () => mesh.health.metrics()]
    const codes = await Promise.all(calls.map(call => call().catch(({ code }) => code)))
    return [...codes, log.events.at(-1).type, mesh.connected]
  })
  assert.deepEqual(codes, ['closed', 'closed', 'closed', 'closed', 'closed', false])
  await seen(bob, 'agent-left', { id: ada.id, reason: 'withdrawn' })
})

for (const [how, output] of [
  ['mesh', 'left'],
  ['service', 'left'],
  ['dispose', 'left'],
  ['direct', 'left'],
  ['channels', 'left'],
  ['overtaken', 'first third\nleft'],
  ['busy', 'closed closed\nleft'],
  ['unreachable', 'relay-unreachable\nleft'],
]) {
  test(`a process that has left ends by itself: ${how}`, LIMIT, async t => {
    const world = await startMesh(t)
    if (how === 'unreachable') await world.relay.kill()
    const program = Program.spawn(process.execPath, [LEAVE, how, world.mesh, world.relay.address])
    t.after(() => program.kill())
    const lines = []
    let leftAt
    // The signal comes at every end, and at the limit before the program is killed.
    t.signal.addEventListener('abort', () => program.running && console.error(`it has said [${lines}] and has not ended: ${program.stderr}`))
    for await (const line of program.lines()) {
      lines.push(line)
      leftAt = performance.now()
    }
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.stderr)
    assert.equal(lines.join('\n'), output)
    // Below the 60 s of the calls that are still waiting, and above what a machine under load takes.
    const took = performance.now() - leftAt
    assert.ok(took < 10_000, `it ended ${took} ms after it had left`)
  })
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}
