import assert from 'node:assert/strict'
import { test } from 'node:test'
import { row } from '../src/row.mjs'
import { table, tables } from '../src/table.mjs'

const run = async () => ({})

/**
 * @param {string} text
 */
function cellsOf(text) {
  return text
    .split('\n')
    .slice(2)
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}

test('medians, spread and the ratio of ours to theirs', () => {
  const scenario = { id: 'a', rows: [row('x', 'the x', 'ms')], limitMs: 1, run }
  const [cells] = cellsOf(
    table(
      [scenario],
      [
        { scenario: 'a', side: 'ours', rounds: [{ x: 10 }, { x: 30 }, { x: 20 }], failures: [], notes: [] },
        { scenario: 'a', side: 'theirs', rounds: [{ x: 1234.5 }, { x: 40 }, { x: 30 }], failures: [], notes: [] },
      ],
    ),
  )
  assert.deepEqual(cells, ['the x', 'ms', 'lower', '20', '10 - 30', '40', '30 - 1,235', '0.5'])
})

test('a failure stands in the cell and does not take the good rounds away', () => {
  const scenario = { id: 'a', rows: [row('x', 'the x', 'ms')], limitMs: 1, run }
  const [cells] = cellsOf(
    table(
      [scenario],
      [
        { scenario: 'a', side: 'ours', rounds: [], failures: ['time limit | 1 s', 'other'], notes: [] },
        { scenario: 'a', side: 'theirs', rounds: [{ x: 5 }], failures: ['gone'], notes: [] },
      ],
    ),
  )
  assert.equal(cells[3], 'failed: time limit \\')
  const line = table([scenario], [{ scenario: 'a', side: 'theirs', rounds: [{ x: 5 }], failures: ['gone'], notes: [] }])
  assert.match(line, /not run .* 5 \(1 of 2 rounds failed: gone\)/)
})

test('no ratio to zero, and a reason where there is nothing to compare with', () => {
  const scenario = { id: 'a', rows: [row('x', 'the x', '%')], limitMs: 1, oursOnly: 'nothing alike', run }
  const [cells] = cellsOf(
    table([scenario], [{ scenario: 'a', side: 'ours', rounds: [{ x: 0 }], failures: [], notes: [] }]),
  )
  assert.deepEqual(cells, ['the x', '%', 'lower', '0', '', 'nothing alike', '', ''])
  const zero = { scenario: 'a', side: /** @type {const} */ ('theirs'), rounds: [{ x: 0 }], failures: [], notes: [] }
  const [both] = cellsOf(table([scenario], [{ ...zero, side: 'ours' }, zero]))
  assert.equal(both[7], '')
})

test('what has a raw channel beside it has a table of its own, with a ratio to each', () => {
  const rows = [row('x', 'the x', 'ms')]
  const usual = { id: 'a', rows, limitMs: 1, run }
  /** @type {import('../src/scenarios.mjs').Scenario} */
  const direct = { id: 'b', rows, limitMs: 1, sides: ['ours', 'raw', 'theirs'], run }
  const results = /** @type {const} */ (['ours', 'raw', 'theirs']).map((side, i) => ({
    scenario: 'b',
    side,
    rounds: [{ x: [30, 20, 60][i] }],
    failures: [],
    notes: [],
  }))
  const [first, second] = tables([direct, usual], results).split('\n\n')
  assert.deepEqual(cellsOf(first), [['the x', 'ms', 'lower', 'not run', '', 'not run', '', '']])
  assert.deepEqual(cellsOf(second), [['the x', 'ms', 'lower', '30', '', '20', '', '1.5', '60', '', '0.5']])
  assert.equal(tables([usual], []).split('\n\n').length, 1)
})

test('what has Helia beside it has a table of its own', () => {
  const rows = [row('x', 'the x', 'ms')]
  const usual = { id: 'a', rows, limitMs: 1, run }
  /** @type {import('../src/scenarios.mjs').Scenario} */
  const blocks = { id: 'b', rows, limitMs: 1, sides: ['ours', 'helia'], run }
  const results = /** @type {const} */ (['ours', 'helia']).map((side, i) => ({
    scenario: 'b',
    side,
    rounds: [{ x: [30, 60][i] }],
    failures: [],
    notes: [],
  }))
  const [, second] = tables([blocks, usual], results).split('\n\n')
  assert.match(second, /\| Helia /)
  assert.deepEqual(cellsOf(second), [['the x', 'ms', 'lower', '30', '', '60', '', '0.5']])
})
