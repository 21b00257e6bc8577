import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError } from '../src/errors.js'
import { fakeMesh } from './fake-node.js'
import { deferred, rejectsCode, turn } from './tools.js'

const forever = () => new Promise<never>(() => {})
const trap = () => new WebAssembly.RuntimeError('unreachable')

test('the core\'s errors become MeshErrors', async () => {
  const { mesh } = fakeMesh({ send: () => Promise.reject({ code: 'unknown-agent', message: 'nobody is called ada' }) })
  await rejectsCode('unknown-agent', /nobody is called ada/, mesh.send('ada', 1))
})

test('an aborted signal: at once, with its reason, and the core never called', async () => {
  let called = false
  const { mesh } = fakeMesh({ send: () => (called = true), topology: () => (called = true) })
  const signal = AbortSignal.abort('enough')
  for (const call of [mesh.send('ada', 1, { signal }), mesh.health.topology({ signal }), mesh.broadcast(1, { signal })]) {
    await rejectsCode('aborted', /aborted/, call)
  }
  assert.ok(!called)
})

test('a signal aborted later ends the wait and reaches the core', async () => {
  let given: AbortSignal | undefined
  const { mesh } = fakeMesh({ send: (_to: unknown, _body: unknown, _options: unknown, signal: AbortSignal) => ((given = signal), forever()) })
  const controller = new AbortController()
  const sent = mesh.send('ada', 1, { signal: controller.signal })
  await turn()
  controller.abort(new Error('changed my mind'))
  await assert.rejects(sent, error => MeshError.isInstance(error) && (error.cause as Error).message === 'changed my mind')
  assert.equal(given, controller.signal)
})

test('time-outs: by the core where it has them, else by the clock', async () => {
  const options: unknown[] = []
  const { mesh } = fakeMesh({
    send: (_to: unknown, _body: unknown, given: unknown) => (options.push(given), Promise.resolve({})),
    discover: (_criteria: unknown, given: unknown) => (options.push(given), Promise.resolve([])),
    metrics: forever,
  })
  await mesh.send('ada', 1, { timeoutMs: 5, from: 'bob' })
  await mesh.agents.find({}, { timeoutMs: 6, quietMs: 7, limit: 8 })
  assert.deepEqual(options, [{ timeoutMs: 5, from: 'bob' }, { timeoutMs: 6, quietMs: 7, limit: 8 }])
  await rejectsCode('timeout', /within 5 ms/, mesh.health.metrics({ timeoutMs: 5 }))
})

test('wrong options are refused before the core is asked', async () => {
  const { mesh } = fakeMesh()
  await rejectsCode('invalid-argument', /timeoutMs/, mesh.send('ada', 1, { timeoutMs: -1 }))
  await rejectsCode('invalid-argument', /receiver must not be empty/, mesh.send('', 1))
  await rejectsCode('invalid-argument', /from/, mesh.send('ada', 1, { from: 'bob@elsewhere' }))
  await rejectsCode('invalid-argument', /limit/, mesh.agents.find({}, { limit: 0 }))
  await rejectsCode('invalid-argument', /criteria\.name/, mesh.agents.find({ name: 'a@b' }))
  await rejectsCode('invalid-argument', /topic has 65 bytes/, mesh.broadcast(1, { topic: 'x'.repeat(65) }))
  await rejectsCode('invalid-argument', /id must be the name of an agent of this node/, mesh.agents.withdraw('ada@elsewhere'))
})

test('close: pending and later calls say closed, iterations end, the node is freed, twice is once', async () => {
  const { mesh, node } = fakeMesh({ send: forever })
  const closed: unknown[] = []
  mesh.on('closed', event => closed.push(event))
  const pending = mesh.send('ada', 1)
  const inbox = mesh.messages.inbox()
  const item = inbox.next()
  await Promise.all([mesh.close(), mesh.close()])
  await mesh.close()
  await rejectsCode('closed', /closed/, pending)
  await rejectsCode('closed', /closed/, mesh.broadcast(1))
  assert.throws(() => mesh.messages.inbox(), MeshError)
  assert.equal((await item).done, true)
  assert.deepEqual([node.closes, node.freed, closed.length], [1, 1, 1])
  assert.deepEqual(closed, [{ type: 'closed' }])
  assert.equal(mesh.connected, false)
})

test('close ends without a goodbye that takes too long', async () => {
  const { mesh, node } = fakeMesh({ close: forever })
  const closing = mesh.close({ timeoutMs: 5 })
  await turn()
  node.push(undefined)
  await closing
  assert.equal(node.freed, 1)
})

test('await using, or what it compiles to', async () => {
  const { mesh, node } = fakeMesh()
  await mesh[Symbol.asyncDispose ?? (Symbol.for('Symbol.asyncDispose') as typeof Symbol.asyncDispose)]()
  assert.equal(node.closes, 1)
})

test('a trap seen by one call ends all, for good', async () => {
  const crash = deferred<never>()
  const { mesh, node } = fakeMesh({ send: forever, topology: () => crash.promise })
  const closed: (MeshError | undefined)[] = []
  mesh.on('closed', ({ error }) => closed.push(error))
  const events = mesh.events()
  const pending = mesh.send('ada', 1)
  const crashing = mesh.health.topology()
  crash.reject(trap())
  await rejectsCode('internal', /core has failed \(unreachable\)/, pending)
  await rejectsCode('internal', /core has failed/, crashing)
  await rejectsCode('internal', /core has failed/, mesh.broadcast(1))
  assert.equal((await events.next()).value?.type, 'closed')
  await rejectsCode('internal', /core has failed/, events.next())
  assert.equal(closed.length, 1)
  assert.ok(closed[0]?.cause instanceof WebAssembly.RuntimeError)
  await mesh.close()
  assert.deepEqual([node.closes, node.freed], [0, 0])
})

test('a trap thrown by the call itself, by nextEvent or by taken', async () => {
  const thrown = fakeMesh({
    send: () => {
      throw trap()
    },
  })
  await rejectsCode('internal', /core has failed/, thrown.mesh.send('ada', 1))

  const pulled = fakeMesh({ nextEvent: () => Promise.reject(trap()), metrics: forever })
  await rejectsCode('internal', /core has failed/, pulled.mesh.health.metrics())

  const acknowledged = fakeMesh({
    taken: () => {
      throw trap()
    },
  })
  acknowledged.mesh.on('message', () => {})
  acknowledged.node.push({ type: 'message', id: '1', from: 'x', to: '', body: new Uint8Array([1]), receipt: 1 })
  await turn()
  await rejectsCode('internal', /core has failed/, acknowledged.mesh.health.metrics())
})

test('a trap that no call sees: ours by its stack, somebody else\'s if the core still answers', async () => {
  const answers = fakeMesh({ metrics: () => Promise.resolve({}) })
  answers.core.suspect(trap())
  await turn()
  assert.ok(answers.core.open)

  const says = fakeMesh({ metrics: () => Promise.reject({ code: 'over-quota', message: 'busy' }) })
  says.core.suspect(trap())
  await turn()
  assert.ok(says.core.open)

  const ours = fakeMesh({ send: forever })
  const pending = ours.mesh.send('ada', 1)
  const cause = trap()
  cause.stack = 'RuntimeError: unreachable\n    at mesh_wasm.wasm.run (wasm://wasm/mesh_wasm-1:wasm-function[1]:0x1)'
  ours.core.suspect(cause)
  await rejectsCode('internal', /core has failed/, pending)

  const broken = fakeMesh({ metrics: () => Promise.reject(trap()) })
  broken.core.suspect(trap())
  await turn()
  assert.ok(!broken.core.open)
})
