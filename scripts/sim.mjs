// `npm run sim [-- ARGUMENTS]`: builds the simulator, optimised, and plays with it; `-- --help` tells how. `npm run sim:long`
// plays every scenario with many seeds, which takes an hour or two.

import { locked } from './build-wasm.mjs'
import { main } from './lib/print.mjs'
import { hand, must, progress } from './lib/run.mjs'
import { nativeEnv } from './lib/toolchain.mjs'

const LONG = ['--seeds', '50']

main(async () => {
  const build = ['build', '--profile', 'sim', '-p', 'mesh-sim', ...locked()]
  await must('cargo', build, { what: 'the build of mesh-sim', env: nativeEnv, limitMs: 20 * 60_000, output: progress })
  const [first, ...rest] = process.argv.slice(2)
  const given = first === '--long' ? [...LONG, ...rest] : process.argv.slice(2)
  return hand('target/sim/mesh-sim', given)
})
