// `npm run sim [-- ARGUMENTS]`: builds the simulator, optimised, and plays with it; `-- --help` tells how. `npm run sim:long`
// plays every scenario with fifty seeds, or as many as `-- --seeds N` says, as many at a time as there are processors.

import { availableParallelism } from 'node:os'
import { locked } from './build-wasm.mjs'
import { Stop, main, ok } from './lib/print.mjs'
import { ask, hand, must, progress, run } from './lib/run.mjs'
import { nativeEnv } from './lib/toolchain.mjs'

const PROGRAM = 'target/sim/mesh-sim'
const SEEDS = '50'
// With a hundred honest hosts a seed of these takes minutes: those are played in CI, with one.
const ATTACKS = { nodes: '25', names: ['eclipse', 'censor', 'cold-boot', 'flash', 'flood'] }
// Seeds of a scenario that one process plays.
const PORTION = 5
const DAY_MS = 24 * 3600_000

main(async () => {
  const build = ['build', '--profile', 'sim', '-p', 'mesh-sim', ...locked()]
  await must('cargo', build, { what: 'the build of mesh-sim', env: nativeEnv, limitMs: 20 * 60_000, output: progress })
  const [first, ...rest] = process.argv.slice(2)
  return first === '--long' ? long(rest) : hand(PROGRAM, process.argv.slice(2))
})

async function long([flag, seeds = SEEDS]) {
  if ((flag !== undefined && flag !== '--seeds') || !(Number.isSafeInteger(Number(seeds)) && Number(seeds) > 0)) {
    throw new Stop(`npm run sim:long takes nothing but -- --seeds N, a whole number from 1 on; not ${flag} ${seeds}`, 'npm run sim -- --help')
  }
  const names = ask(PROGRAM, ['--list']).split('\n').map(line => line.split(' ', 1)[0])
  const plays = portions(Number(seeds)).flatMap(portion => names.map(name => ['--scenario', name, ...portion, ...sized(name)]))
  const failed = []
  const began = Date.now()
  const work = async () => {
    for (let play; (play = plays.shift()); ) {
      const { code } = await run(PROGRAM, play, { limitMs: DAY_MS, output: 'show' })
      if (code !== 0) failed.push(play.join(' '))
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  if (failed.length > 0) throw new Stop(`not everything held: ${failed.join('; ')}`, 'the commands are printed above')
  ok(`${names.length} scenarios, ${seeds} seeds each: all goals met, no rule broken (${Math.round((Date.now() - began) / 60_000)} min)`)
}

const sized = name => (ATTACKS.names.includes(name) ? ['--nodes', ATTACKS.nodes] : [])

function portions(seeds) {
  const starts = Array.from({ length: Math.ceil(seeds / PORTION) }, (_, i) => i * PORTION)
  return starts.map(start => ['--seed', String(start + 1), '--seeds', String(Math.min(PORTION, seeds - start))])
}
