// Which compiler builds what, found out afresh each time (three short calls).
//
// Native code is built by the `cargo` on the PATH. The wasm is built by it too when its rustc has the standard library of
// wasm32-unknown-unknown; else by the distribution's /usr/bin/cargo with /usr/bin/rustc, when that one has it (setup.mjs
// puts it there on a Debian machine whose rustup cannot download).

import { existsSync, readdirSync } from 'node:fs'
import { atLeast, lockText, versionsOf } from './cargo-lock.mjs'
import { at, exe } from './paths.mjs'
import { ask } from './run.mjs'

export const wasmTarget = 'wasm32-unknown-unknown'
export const minimumRust = '1.89.0' // rust-version in Cargo.toml
export const minimumNode = '20.19.0'

// One target directory whatever the caller's environment says: relay.mjs and the tests look for the relay there.
export const nativeEnv = { CARGO_TARGET_DIR: at('target') }

// All that is not wasm alone. Whatever cargo compiles for tests and linters is of these: of fewer packages, their dependencies would
// have fewer features, and be compiled again.
export const nativePackages = ['--workspace', '--exclude', 'mesh-wasm', '--exclude', 'mesh-sim-wasm']

const onPath = { name: 'the PATH\'s', cargo: 'cargo', rustc: 'rustc', env: {} }
export const debian = {
  name: "the distribution's",
  cargo: '/usr/bin/cargo',
  rustc: '/usr/bin/rustc',
  rustdoc: '/usr/bin/rustdoc',
  clippy: '/usr/bin/cargo-clippy',
  env: { RUSTC: '/usr/bin/rustc' },
}

// '1.95.0' of `rustc 1.95.0 (…)`; undefined when the program is absent.
export const versionOf = program => ask(program, ['--version'])?.match(/\d+\.\d+\.\d+/)?.[0]

// { name, cargo, rustc, env, version, libdir } of the compiler that can build the wasm, or undefined.
export function wasmToolchain() {
  for (const candidate of [onPath, debian]) {
    const libdir = wasmLibdir(candidate)
    if (!libdir) continue
    const version = versionOf(candidate.rustc)
    if (version && atLeast(version, minimumRust)) return { ...candidate, version, libdir }
  }
  return undefined
}

// The folder of the wasm standard library, when it holds one.
function wasmLibdir({ rustc }) {
  if (rustc.startsWith('/') && !existsSync(rustc)) return undefined
  const libdir = ask(rustc, ['--print', 'target-libdir', '--target', wasmTarget])
  return libdir && hasStd(libdir) ? libdir : undefined
}

export const hasStd = libdir => existsSync(libdir) && readdirSync(libdir).some(name => /^libstd-.*\.rlib$/.test(name))

export const hasRustup = () => versionOf('rustup') !== undefined

// The version of wasm-bindgen in Cargo.lock; the CLI must be the very same.
export function bindgenVersion() {
  const versions = versionsOf('wasm-bindgen', lockText())
  if (versions.length !== 1) throw new Error(`Cargo.lock has ${versions.length} versions of wasm-bindgen; it must have one`)
  return versions[0]
}

// The path of a wasm-bindgen CLI of that version, or undefined.
export function bindgenCli(version = bindgenVersion()) {
  return [at('.tools/bin', `wasm-bindgen${exe}`), 'wasm-bindgen'].find(program => versionOf(program) === version)
}
