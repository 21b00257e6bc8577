import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeValue, encodeValue } from '../src/codec.js'
import { localName, toAgentInfo, toPeerAgent } from '../src/agents.js'
import { peerId, throwsCode } from './tools.js'

// The three shapes of agent that applications of this kind have.
const serviceAgent = {
  id: 'agent-1',
  name: 'Ada',
  type: 'researcher',
  status: 'active',
  position: { x: 1, y: 2, z: 3 },
  capabilities: ['vision', 'digits', 'vision'],
  realtime: { cpuUsage: 12.5, memoryUsage: 64, networkLatency: 3, wasmPerformance: 1 },
  meshConnection: { connected: true, lastSpike: new Date(0) },
  neuralProperties: { neuronId: 'n', connections: [], spikeHistory: [], lastSpike: new Date(0) },
}
const trainedAgent = {
  id: 'agent-2',
  config: { type: 'mlp', architecture: [2, 3, 1], activationFunction: 'relu' },
  network: { run: () => {} },
  state: 'active',
  createdAt: new Date(0),
  lastActive: new Date(0),
  memoryUsage: 2048,
  metadata: { note: 'x', since: new Date(0), nested: { at: new Date(0), n: 1 }, callback: () => {} },
}
const roadmapAgent = {
  id: 'agent-3',
  config: { type: 'coder', capabilities: ['rust'] },
  resources: { cpu: 0.5, memory: 1024 },
}

test('an agent of the service: top-level fields and live figures', () => {
  assert.deepEqual(toAgentInfo(serviceAgent), {
    name: 'agent-1',
    type: 'researcher',
    capabilities: ['digits', 'vision'],
    resources: { cpu: 12.5, memory: 64 },
  })
})

test('an agent of the trainer: config, memory, metadata without dates and functions', () => {
  const { metadata, ...info } = toAgentInfo(trainedAgent)
  assert.deepEqual(info, {
    name: 'agent-2',
    type: 'mlp',
    capabilities: [],
    resources: { memory: 2048, specialization: 'mlp' },
  })
  assert.deepEqual(decodeValue(metadata!, 1024), { note: 'x', nested: { n: 1 } })
})

test('an agent of the roadmap: everything in config and resources', () => {
  assert.deepEqual(toAgentInfo(roadmapAgent), {
    name: 'agent-3',
    type: 'coder',
    capabilities: ['rust'],
    resources: { cpu: 0.5, memory: 1024, specialization: 'coder' },
  })
})

test('an id is enough; top-level fields win over config', () => {
  assert.deepEqual(toAgentInfo({ id: 'ada' }), { name: 'ada', capabilities: [] })
  assert.deepEqual(toAgentInfo({ id: 'ada', type: null, capabilities: undefined, resources: undefined }), { name: 'ada', capabilities: [] })
  const both = { id: 'a', type: 'x', capabilities: ['p'], config: { type: 'y', capabilities: ['q'] }, specialization: 's' }
  assert.deepEqual(toAgentInfo(both), { name: 'a', type: 'x', capabilities: ['p'], resources: { specialization: 's' } })
})

const wrong: [unknown, RegExp][] = [
  [undefined, /must be an object with an id/],
  [['ada'], /must be an object with an id/],
  [{}, /agent\.id must be a string, not undefined/],
  [{ id: '' }, /agent\.id must not be empty/],
  [{ id: `ada@${peerId}` }, /must not hold '@': the mesh adds/],
  [{ id: 'a\u0000' }, /control characters/],
  [{ id: 'a'.repeat(65) }, /65 bytes, at most 64/],
  [{ id: 'a', type: 7 }, /agent\.type must be a string, not number/],
  [{ id: 'a', capabilities: 'digits' }, /capabilities must be an array/],
  [{ id: 'a', capabilities: [1] }, /capabilities\[0\] must be a string/],
  [{ id: 'a', capabilities: ['x'.repeat(65)] }, /capabilities\[0\] has 65 bytes/],
  [{ id: 'a', capabilities: Array.from({ length: 33 }, (_, i) => `c${i}`) }, /33 entries, at most 32/],
  [{ id: 'a', resources: 'many' }, /resources must be an object/],
  [{ id: 'a', resources: { cpu: '50 %' } }, /resources\.cpu must be a finite number/],
  [{ id: 'a', resources: { memory: NaN } }, /resources\.memory must be a finite number/],
  [{ id: 'a', metadata: 'text' }, /metadata must be an object/],
]
for (const [agent, message] of wrong) {
  test(`${JSON.stringify(agent)?.slice(0, 60)} is refused with ${message}`, () => {
    throwsCode('invalid-argument', message, () => toAgentInfo(agent))
  })
}

test('metadata: at the limit and one past it; circles are refused', () => {
  // {"m": bytes}: 1 for the map, 2 for the key, 3 for the length.
  assert.equal(toAgentInfo({ id: 'a', metadata: { m: new Uint8Array(1018) } }).metadata?.length, 1024)
  throwsCode('too-large', /agent\.metadata has 1025 bytes/, () => toAgentInfo({ id: 'a', metadata: { m: new Uint8Array(1019) } }))
  const circle: { self?: unknown; me?: unknown } = {}
  circle.self = circle
  circle.me = circle
  throwsCode('invalid-argument', /agent\.metadata/, () => toAgentInfo({ id: 'a', metadata: circle }))
})

test('32 capabilities are as many as there may be', () => {
  const capabilities = Array.from({ length: 32 }, (_, i) => `c${i}`.padStart(64, '-'))
  assert.equal(toAgentInfo({ id: 'a', capabilities }).capabilities.length, 32)
})

test('agents of others: metadata is decoded, or left away when it is not a value', () => {
  const agent = { id: `ada@${peerId}`, name: 'ada', peerId, capabilities: [], announcedAt: 1, local: false }
  assert.deepEqual(toPeerAgent(agent), agent)
  assert.deepEqual(toPeerAgent({ ...agent, metadata: encodeValue('m', { a: 1 }, 1024) }), { ...agent, metadata: { a: 1 } })
  assert.deepEqual(toPeerAgent({ ...agent, metadata: new Uint8Array([0xff]) }), agent)
})

test('names of own agents: bare or with the own peer id', () => {
  assert.equal(localName('from', 'ada', peerId), 'ada')
  assert.equal(localName('from', `ada@${peerId}`, peerId), 'ada')
  for (const id of ['ada@other', '', undefined, `a@b@${peerId}`]) throwsCode('invalid-argument', /from/, () => localName('from', id, peerId))
})
