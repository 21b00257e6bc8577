import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError } from '../src/errors.js'
import { generateIdentity, joinMesh } from '../src/mesh.js'
import { P2PNeuralMeshService } from '../src/service.js'
import { rejectsCode, relay } from './tools.js'

const config = { mesh: 'lab', relays: relay }

test('before initialize(): a clear error from everything that needs a mesh', async () => {
  const service = new P2PNeuralMeshService(config)
  const calls = [
    service.announceAgent({ id: 'ada' }),
    service.discoverAgents({}),
    service.sendDirectMessage('ada', 1),
    service.broadcastToSwarm(1),
    service.shareNeuralWeights(['ada'], { agentId: 'me', data: new Uint8Array(1) }),
    service.getNetworkTopology(),
    service.getMeshMetrics(),
  ]
  for (const call of calls) await rejectsCode('closed', /await initialize\(\) first/, call)
  assert.equal(service.isConnected(), false)
  assert.equal(service.mesh, undefined)
})

test('before initialize(): listeners, inboxes and handlers can be attached; shutdown does nothing', async () => {
  const service = new P2PNeuralMeshService(config)
  service.on('message', () => {})()
  service.once('joined', () => {})
  service.off('joined', () => {})
  service.onWeights(() => {})()
  const inbox = service.inbox({ agent: 'ada' })
  await inbox.return?.()
  await service.shutdown()
})

test('initialize() and joinMesh() check their arguments before anything is loaded', async () => {
  const wrong = new P2PNeuralMeshService({ mesh: 'lab', relays: 'ws://localhost:4001' })
  await rejectsCode('invalid-argument', /is a URL/, wrong.initialize())
  await rejectsCode('invalid-argument', /is a URL/, wrong.initialize())
  await rejectsCode('invalid-argument', /the mesh must be a name/, new P2PNeuralMeshService(undefined as never).initialize())
  await rejectsCode('invalid-argument', /mesh name/, joinMesh('', { relays: relay }))
  await rejectsCode('invalid-argument', /must not hold '@'/, joinMesh('lab', { relays: relay, agent: { id: 'a@b' } }))
})

test('an aborted signal rejects at once', async () => {
  const signal = AbortSignal.abort('enough')
  for (const join of [joinMesh('lab', { relays: relay, signal }), new P2PNeuralMeshService({ ...config, signal }).initialize()]) {
    await assert.rejects(join, error => MeshError.isInstance(error) && error.code === 'aborted' && error.cause === 'enough')
  }
})

test('identities are 32 bytes and differ', () => {
  assert.equal(generateIdentity().length, 32)
  assert.notDeepEqual(generateIdentity(), generateIdentity())
})
