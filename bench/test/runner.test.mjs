import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sidesOf, turned } from '../src/runner.mjs'

test('each side goes first in its turn', () => {
  const sides = ['ours', 'raw', 'theirs']
  assert.deepEqual(turned(sides, 0), sides)
  assert.deepEqual(turned(sides, 1), ['raw', 'theirs', 'ours'])
  assert.deepEqual(turned(sides, 5), ['theirs', 'ours', 'raw'])
  assert.deepEqual(turned([], 3), [])
})

test('a scenario has the sides that it says, or ours alone, or the two libraries', () => {
  assert.deepEqual(sidesOf({}), ['ours', 'theirs'])
  assert.deepEqual(sidesOf({ sides: ['ours', 'raw', 'theirs'] }), ['ours', 'raw', 'theirs'])
  assert.deepEqual(sidesOf({ oursOnly: 'nothing alike' }), ['ours'])
})
