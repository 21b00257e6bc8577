import { loadavg } from 'node:os'
import { withLimit } from './clock.mjs'
import { Processes } from './processes.mjs'
import { World } from './world.mjs'

/** @typedef {import('./scenarios.mjs').Scenario} Scenario */
/** @typedef {import('./sides.mjs').Side} Side */

/**
 * @typedef {object} Result of one scenario on one side
 * @property {string} scenario
 * @property {Side['id']} side
 * @property {Record<string, number>[]} rounds values by row, of the rounds that went well
 * @property {string[]} failures
 * @property {string[]} notes what the scenario had to say besides its values
 */

/**
 * Runs one scenario on each side in turn, as many rounds as asked. The side that goes first changes with the round, so
 * that what the machine does meanwhile falls on all.
 *
 * @param {Scenario} scenario
 * @param {Side[]} sides
 * @param {{ node: string, rounds: number, say: (line: string) => void, signal: AbortSignal }} options
 * @returns {Promise<Result[]>}
 */
export async function runScenario(scenario, sides, { node, rounds, say, signal }) {
  const asked = sides.filter(side => sidesOf(scenario).includes(side.id))
  /** @type {Map<Side, Result>} */
  const results = new Map(
    asked.map(side => [side, { scenario: scenario.id, side: side.id, rounds: [], failures: [], notes: [] }]),
  )
  const used = asked.filter(side => {
    const missing = side.missing()
    if (missing !== undefined) results.get(side)?.failures.push(missing)
    return missing === undefined
  })
  const count = Math.min(rounds, scenario.maxRounds ?? rounds)
  for (let round = 0; round < count; round++) {
    for (const side of turned(used, round)) {
      signal.throwIfAborted()
      const result = /** @type {Result} */ (results.get(side))
      const title = `${scenario.id} ${round + 1}/${count} ${side.label} (load ${loadavg()[0].toFixed(1)})`
      try {
        const { values, notes } = await runOnce(scenario, side, node, signal)
        result.rounds.push(values)
        result.notes.push(...notes)
        say(`${title}: ${scenario.rows.map(({ id, unit }) => `${id} ${values[id].toPrecision(4)} ${unit}`).join(', ')}`)
        for (const note of notes) say(`  ${note}`)
      } catch (error) {
        if (signal.aborted) throw error
        const reason = error instanceof Error ? error.message : String(error)
        result.failures.push(reason)
        say(`${title}: failed: ${reason}`)
      }
    }
  }
  return [...results.values()]
}

/**
 * @param {Pick<Scenario, 'oursOnly' | 'sides'>} scenario
 * @returns {Side['id'][]} who is measured in it, in the order of the table
 */
export function sidesOf({ oursOnly, sides = ['ours', 'theirs'] }) {
  return oursOnly === undefined ? sides : ['ours']
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} by
 * @returns {T[]} the same, beginning with another one
 */
export function turned(list, by) {
  return list.map((_, i) => list[(i + by) % list.length])
}

/**
 * @param {Scenario} scenario
 * @param {Side} side
 * @param {string} node
 * @param {AbortSignal} signal
 * @returns {Promise<{ values: Record<string, number>, notes: string[] }>}
 */
async function runOnce(scenario, side, node, signal) {
  const processes = new Processes()
  const world = new World(side, processes, node)
  let stop = () => {}
  const aborted = new Promise((_resolve, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop)
  })
  try {
    const run = withLimit(scenario.run(world), scenario.limitMs, 'time limit')
    const values = await Promise.race([run, /** @type {Promise<never>} */ (aborted)])
    return { values, notes: world.notes }
  } finally {
    signal.removeEventListener('abort', stop)
    await Promise.all([world.end(), processes.end()])
  }
}
