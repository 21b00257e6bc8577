// `npm test [-- PART...]`: sets up, builds what is not up to date, and runs every part, going on after failures.
//   node scripts/test.mjs               all parts
//   node scripts/test.mjs rust e2e      only these
//   node scripts/test.mjs --ci          all parts and the gates of CI (ci.mjs)
// The last line is `N passed, N failed`; the exit code is 1 when anything failed or a part ran no test,
// unless it says that it was skipped and why.

import { parseArgs } from 'node:util'
import { ciParts, compiling } from './ci.mjs'
import { buildRelay, buildTs, buildWasm, buildWww } from './build.mjs'
import { locked } from './build-wasm.mjs'
import { gates } from './gates.mjs'
import { withLock } from './lib/lock.mjs'
import { whyNoNamespaces } from './lib/namespaces.mjs'
import { build, runParts, tests, where } from './lib/parts.mjs'
import { main, report } from './lib/print.mjs'
import { must, progress } from './lib/run.mjs'
import { nativeEnv, nativePackages } from './lib/toolchain.mjs'
import { setup, setupBrowser, setupNamespaces } from './setup.mjs'

const { values, positionals } = parseArgs({ options: { ci: { type: 'boolean', default: false } }, allowPositionals: true })

const builds = [
  build('wasm', () => withLock(buildWasm)),
  build('relay', () => withLock(buildRelay)),
  build('bindings-ts', () => withLock(buildTs)),
]
const page = build('www', () => withLock(buildWww))
// In a process of its own: Vite makes `production` of the NODE_ENV of the one that it builds in, and npm then leaves out
// development dependencies in the parts that follow.
const interop = build('interop', () => must(process.execPath, ['tests/interop/build.mjs'], { limitMs: 45 * 60_000, output: progress }))
const browser = { ...build('chromium', setupBrowser), name: 'chromium' }

const namespaces = { ...build('namespaces', async () => whyNoNamespaces() ?? setupNamespaces()), name: 'namespaces' }

const spec = ['--test', '--test-reporter=spec']
const faults = /^ℹ (relay killed|links down|packets lost|half killed): /

const packaging = ['tests/packaging/run.mjs', 'tests/packaging/pages.mjs']

const scenarios = ['test', ...nativePackages, '--features', 'mesh-sim/scenarios', '--test', 'scenarios', '--test', 'slots']
const figures = /^(\S+: \d+ nodes, seed|\d+ (to \d+ )?voters: |  (ok|MISS|BROKEN) )/

const parts = [
  {
    name: 'gates',
    async run() {
      const { lines, ...counts } = gates()
      return { ...counts, output: lines.join('\n') }
    },
  },
  // First of those that cargo builds: what it computes fills the gaps in which the tests with peers wait.
  { beside: true, ...tests('sim', 'cargo', [...scenarios, ...locked(), '--', '--nocapture', '--test-threads=2'], { minutes: 75, env: nativeEnv, shows: figures, low: true }) },
  tests('rust', 'cargo', ['test', ...nativePackages, '--no-fail-fast', ...locked()], { minutes: 45, env: nativeEnv }),
  ...(values.ci ? compiling : []),
  tests('ts', 'npm', ['test', '--silent', '-w', 'bindings-ts'], { minutes: 10 }),
  tests('e2e', 'npm', ['test', '--silent', '-w', 'tests/e2e'], { minutes: 20 }),
  { needs: [namespaces], ...where(whyNoNamespaces, tests('netns', process.execPath, [...spec, 'tests/netns/faults.test.mjs'], { minutes: 5, shows: faults })) },
  tests('www', 'npm', ['test', '--silent', '-w', 'www'], { minutes: 5 }),
  { needs: [page, browser], ...tests('browser', 'npm', ['test', '--silent', '-w', 'tests/browser'], { minutes: 20 }) },
  { needs: [interop, browser], ...tests('interop', 'npm', ['test', '--silent', '-w', 'tests/interop'], { minutes: 15 }) },
  tests('digits', 'npm', ['test', '--silent', '-w', 'examples/digits'], { minutes: 10 }),
  tests('bench', 'npm', ['test', '--silent', '-w', 'bench'], { minutes: 10 }),
  tests('scripts', process.execPath, ['--test', 'scripts/test/lib.test.mjs'], { minutes: 5 }),
  { needs: [browser], ...tests('packaging', process.execPath, ['--test', '--test-concurrency=1', ...packaging], { minutes: 10 }) },
  ...(values.ci ? ciParts : []),
]

// These need nothing built.
const early = new Set(['gates', 'scripts', 'rust', 'sim', 'fmt', 'clippy', 'clippy-wasm', 'doc', 'doc-wasm'])

main(async () => {
  const chosen = positionals.length === 0 ? parts : parts.filter(part => positionals.includes(part.name))
  const unknown = positionals.filter(name => !parts.some(part => part.name === name))
  if (unknown.length > 0) {
    console.log(`no part ${unknown.join(', ')}; there are: ${parts.map(part => part.name).join(', ')}`)
    return 1
  }
  try {
    await setup()
  } catch (error) {
    report(error)
    return finish({ passed: 0, failed: 1, skipped: 0 })
  }
  const needsBuild = chosen.some(part => !early.has(part.name))
  const needs = new Set(chosen.flatMap(part => part.needs ?? []))
  return finish(await runParts([...(needsBuild ? builds : []), ...needs, ...chosen]))
})

function finish({ passed, failed, skipped }) {
  console.log(`\n${passed} passed, ${failed} failed`)
  return failed > 0 || passed + skipped === 0 ? 1 : 0
}
