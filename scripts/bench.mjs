// `npm run bench [-- ARGUMENTS]`: sets up, builds the same wasm as the tests and the optimised relay, and runs bench/.

import { main } from './lib/print.mjs'
import { withLock } from './lib/lock.mjs'
import { hand } from './lib/run.mjs'
import { buildRelay, buildTs, buildWasm } from './build.mjs'
import { setup } from './setup.mjs'

main(async () => {
  await setup()
  await withLock(async () => {
    await buildWasm()
    await buildRelay({ release: true })
    await buildTs()
  })
  console.log()
  const env = { MESH_RELAY_PROFILE: 'release' }
  return hand('npm', ['run', '--silent', 'bench', '-w', 'bench', '--', ...process.argv.slice(2)], { env })
})
