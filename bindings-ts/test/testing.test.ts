// `neural-mesh/testing`, with the simulator as it ships.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { createSimMesh, playScenario, type SimMesh, type SimMeshOptions } from '../src/testing/node.js'
import { rejectsCode, throwsCode } from './tools.js'

// The roadmap's test, in its words.
describe('P2P Integration', () => {
  test('should maintain connectivity during network partition', async () => {
    const networkSimulator = await createSimMesh({ nodes: 4, seed: 7 })
    const mesh = networkSimulator
    const waitForConvergence = (ms: number) => networkSimulator.waitForConvergence(ms)

    // Create network partition
    const [partition1, partition2] = networkSimulator.partition(['node1', 'node2'], ['node3', 'node4'])
    await networkSimulator.run(20_000)

    // Verify both partitions continue operating
    assert.equal(partition1.isHealthy(), true)
    assert.equal(partition2.isHealthy(), true)
    assert.equal(mesh.isFullyConnected(), false)
    for (const [from, to] of [['node1', 'node2'], ['node3', 'node4']] as const) {
      await networkSimulator.runUntil(mesh.node(from).sendDirectMessage(mesh.node(to).peerId, 'still here?'))
      assert.equal(mesh.node(to).received.messages.at(-1)?.payload, 'still here?')
    }

    // Heal partition and verify convergence
    networkSimulator.heal()
    await waitForConvergence(10_000)

    assert.equal(mesh.isFullyConnected(), true)
    assert.deepEqual(mesh.violations, [])
    await mesh.close()
  })
})

interface Step {
  readonly [word: string]: unknown
  readonly run?: number
  readonly text?: string
  readonly to?: string
  readonly trace?: string
}

// From test/dist/test, where this runs, to the top of the repository.
const vectors = new URL('../../../../tests/vectors/', import.meta.url)
const script = JSON.parse(readFileSync(new URL('sim.json', vectors), 'utf8')) as { seed: number; relays: number; nodes: number; steps: Step[] }

test('a script gives the traces in wasm that it gives natively', async () => {
  const { seed, relays, nodes, steps } = script
  const sim = await createSimMesh({ seed, relays, nodes, settled: false })
  for (const step of steps) {
    await play(sim, step)
    if (step.run === undefined) continue
    const hint = 'the native test, cargo test -p mesh-sim --test vectors, says whether the file is old or the targets differ'
    assert.equal(sim.trace, step.trace, `at ${sim.now} ms: ${hint}`)
  }
  assert.deepEqual(sim.violations, [])
  assert.ok(sim.isFullyConnected())
  assert.equal(sim.node('node17').received.messages[0]?.payload, 'are you there?')
  await sim.close()
})

test('scenarios give the traces in wasm that they give natively', async () => {
  interface Played {
    readonly scenario: string
    readonly nodes: number
    readonly seed: number
    readonly trace: string
  }
  const all = JSON.parse(readFileSync(new URL('scenarios.json', vectors), 'utf8')) as Played[]
  assert.ok(all.length > 20)
  for (const { scenario, nodes, seed, trace } of all) {
    const report = await playScenario(scenario, { nodes, seed })
    assert.equal(report.trace, trace, `${scenario}, seed ${seed}:\n${report.text}`)
  }
})

test('a scenario is played, and what it needs is said', async () => {
  const { good, text } = await playScenario('partition', { nodes: 12, seed: 3 })
  assert.ok(good, text)
  assert.match(text, /^partition: 12 nodes, seed 3\n/)
  await rejectsCode('invalid-argument', /there is no scenario 'earthquake': there are idle, join, /, playScenario('earthquake'))
  await rejectsCode('invalid-argument', /nodes must be a whole number from 1 to 1000/, playScenario('idle', { nodes: 0 }))
  await rejectsCode('invalid-argument', /seed must be a whole number/, playScenario('idle', { seed: 0.5 }))
})

async function play(sim: SimMesh, step: Step): Promise<void> {
  const [word] = Object.keys(step).filter(key => !['text', 'to', 'silently', 'store', 'latencyMs', 'loss', 'trace'].includes(key))
  const subject = step[word!] as string
  switch (word) {
    case 'run':
      return sim.run(step.run!)
    case 'announce':
      return sim.node(subject).announceAgent({ id: `agent-${subject}`, capabilities: ['simulation'] })
    case 'broadcast':
      return sim.node(subject).broadcastToSwarm(step.text)
    case 'send':
      return void sim.node(subject).sendDirectMessage(sim.node(step.to!).peerId, step.text).catch(() => {})
    case 'partition': {
      const other = new Set(step.partition as string[])
      const first = sim.nodes.map(node => node.id).filter(id => !other.has(id))
      return void sim.partition(first, [...other])
    }
    case 'heal':
      return sim.heal()
    case 'crash':
      return sim.crash(subject, { silently: step.silently === true })
    case 'restart':
      return sim.restart(subject, { store: step.store as 'kept' | 'lost' })
    case 'delay':
      return sim.delay(subject, step.to!, { latencyMs: step.latencyMs as number, loss: step.loss as number })
    case 'freeze':
      return sim.freeze(subject)
    case 'thaw':
      return sim.thaw(subject)
    default:
      throw new Error(`no such step: ${word}`)
  }
}

test('agents are found and talk, at the virtual time at which things happen', async () => {
  const sim = await createSimMesh({ nodes: ['ada', 'bob', 'eve'], relays: 1, link: { latencyMs: 50, jitterMs: 0 } })
  const [ada, bob, eve] = sim.nodes as [SimNodeOf, SimNodeOf, SimNodeOf]
  await ada.announceAgent({ id: 'ada', type: 'researcher', capabilities: ['digits'] })
  const found = await sim.runUntil(bob.discoverAgents({ type: 'researcher' }))
  assert.deepEqual(found.map(agent => agent.id), [`ada@${ada.peerId}`])

  ada.on('message', async ({ from, payload }) => {
    await sim.sleep(500)
    await ada.sendDirectMessage(from, { got: payload })
  })
  const answered = new Promise<number>(resolve => bob.once('message', () => resolve(sim.now)))
  const began = sim.now
  await sim.runUntil(bob.sendDirectMessage('ada', { task: 7 }))
  const took = (await sim.runUntil(answered)) - began
  assert.ok(took >= 600 && took < 5000, `${took} ms: twice 50 of latency, 500 of thought, and what it takes to connect`)
  assert.deepEqual(bob.received.messages.map(message => message.payload), [{ got: { task: 7 } }])

  await eve.broadcastToSwarm({ loss: 0.5 }, { topic: 'training' })
  await sim.run(1000)
  const heard = sim.nodes.map(node => node.received.broadcasts.map(({ from, topic, payload }) => ({ from, topic, payload })))
  const said = { from: eve.peerId, topic: 'training', payload: { loss: 0.5 } }
  assert.deepEqual(heard, [[said], [said], []])

  const { peers } = await ada.getNetworkTopology()
  assert.equal(peers.length, 3, 'two others and the relay')
  assert.equal((await eve.getMeshMetrics()).broadcastsSent, 1)
  assert.deepEqual((await bob.agents()).map(agent => agent.name), ['ada'])
  await sim.close()
})

type SimNodeOf = SimMesh['nodes'][number]

test('a seed and a script give one trace, another seed another', async () => {
  const trace = async (seed: number) => {
    await using sim = await createSimMesh({ nodes: 5, seed })
    await sim.nodes[0]!.broadcastToSwarm('hello')
    await sim.run(5000)
    return sim.trace
  }
  const first = await trace(3)
  assert.match(first, /^[0-9a-f]{16}$/)
  assert.equal(await trace(3), first)
  assert.notEqual(await trace(4), first)
})

test('a node that crashes is suspected when nobody was told, and comes back as itself or as another', async () => {
  const sim = await createSimMesh({ nodes: 4 })
  const [first, second] = sim.nodes as [SimNodeOf, SimNodeOf]
  const { peerId } = second
  const suspected: string[] = []
  first.on('peer-suspected', event => suspected.push(event.peerId))
  const closed = new Promise(resolve => second.once('closed', resolve))
  const lost = second.sendDirectMessage(first.peerId, 'too late', { timeoutMs: 5000 })

  sim.crash(second, { silently: true })
  await rejectsCode('closed', /node2 has crashed/, lost)
  await closed
  assert.equal(second.running, false)
  assert.equal(second.mesh, undefined)
  await rejectsCode('closed', /node2 does not run/, second.broadcastToSwarm('nobody hears'))
  await sim.run(20_000)
  assert.ok(suspected.includes(peerId))

  throwsCode('invalid-argument', /node1 runs already/, () => sim.restart('node1'))
  sim.restart(second)
  assert.equal(second.peerId, peerId)
  await sim.waitForConvergence(30_000)
  await sim.runUntil(second.sendDirectMessage(first.peerId, 'back again'))
  assert.deepEqual(first.received.messages.map(message => message.payload), ['back again'])

  sim.crash(second)
  sim.restart(second, { store: 'lost' })
  assert.notEqual(second.peerId, peerId)
  assert.deepEqual(sim.violations, [])
  await sim.close()
})

test('a node leaves when its mesh is closed, and a frozen one hears what was said when it is thawed', async () => {
  const sim = await createSimMesh({ nodes: 3 })
  const [first, second, third] = sim.nodes as [SimNodeOf, SimNodeOf, SimNodeOf]
  await third.mesh!.close()
  await sim.run(1000)
  assert.equal(third.running, false)
  assert.ok(sim.isFullyConnected(), 'whoever has said goodbye is not missed')

  sim.freeze(second)
  await first.broadcastToSwarm('good night')
  await sim.run(2000)
  assert.equal(second.received.broadcasts.length, 0)
  sim.thaw(second)
  await sim.run(2000)
  assert.equal(second.received.broadcasts[0]?.payload, 'good night')
  await sim.close()
})

test('links are as slow as they are told to be, and as before without a word', async () => {
  const sim = await createSimMesh({ nodes: 2, link: { latencyMs: 10, jitterMs: 0 } })
  const [first, second] = sim.nodes as [SimNodeOf, SimNodeOf]
  await sim.run(5000)
  const send = async () => {
    const began = sim.now
    await sim.runUntil(first.sendDirectMessage(second.peerId, 'how far?'))
    return sim.now - began
  }
  await send()
  assert.ok((await send()) < 200)
  sim.delay(first, second, { latencyMs: 400 })
  assert.ok((await send()) >= 800)
  sim.delay('node1', 'node2', {})
  await sim.run(2000)
  assert.ok((await send()) < 200)
  await sim.close()
})

test('an abort ends a call at once', async () => {
  const sim = await createSimMesh({ nodes: 2 })
  const controller = new AbortController()
  const search = sim.nodes[0]!.discoverAgents({ name: 'nobody' }, { signal: controller.signal })
  const send = sim.nodes[0]!.sendDirectMessage('nobody', 1, { signal: controller.signal })
  controller.abort()
  await rejectsCode('aborted', /aborted/, search)
  await rejectsCode('aborted', /aborted/, send)
  await sim.run(20_000)
  assert.deepEqual(sim.violations, [])
  await sim.close()
})

test('bad options are told by name', async () => {
  const bad: [unknown, RegExp][] = [
    [undefined, /options are missing/],
    [{}, /nodes must be a whole number from 1 to 1000/],
    [{ nodes: 0 }, /nodes must be/],
    [{ nodes: 1.5 }, /nodes must be/],
    [{ nodes: [] }, /the number of nodes/],
    [{ nodes: ['ada', 'ada'] }, /two nodes of the name 'ada'/],
    [{ nodes: ['relay1'] }, /two nodes of the name 'relay1'/],
    [{ nodes: [''] }, /must not be empty/],
    [{ nodes: 2, seed: -1 }, /seed/],
    [{ nodes: 2, seed: 0.5 }, /seed/],
    [{ nodes: 2, relays: 0 }, /relays/],
    [{ nodes: 2, link: null }, /link must be an object/],
    [{ nodes: 2, link: { loss: 1 } }, /link.loss must be a number from 0 to 0.9/],
    [{ nodes: 2, link: { latencyMs: -1 } }, /link.latencyMs/],
    [{ nodes: 2, link: { jitterMs: '5' } }, /link.jitterMs/],
    [{ nodes: 2, settled: 'no' }, /settled/],
  ]
  for (const [options, message] of bad) {
    await rejectsCode('invalid-argument', message, createSimMesh(options as SimMeshOptions))
  }
})

test('what cannot be done fails with a code, and the simulation goes on', async () => {
  const sim = await createSimMesh({ nodes: 2 })
  const [first] = sim.nodes as [SimNodeOf]
  throwsCode('invalid-argument', /no node 'node3': there are 'relay1' to 'node2'/, () => sim.node('node3'))
  throwsCode('invalid-argument', /no node 'x'/, () => sim.crash('x'))
  throwsCode('invalid-argument', /a node must be one of this simulation/, () => sim.freeze(undefined as never))
  throwsCode('invalid-argument', /node1 is named twice/, () => sim.partition(['node1'], ['node1']))
  throwsCode('invalid-argument', /each side/, () => sim.partition(['node1'], []))
  throwsCode('invalid-argument', /no link to itself/, () => sim.delay('node1', 'node1', {}))
  throwsCode('invalid-argument', /link.loss/, () => sim.delay('node1', 'node2', { loss: 2 }))
  throwsCode('invalid-argument', /store must be/, () => sim.restart('node1', { store: 'gone' as never }))
  await rejectsCode('invalid-argument', /ms is missing/, sim.run(undefined as never))
  await rejectsCode('invalid-argument', /ms must be/, sim.run(NaN))
  await rejectsCode('invalid-argument', /takes a promise or a function/, sim.runUntil(5 as never))
  await rejectsCode('unknown-agent', /no agent of that name/, sim.runUntil(first.sendDirectMessage('nobody', 1)))
  await rejectsCode('invalid-argument', /'x@y' is|is not a peer id/, first.sendDirectMessage('x@y', 1))
  await rejectsCode('refused', /not simulated/, first.mesh!.weights.share('node2', { agentId: 'a', data: new Uint8Array(1) }))
  await rejectsCode('timeout', /not within 500 virtual/, sim.runUntil(() => false, { limitMs: 500 }))
  await rejectsCode('timeout', /not within 10 virtual/, sim.runUntil(first.discoverAgents({ name: 'nobody' }), { limitMs: 10 }))

  const running = sim.run(1000)
  await rejectsCode('invalid-argument', /runs already/, sim.run(1000))
  await running
  await sim.close()
})

test('after close everything says so, once and for all', async () => {
  const sim = await createSimMesh({ nodes: 2 })
  const [first] = sim.nodes as [SimNodeOf]
  const search = first.discoverAgents()
  const running = sim.run(60_000)
  await sim.close()
  await sim.close()
  await rejectsCode('closed', /simulation is closed/, search)
  await rejectsCode('closed', /simulation is closed/, running)
  await rejectsCode('closed', /simulation is closed/, sim.run(1))
  await rejectsCode('closed', /simulation is closed/, sim.runUntil(() => true))
  throwsCode('closed', /simulation is closed/, () => sim.now)
  throwsCode('closed', /simulation is closed/, () => sim.heal())
  throwsCode('closed', /simulation is closed/, () => sim.restart('node1'))
  await rejectsCode('closed', /does not run/, first.agents())
})
