import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bestHits, seeded, zipf } from '../src/zipf.mjs'

test('draws follow the law, and a seed makes the same ones', () => {
  const law = { count: 1000, s: 1, draws: 100_000 }
  const draws = zipf(law, seeded(7))
  assert.deepEqual(zipf(law, seeded(7)), draws)
  const share = (/** @type {number} */ ranks) => draws.filter(rank => rank < ranks).length / draws.length
  // Harmonic numbers: 1 / 7.485 and 5.878 / 7.485.
  assert.ok(Math.abs(share(1) - 0.1336) < 0.01, `${share(1)}`)
  assert.ok(Math.abs(share(200) - 0.7853) < 0.01, `${share(200)}`)
  assert.equal(Math.max(...draws), 999)
})

test('the best cache keeps what is read again first', () => {
  const sizes = [1, 1, 1]
  assert.equal(bestHits([0, 1, 2, 0, 1, 2], sizes, 3), 3)
  assert.equal(bestHits([0, 1, 2, 0, 1, 2], sizes, 2), 2)
  assert.equal(bestHits([0, 1, 2, 0, 1, 2], sizes, 1), 1)
  assert.equal(bestHits([0, 1, 2, 0, 1, 2], sizes, 0), 0)
  // One that is too large is not kept, and nothing goes for it.
  assert.equal(bestHits([0, 1, 0, 1], [1, 5, 1], 2), 1)
})
