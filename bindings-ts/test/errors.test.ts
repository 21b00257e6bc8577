import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError, aborted, isTrap, toMeshError } from '../src/errors.js'

test('the core\'s plain objects become errors with their code and details', () => {
  const error = toMeshError({ code: 'ambiguous-agent', message: 'two agents are called ada', details: { ids: ['a', 'b'] } })
  assert.ok(error instanceof MeshError)
  assert.equal(error.name, 'MeshError')
  assert.equal(error.code, 'ambiguous-agent')
  assert.equal(error.message, 'two agents are called ada')
  assert.deepEqual(error.details, { ids: ['a', 'b'] })
  assert.ok(!('cause' in error))
})

test('an error stays what it is', () => {
  const error = new MeshError('timeout', 'late')
  assert.equal(toMeshError(error), error)
})

test('what is unknown becomes internal and keeps its cause', () => {
  assert.equal(toMeshError({ code: 'toString', message: 'x' }).code, 'internal')
  const cause = new TypeError('boom')
  const error = toMeshError(cause)
  assert.equal(error.code, 'internal')
  assert.equal(error.cause, cause)
  assert.match(error.message, /boom/)
  assert.equal(toMeshError('text').code, 'internal')
  assert.equal(toMeshError(undefined).code, 'internal')
})

test('isInstance knows errors of another copy of the package, and nothing else', () => {
  class Foreign extends Error {}
  Object.defineProperty(Foreign.prototype, Symbol.for('neural-mesh.MeshError'), { value: true })
  assert.ok(MeshError.isInstance(new Foreign()))
  assert.ok(MeshError.isInstance(new MeshError('closed', 'x')))
  for (const other of [new Error('x'), { code: 'closed', message: 'x' }, null, undefined, 'closed']) {
    assert.ok(!MeshError.isInstance(other))
  }
})

test('an aborted signal gives its reason as the cause', () => {
  const error = aborted(AbortSignal.abort('enough'))
  assert.equal(error.code, 'aborted')
  assert.equal(error.cause, 'enough')
})

test('a trap is told from other errors', () => {
  assert.ok(isTrap(new WebAssembly.RuntimeError('unreachable')))
  assert.ok(!isTrap(new Error('unreachable')))
})
