// Builds what is not up to date: `npm run build [-- --wasm --relay --ts --www --release-relay --profile NAME]`.
// Without flags: the wasm, the relay (dev profile), the npm package and the page, in that order. --profile names one of the wasm
// profiles of wasm-pack.toml. --release-relay is the optimised relay that the benchmark measures.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildWasm, locked, settings } from './build-wasm.mjs'
import { isFresh, stamp } from './lib/fresh.mjs'
import { withLock } from './lib/lock.mjs'
import { at } from './lib/paths.mjs'
import { Stop, busy, main, ok, seconds } from './lib/print.mjs'
import { must, progress } from './lib/run.mjs'
import { nativeEnv } from './lib/toolchain.mjs'

export { buildWasm }

// Cargo knows best whether this is up to date, and says so in half a second.
export async function buildRelay({ release = false } = {}) {
  const began = Date.now()
  busy(`relay: cargo build${release ? ' --release' : ''} (3 to 7 min the first time)`)
  await must('cargo', ['build', '-p', 'mesh-relay', ...(release ? ['--release'] : []), ...locked()], {
    what: 'the build of the relay',
    env: nativeEnv,
    limitMs: 40 * 60_000,
    output: progress,
  })
  ok(`relay: up to date (${seconds(Date.now() - began)})`)
}

// The npm package: bindings-ts/dist, with the wasm and its glue copied into it.
export const buildTs = () =>
  buildWorkspace('bindings-ts', { also: [at(settings()['out-dir'])], outputs: [at('bindings-ts/dist')] })

// The page: www/dist, with the npm package and its wasm in it.
export const buildWww = () =>
  buildWorkspace('www', { also: [at('bindings-ts/dist'), at('bindings-ts/dist/generated')], outputs: [at('www/dist')] })

// Runs `npm run build` of a workspace unless its sources, `also` and the outputs are those of the last build.
export async function buildWorkspace(folder, { also = [], outputs }) {
  if (!existsSync(at(folder, 'package.json'))) throw new Stop(`there is no ${folder}/package.json`)
  const name = folder.replaceAll('/', '-')
  const inputs = { paths: [at(folder), ...also, at('package-lock.json')] }
  if (isFresh(name, inputs, outputs)) return ok(`${folder}: up to date`)
  const began = Date.now()
  await must('npm', ['run', '--silent', 'build', '-w', folder], { what: `npm run build -w ${folder}`, limitMs: 5 * 60_000 })
  const missing = outputs.find(output => !existsSync(output))
  if (missing) throw new Stop(`npm run build -w ${folder} made no ${missing}`)
  stamp(name, inputs, outputs)
  ok(`${folder}: built (${seconds(Date.now() - began)})`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flag = { type: 'boolean', default: false }
  const { values } = parseArgs({
    options: { wasm: flag, relay: flag, ts: flag, www: flag, 'release-relay': flag, profile: { type: 'string' } },
  })
  const all = !values.wasm && !values.relay && !values.ts && !values.www && !values['release-relay']
  main(() =>
    withLock(async () => {
      if (all || values.wasm) await buildWasm(values.profile)
      if (all || values.relay) await buildRelay()
      if (values['release-relay']) await buildRelay({ release: true })
      if (all || values.ts) await buildTs()
      if (all || values.www) await buildWww()
    }),
  )
}
