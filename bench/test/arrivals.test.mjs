import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Arrivals } from '../src/arrivals.mjs'
import { COUNTED, PROBE, makeBody } from '../src/bodies.mjs'

const LIMIT = { limitMs: 10_000 }

test('probes, repeats and overtaken messages are told apart', () => {
  const arrivals = new Arrivals()
  arrivals.add(makeBody(256, PROBE, 0))
  for (const sequence of [0, 2, 1, 2]) arrivals.add(makeBody(256, COUNTED, sequence))
  const { count, probes, duplicates, outOfOrder } = arrivals
  assert.deepEqual({ count, probes, duplicates, outOfOrder }, { count: 3, probes: 1, duplicates: 1, outOfOrder: 1 })
})

test('waiting ends with the arrival that was waited for, or at the limit', async () => {
  const arrivals = new Arrivals()
  const waited = arrivals.until(() => arrivals.count === 1, LIMIT)
  arrivals.add(makeBody(100, COUNTED, 0))
  assert.equal(await waited, true)
  assert.equal(await arrivals.until(() => arrivals.count === 2, { limitMs: 1 }), false)
  assert.equal(await arrivals.until(() => arrivals.count === 2, { limitMs: 10_000, idleMs: 1 }), false)
})

test('a body that lies inside a larger buffer is read at its own offset', () => {
  const arrivals = new Arrivals()
  arrivals.add(new Uint8Array([9, 9, ...makeBody(8, COUNTED, 3)]).subarray(2))
  assert.equal(arrivals.count, 1)
})
