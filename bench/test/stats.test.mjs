import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, quantile, summary } from '../src/stats.mjs'

test('the median is the middle sample, or the mean of the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([9, 1, 5, 6]), 5.5)
  assert.throws(() => median([]), /no samples/)
})

test('a quantile is a sample that was taken', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i)
  assert.equal(quantile(samples, 0.5), 50)
  assert.equal(quantile(samples, 0.99), 99)
  assert.equal(quantile(samples, 1), 100)
  assert.equal(quantile([7], 0.01), 7)
})

test('numbers are ordered as numbers', () => {
  assert.deepEqual(summary([10, 9, 100]), { median: 10, min: 9, max: 100, n: 3 })
  assert.equal(summary([]), undefined)
})
