// `npm start [-- ARGUMENTS]`: sets up, builds what is not up to date, and runs the example of examples/digits. With --stay
// it ends with a page to join by, so that is built too.

import { main } from './lib/print.mjs'
import { withLock } from './lib/lock.mjs'
import { at } from './lib/paths.mjs'
import { hand } from './lib/run.mjs'
import { buildRelay, buildTs, buildWasm, buildWorkspace, buildWww } from './build.mjs'
import { setup } from './setup.mjs'

const example = 'examples/digits'
const entry = at(example, 'dist/main.js')
const args = process.argv.slice(2)

main(async () => {
  await setup()
  await withLock(async () => {
    await buildWasm()
    await buildRelay()
    await buildTs()
    if (args.includes('--stay')) await buildWww()
    await buildWorkspace(example, { also: [at('bindings-ts/dist')], outputs: [entry] })
  })
  console.log()
  return hand(process.execPath, [entry, ...args])
})
