#!/usr/bin/env node
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { environment, load } from './src/environment.mjs'
import { chromiumVersion } from './src/pages.mjs'
import { runScenario, sidesOf } from './src/runner.mjs'
import { newEnoughNode } from './src/runtime.mjs'
import { scenarios } from './src/scenarios.mjs'
import { helia, ours, raw, theirs } from './src/sides.mjs'
import { tables } from './src/table.mjs'

const HELP = `Measures neural-mesh and js-libp2p on the same scenarios, in turns, on this machine.

  npm run bench -- [options]

  --rounds N        rounds of each scenario on each side (default 5)
  --only SCENARIO   only this one; may be repeated or a comma-separated list
  --side SIDE       only ours, only theirs, only raw: data channels with nothing on top, in direct-*, or only helia, in
                    blocks and direct-blocks
  --quick           one round, without the slow scenarios
  --json FILE       write every value to FILE as well
  --relay FILE      our relay binary (default target/release/mesh-relay, else target/debug/mesh-relay)
  --list            print the scenarios
  --help            print this

What is measured, and how to read the ratios: bench/README.md`

const NOTES = `Ratio: ours / the other, medians. Under 1 is good where lower is better, over 1 where higher is.
Both ends and the relay share the cores of one machine and talk over loopback, so this is CPU cost and protocol design,
not distance. Ratios under 1.3 either way are ties. The direct message is an acknowledged \`send\` for neural-mesh and an
echo on one stream that is kept open for js-libp2p, which is its best case. Its connection monitor is on,
as by default: it cuts busy peers off in the burst. bench/README.md has the rest.`

/** npm starts scripts in the package's folder; paths are meant from where the person is. */
const BASE = process.env.INIT_CWD ?? '.'

/** @typedef {import('./src/scenarios.mjs').Scenario} Scenario */

const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`)

/**
 * @param {string[]} args
 * @returns {Promise<number>} exit code: 0 whatever was measured, 2 for a call that makes no sense, 130 when interrupted
 */
async function main(args) {
  const options = parse(args)
  if (typeof options === 'string') {
    say(`${options}\n`)
    say(HELP)
    return 2
  }
  if (options.help) return print(HELP)
  if (options.list)
    return print(
      scenarios.map(({ id, rows }) => `${id.padEnd(16)}${rows.map(({ label }) => label).join('; ')}`).join('\n'),
    )

  const interrupt = new AbortController()
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.once(name, () => interrupt.abort(new Error(name)))

  const { node, version } = await newEnoughNode(say)
  const sides = [ours({ relayFile: options.relay && resolve(BASE, options.relay) }), raw(), theirs({ node }), helia({ node })].filter(
    ({ id }) => options.side === undefined || id === options.side,
  )
  const about = environment({ nodeVersion: version, sides })
  const inPages = options.scenarios.some((/** @type {Scenario} */ scenario) => sidesOf(scenario).includes('raw'))
  if (inPages) about.Chromium = await chromiumVersion()
  const loadAtStart = load()
  const results = []
  try {
    for (const scenario of options.scenarios) {
      results.push(
        ...(await runScenario(scenario, sides, { node, rounds: options.rounds, say, signal: interrupt.signal })),
      )
    }
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    say('interrupted: the table holds what was finished')
  }
  about.load = `${loadAtStart} at the start, ${load()} at the end (1, 5 and 15 minutes)`
  about.rounds = String(options.rounds)

  print(
    Object.entries(about)
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n'),
  )
  print(`\n${tables(options.scenarios, results)}\n\n${NOTES}`)
  if (options.json !== undefined)
    await writeFile(resolve(BASE, options.json), `${JSON.stringify({ environment: about, results }, null, 2)}\n`)
  return interrupt.signal.aborted ? 130 : 0
}

/**
 * @param {string[]} args
 * @returns what to do, or why the call makes no sense
 */
function parse(args) {
  /** @type {any} */
  let values
  try {
    ;({ values } = parseArgs({
      args,
      options: {
        rounds: { type: 'string' },
        only: { type: 'string', multiple: true },
        side: { type: 'string' },
        quick: { type: 'boolean' },
        json: { type: 'string' },
        relay: { type: 'string' },
        list: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }))
  } catch (error) {
    return /** @type {Error} */ (error).message
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(rounds) || rounds < 1)
    return `--rounds must be a whole number of at least 1, not ${values.rounds}`
  if (values.side !== undefined && !['ours', 'raw', 'theirs', 'helia'].includes(values.side))
    return `--side must be ours, raw, theirs or helia, not ${values.side}`
  const only = values.only?.flatMap((/** @type {string} */ list) => list.split(','))
  const unknown = only?.find((/** @type {string} */ id) => !scenarios.some(scenario => scenario.id === id))
  if (unknown !== undefined) return `--only ${unknown}: there are ${scenarios.map(({ id }) => id).join(', ')}`
  const chosen = scenarios.filter(({ id, slow }) => (only === undefined ? !(values.quick && slow) : only.includes(id)))
  return { ...values, rounds, scenarios: chosen }
}

/**
 * @param {string} text
 * @returns {0}
 */
function print(text) {
  process.stdout.write(`${text}\n`)
  return 0
}

process.exitCode = await main(process.argv.slice(2))
