import assert from 'node:assert/strict'
import { MeshError, type ErrorCode } from '../src/errors.js'

export const peerId = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN'
export const relay = `/ip4/127.0.0.1/tcp/4001/ws/p2p/${peerId}`

export function throwsCode(code: ErrorCode, message: RegExp, call: () => unknown): void {
  assert.throws(call, error => hasCode(error, code, message))
}

export async function rejectsCode(code: ErrorCode, message: RegExp, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, error => hasCode(error, code, message))
}

function hasCode(error: unknown, code: ErrorCode, message: RegExp): boolean {
  assert.ok(MeshError.isInstance(error), `not a MeshError: ${String(error)}`)
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

// Lets all microtasks run, and one turn of the timers.
export function turn(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 0))
}

export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
