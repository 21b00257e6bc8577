// What CI asks beyond `npm test`. Each counts as one. They share the target directories of the tests and of the wasm build.
// What only compiles goes beside the tests; `npm start` asks cargo too, and waits until it is free.

import { existsSync } from 'node:fs'
import { artifacts, cargoForWasm, locked } from './build-wasm.mjs'
import { check, gate } from './lib/parts.mjs'
import { debian, nativeEnv, nativePackages, wasmToolchain } from './lib/toolchain.mjs'
import { installClippy } from './setup/debian.mjs'
import { sizeReport } from './size.mjs'

const native = [...nativePackages, ...locked()]
const strictDocs = { RUSTDOCFLAGS: '-D warnings' }

export const compiling = [
  gate('clippy', 'cargo', ['clippy', '--quiet', ...native, '--all-targets', '--', '-D', 'warnings'], { minutes: 40, env: nativeEnv, low: true }),
  { name: 'clippy-wasm', run: async () => (await clippyWasm()).run() },
  gate('doc', 'cargo', ['doc', '--quiet', '--no-deps', ...native], { minutes: 30, env: { ...nativeEnv, ...strictDocs }, low: true }),
  { name: 'doc-wasm', run: () => docWasm().run() },
].map(part => ({ ...part, beside: true }))

export const ciParts = [
  gate('fmt', 'cargo', ['fmt', '--all', '--check']),
  check('size', async () => {
    const { lines, over } = sizeReport()
    return { output: lines.join('\n'), why: over > 0 ? `${over} past the budget in wasm-pack.toml` : undefined }
  }),
  { ...gate('npm start', 'npm', ['start', '--silent'], { minutes: 15 }), last: true },
]

// The wasm crates, and the wasm twins of the crates below it, by the clippy of the compiler that builds the wasm. Rustup's
// cannot stand in for the distribution's: it finds no standard library for wasm.
async function clippyWasm() {
  const toolchain = wasmToolchain()
  const { args, env } = wasmCall(toolchain)
  const limits = { minutes: 40, env, low: true }
  const lints = ['--', '-D', 'warnings']
  if (toolchain.cargo !== debian.cargo) return gate('clippy-wasm', 'cargo', ['clippy', '--quiet', ...args, ...lints], limits)
  if (!existsSync(debian.clippy)) await installClippy()
  if (existsSync(debian.clippy)) {
    // Called as cargo calls it; `cargo clippy` would find rustup's on the PATH first.
    limits.env = { ...env, CARGO: debian.cargo }
    return gate('clippy-wasm', debian.clippy, ['clippy', '--quiet', ...args, ...lints], limits)
  }
  // No such package: the compiler's own warnings at least.
  return gate('clippy-wasm', debian.cargo, ['check', ...args], { ...limits, alsoFailsOn: /^warning: /m })
}

function docWasm() {
  const toolchain = wasmToolchain()
  const { args, env } = wasmCall(toolchain)
  const rustdoc = toolchain.cargo === debian.cargo ? { RUSTDOC: debian.rustdoc } : {}
  return gate('doc-wasm', toolchain.cargo, ['doc', '--quiet', '--no-deps', ...args], {
    minutes: 30,
    env: { ...env, ...rustdoc, ...strictDocs },
    low: true,
  })
}

function wasmCall(toolchain) {
  const [config, ...others] = artifacts()
  const { args, env } = cargoForWasm(config, config.profiles.dev, toolchain)
  return { args: [...args, ...others.flatMap(({ crate }) => ['-p', crate])], env }
}
