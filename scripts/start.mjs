// `npm start [-- ARGUMENTS]`: sets up, builds what is not up to date, and runs the example of examples/digits.

import { main } from './lib/print.mjs'
import { withLock } from './lib/lock.mjs'
import { at } from './lib/paths.mjs'
import { hand } from './lib/run.mjs'
import { buildRelay, buildTs, buildWasm, buildWorkspace } from './build.mjs'
import { setup } from './setup.mjs'

const example = 'examples/digits'
const entry = at(example, 'dist/main.js')

main(async () => {
  await setup()
  await withLock(async () => {
    await buildWasm()
    await buildRelay()
    await buildTs()
    await buildWorkspace(example, { also: [at('bindings-ts/dist')], outputs: [entry] })
  })
  console.log()
  return hand(process.execPath, [entry, ...process.argv.slice(2)])
})
