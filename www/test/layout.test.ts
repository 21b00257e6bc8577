import assert from 'node:assert/strict'
import { test } from 'node:test'
import { layout, line, type Layout } from '../src/layout.js'

const ids = (n: number, prefix = 'n') => Array.from({ length: n }, (_, i) => `${prefix}${i}`)
const SIZES = [
  { width: 530, height: 370 },
  { width: 340, height: 320 },
  { width: 900, height: 500 },
]

function distances({ places }: Layout): { least: number; pair: string } {
  const all = [...places]
  let least = { least: Infinity, pair: '' }
  all.forEach(([a, p], i) => {
    for (const [b, q] of all.slice(i + 1)) {
      const free = Math.hypot(p.x - q.x, p.y - q.y) - p.r - q.r
      if (free < least.least) least = { least: free, pair: `${a}, ${b}` }
    }
  })
  return least
}

test('everybody has a place inside of the picture, and none covers another', () => {
  for (const size of SIZES) {
    for (let n = 0; n <= 100; n++) {
      for (const relays of [1, 2, 4]) {
        const plan = layout('self', ids(relays, 'r'), ids(n), size)
        assert.equal(plan.places.size, n + relays + 1)
        for (const [id, { x, y, r }] of plan.places) {
          const inside = x - r >= 0 && x + r <= size.width && y - r >= 0 && y + r <= size.height
          assert.ok(inside, `${id} of ${n} is inside of ${size.width} × ${size.height}`)
        }
        const { least, pair } = distances(plan)
        assert.ok(least > 0, `${n} nodes and ${relays} relays in ${size.width} × ${size.height}: ${pair} are ${least} apart`)
      }
    }
  }
})

test('few are named with their connection, more by name, many not at all', () => {
  const size = SIZES[0]!
  const labels = [5, 25, 90].map(n => layout('self', ['r'], ids(n), size).labels)
  assert.deepEqual(labels, ['full', 'names', 'none'])
})

test('a mesh without a relay, or a picture without room, is no error', () => {
  for (const size of [{ width: 0, height: 0 }, { width: 10, height: 1000 }]) {
    for (const { x, y } of layout('self', [], ids(30), size).places.values()) {
      assert.ok(Number.isFinite(x) && Number.isFinite(y))
    }
  }
})

test('lines run from rim to rim', () => {
  assert.equal(line({ x: 0, y: 0, r: 10 }, { x: 100, y: 0, r: 20 }), 'M10.0 0.0Q50.0 0.0 80.0 0.0')
  assert.equal(line({ x: 0, y: 0, r: 10 }, { x: 100, y: 0, r: 20 }, 0.1), 'M10.0 0.0Q50.0 10.0 80.0 0.0')
  assert.doesNotMatch(line({ x: 5, y: 5, r: 1 }, { x: 5, y: 5, r: 1 }), /NaN/)
})
