import { sidesOf } from './runner.mjs'
import { summary } from './stats.mjs'

/** @typedef {import('./runner.mjs').Result} Result */
/** @typedef {import('./scenarios.mjs').Scenario} Scenario */

const MAX_REASON = 80

/** @type {Record<import('./sides.mjs').Side['id'], string>} */
const LABELS = { ours: 'neural-mesh', raw: 'raw channel', theirs: 'js-libp2p', helia: 'Helia' }

/**
 * A table for what has the same sides.
 *
 * @param {Scenario[]} scenarios
 * @param {Result[]} results
 * @returns {string}
 */
export function tables(scenarios, results) {
  const kindOf = (/** @type {Scenario} */ scenario) =>
    sidesOf(scenario).find(side => side === 'raw' || side === 'helia') ?? 'usual'
  return ['usual', 'raw', 'helia']
    .map(kind => scenarios.filter(scenario => kindOf(scenario) === kind))
    .filter(list => list.length > 0)
    .map(list => table(list, results))
    .join('\n\n')
}

/**
 * A Markdown table: a line for each measured value with the medians of all sides, their spread, and the ratios of the
 * medians, ours by each other's.
 *
 * @param {Scenario[]} scenarios of the same sides, or of ours only
 * @param {Result[]} results
 * @returns {string}
 */
export function table(scenarios, results) {
  const others = sidesOf(scenarios.find(({ oursOnly }) => oursOnly === undefined) ?? { sides: ['ours', 'theirs'] }).slice(1)
  const head = ['scenario', 'unit', 'better', LABELS.ours, 'min - max']
  const lines = [[...head, ...others.flatMap(side => [LABELS[side], 'min - max', 'ratio'])]]
  for (const scenario of scenarios) {
    const of = (/** @type {string} */ side) =>
      results.find(result => result.scenario === scenario.id && result.side === side)
    const ours = of('ours')
    for (const { id, label, unit, better } of scenario.rows) {
      const cellsOfOthers = others.flatMap(side => {
        const theirs = of(side)
        return [...cells(theirs, id, scenario.oursOnly), ratio(ours, theirs, id)]
      })
      lines.push([label, unit, better, ...cells(ours, id), ...cellsOfOthers])
    }
  }
  return render(lines)
}

/**
 * @param {Result | undefined} result
 * @param {string} row
 * @param {string} [otherwise] for the cell when the side was not measured
 * @returns {[string, string]} median and spread
 */
function cells(result, row, otherwise = 'not run') {
  if (result === undefined) return [otherwise, '']
  const failed = result.failures.length
  const of = summary(values(result, row))
  if (of === undefined) return [`failed: ${short(result.failures[0] ?? 'no round')}`, '']
  const note = failed === 0 ? '' : ` (${failed} of ${failed + of.n} rounds failed: ${short(result.failures[0])})`
  return [number(of.median) + note, of.n === 1 ? '' : `${number(of.min)} - ${number(of.max)}`]
}

/**
 * @param {Result | undefined} ours
 * @param {Result | undefined} theirs
 * @param {string} row
 * @returns {string} empty where there is no ratio to give
 */
function ratio(ours, theirs, row) {
  const a = ours && summary(values(ours, row))?.median
  const b = theirs && summary(values(theirs, row))?.median
  return a === undefined || b === undefined || b === 0 ? '' : number(a / b, 2)
}

/**
 * @param {Result} result
 * @param {string} row
 * @returns {number[]}
 */
function values(result, row) {
  return result.rounds.map(round => round[row])
}

/**
 * At most so many significant digits, but all those before the decimal point.
 *
 * @param {number} value
 * @param {number} [digits]
 * @returns {string}
 */
function number(value, digits = 3) {
  return value >= 10 ** (digits - 1)
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(digits)))
}

/**
 * @param {string} reason
 * @returns {string} what fits into a cell; the whole of it was said when it happened
 */
function short(reason) {
  return reason.length <= MAX_REASON ? reason : `${reason.slice(0, MAX_REASON - 1)}…`
}

/**
 * @param {string[][]} lines the first is the head
 * @returns {string}
 */
function render(lines) {
  const clean = lines.map(line => line.map(cell => cell.replace(/\s+/g, ' ').replaceAll('|', '\\|')))
  const widths = clean[0].map((_, column) => Math.max(3, ...clean.map(line => line[column].length)))
  const text = (/** @type {string[]} */ line) => `| ${line.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`
  const [head, ...body] = clean
  return [text(head), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...body.map(text)].join('\n')
}
