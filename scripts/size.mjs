// `npm run size`: the bytes that a user downloads, against the budget in wasm-pack.toml; exit code 1 past it.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { artifacts, settings } from './build-wasm.mjs'
import { files } from './lib/fresh.mjs'
import { at } from './lib/paths.mjs'
import { Stop, main } from './lib/print.mjs'

// [{ what, bytes, limit }], the limits of wasm-pack.toml in their order.
export function sizes() {
  const { budget } = settings()
  const [wasm, sim] = artifacts().map(({ 'out-dir': outDir, 'out-name': outName }) => read(at(outDir, `${outName}_bg.wasm`)))
  const wrapper = scripts(at('bindings-ts/dist'))
  const measured = {
    'wasm-raw': wasm.length,
    'wasm-gzip': gzip(wasm),
    'wasm-brotli': brotli(wasm),
    'sim-raw': sim.length,
    'sim-gzip': gzip(sim),
    'sim-brotli': brotli(sim),
    'wrapper-gzip': gzip(wrapper),
  }
  return Object.entries(budget).map(([what, limit]) => ({ what, bytes: measured[what], limit }))
}

// One line for each size; `over` counts those past their limit.
export function sizeReport() {
  const all = sizes()
  const number = n => n.toLocaleString('en-US').padStart(10)
  const lines = all.map(({ what, bytes, limit }) => {
    const share = Math.round((100 * bytes) / limit)
    return `${what.padEnd(14)}${number(bytes)} of ${number(limit)} bytes  ${String(share).padStart(3)} %${bytes > limit ? '  TOO BIG' : ''}`
  })
  return { lines, over: all.filter(s => s.bytes > s.limit).length }
}

const gzip = data => gzipSync(data, { level: 9 }).length

const brotli = data =>
  brotliCompressSync(data, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length },
  }).length

// Every .js file of the package, glue included, joined in the order of their paths.
function scripts(dist) {
  const paths = files(dist, new Set(['node_modules'])).filter(path => path.endsWith('.js')).sort()
  if (paths.length === 0) throw new Stop(`there is no .js file in ${dist}`, 'npm run build')
  return Buffer.concat(paths.map(path => readFileSync(path)))
}

function read(path) {
  if (!existsSync(path)) throw new Stop(`there is no ${path}`, 'npm run build')
  return readFileSync(path)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(async () => {
    const { lines, over } = sizeReport()
    console.log(lines.join('\n'))
    return over > 0 ? 1 : 0
  })
}
