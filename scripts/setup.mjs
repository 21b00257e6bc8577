// Makes a fresh machine ready: `npm run setup`, and the first thing `npm start` and `npm test` do. It needs Rust and
// Node.js and imports nothing from npm. Each step says what it does, is skipped when already done, ends within its time
// limit, and on failure prints the next thing to try. With --browser it sees to a Chromium too, and with --netns to what the
// tests in network namespaces need: only tests need them.

import { fileURLToPath } from 'node:url'
import { withLock } from './lib/lock.mjs'
import { Stop, busy, main, ok, seconds } from './lib/print.mjs'
import { bindgenStep } from './setup/bindgen.mjs'
import { chromiumStep } from './setup/chromium.mjs'
import { namespacesStep } from './setup/namespaces.mjs'
import { npmStep } from './setup/npm.mjs'
import { versionsStep } from './setup/versions.mjs'
import { wasmTargetStep } from './setup/wasm-target.mjs'

// A step: { name, done(): string | undefined (what is there already), how: what it will do, act() }.
const steps = [versionsStep, wasmTargetStep, bindgenStep, npmStep]

export const setup = () => take(steps)

export const setupBrowser = () => take([chromiumStep])

export const setupNamespaces = () => take([namespacesStep])

async function take(steps) {
  const missing = steps.filter(step => !announce(step, step.done()))
  if (missing.length === 0) return
  await withLock(async () => {
    for (const step of missing) {
      // Whoever held the lock before may have done it.
      if (announce(step, step.done())) continue
      busy(`${step.name}: ${step.how()}`)
      const began = Date.now()
      await step.act()
      const result = step.done()
      if (result === undefined) throw new Stop(`${step.name}: still missing after its set-up`, 'report this as a bug')
      ok(`${step.name}: ${result} (${seconds(Date.now() - began)})`)
    }
  })
}

// Says that a step is done, if it is.
function announce(step, result) {
  if (result !== undefined) ok(`${step.name}: ${result}`)
  return result !== undefined
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(async () => {
    await setup()
    if (process.argv.includes('--browser')) await setupBrowser()
    if (process.argv.includes('--netns')) await setupNamespaces()
  })
}
