// Builds what the tests run, unless it is up to date: the peer in Rust with its glue -> generated/, the page with both nodes
// in it -> dist/, and the peer with blocks -> target/debug/examples.

import { fileURLToPath } from 'node:url'
import { cargoForWasm, locked, settings } from '../../scripts/build-wasm.mjs'
import { isFresh, stamp } from '../../scripts/lib/fresh.mjs'
import { withLock } from '../../scripts/lib/lock.mjs'
import { at } from '../../scripts/lib/paths.mjs'
import { Stop, busy, main, ok, seconds } from '../../scripts/lib/print.mjs'
import { must, progress } from '../../scripts/lib/run.mjs'
import { bindgenCli, bindgenVersion, nativeEnv, nativePackages, wasmTarget, wasmToolchain } from '../../scripts/lib/toolchain.mjs'

const here = (...parts) => at('tests/interop', ...parts)

export async function buildInterop() {
  await buildPeer()
  await buildPage()
  await buildBlockPeer()
}

// Cargo knows whether it is up to date.
async function buildBlockPeer() {
  const began = Date.now()
  busy('crates/bitswap/examples/ipfs-peer: cargo build (3 to 7 min the first time)')
  const args = ['build', ...nativePackages, '--example', 'ipfs-peer', ...locked()]
  await must('cargo', args, { what: 'the build of ipfs-peer', env: nativeEnv, limitMs: 40 * 60_000, output: progress })
  ok(`crates/bitswap/examples/ipfs-peer: up to date (${seconds(Date.now() - began)})`)
}

// As the product's wasm is built, but for the profile: this one is compiled in seconds, and nobody asks how large it is.
async function buildPeer() {
  const toolchain = wasmToolchain()
  const bindgen = bindgenCli()
  if (!toolchain || !bindgen) throw new Stop('the wasm tools are not set up', 'npm run setup')
  const sources = [here('peer'), here('build.mjs'), at('crates/webrtc'), at('Cargo.toml'), at('wasm-pack.toml')]
  const inputs = { paths: sources, extra: [toolchain.version, toolchain.libdir, bindgenVersion()] }
  const outputs = ['interop_peer.js', 'interop_peer_bg.wasm'].map(name => here('generated', name))
  if (isFresh('interop-peer', inputs, outputs)) return ok('tests/interop/peer: up to date')
  busy('tests/interop/peer: compiling (3 min the first time)')
  const began = Date.now()
  const config = { ...settings(), crate: 'interop-peer' }
  const { args, env } = cargoForWasm(config, config.profiles.dev, toolchain)
  const manifest = ['--manifest-path', here('peer/Cargo.toml')]
  await must(toolchain.cargo, ['build', ...manifest, ...args], { what: 'the build of interop-peer', env, limitMs: 40 * 60_000, output: progress })
  const wasm = at(config['target-dir'], wasmTarget, 'debug/interop_peer.wasm')
  await must(bindgen, ['--target', config['bindgen-target'], '--out-dir', here('generated'), wasm], { limitMs: 60_000 })
  stamp('interop-peer', inputs, outputs)
  ok(`tests/interop/peer: built (${seconds(Date.now() - began)})`)
}

async function buildPage() {
  const inputs = { paths: [here('src'), here('page.html'), here('generated'), here('build.mjs'), at('package-lock.json')] }
  const outputs = [here('dist')]
  if (isFresh('interop-page', inputs, outputs)) return ok('tests/interop: up to date')
  const began = Date.now()
  const { build } = await import('vite')
  await build({
    root: here(),
    base: './',
    configFile: false,
    logLevel: 'warn',
    build: { outDir: 'dist', emptyOutDir: true, target: 'esnext', minify: false, modulePreload: false, rollupOptions: { input: here('page.html') } },
  })
  stamp('interop-page', inputs, outputs)
  ok(`tests/interop: built (${seconds(Date.now() - began)})`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(() => withLock(buildInterop))
