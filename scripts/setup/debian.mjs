// The Debian way to a wasm compiler: rustc-web and its sources, then the wasm standard library built from those. Nothing
// that is there already is installed or built again.

import { cpSync, existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { at } from '../lib/paths.mjs'
import { busy } from '../lib/print.mjs'
import { ask, must, progress } from '../lib/run.mjs'
import { debian, hasStd, versionOf, wasmTarget } from '../lib/toolchain.mjs'

const libdir = `/usr/lib/rustlib/${wasmTarget}/lib`
const lld = '/usr/bin/rust-lld'
const packages = ['rustc-web', 'cargo-web', 'rust-web-src', 'rust-web-llvm']
const next = 'install rustup from https://rustup.rs on a machine with a network, then run this again'

// Whether this is a Debian, and we may install here: as root, or by a sudo that asks nothing.
export function canInstallDebian() {
  if (!existsSync('/etc/debian_version') || ask('apt-get', ['--version']) === undefined) return false
  return isRoot() || ask('sudo', ['-n', 'true']) !== undefined
}

export async function installDebian() {
  if (!compilerIsThere()) await installPackages()
  if (!existsSync(lld)) await installLinker()
  if (!hasStd(libdir)) await installStd()
}

// The linter that belongs to this compiler, for CI. When there is no such package CI does without.
export async function installClippy() {
  if (!canInstallDebian()) return
  await apt('update').catch(() => {})
  await apt('install', '-y', '--no-install-recommends', 'rust-web-clippy').catch(() => {})
}

const compilerIsThere = () => [debian.rustc, debian.cargo].every(existsSync) && linkExists(lld) && sources() !== undefined

async function installPackages() {
  busy(`apt-get install ${packages.join(' ')} (about 1 min)`)
  await apt('update')
  await apt('install', '-y', '--no-install-recommends', ...packages)
}

// rust-web-llvm ships rust-lld as a link into a package that it only suggests, named as the link's target: lld-22.
async function installLinker() {
  const name = linkExists(lld) ? basename(readlinkSync(lld)) : 'lld'
  busy(`apt-get install ${name}`)
  await apt('install', '-y', '--no-install-recommends', name)
}

async function installStd() {
  busy('building the standard library for wasm from its sources (about 1 min)')
  const scratch = mkdtempSync(join(tmpdir(), 'wasm-std-'))
  try {
    await copyIn(await buildStd(scratch))
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

// Resolves to the libraries built. The settings are those of rustc's own build of the library.
async function buildStd(scratch) {
  cpSync(sources(), join(scratch, 'library'), { recursive: true, dereference: true })
  const manifest = join(scratch, 'library/sysroot/Cargo.toml')
  await must(debian.cargo, ['build', '--release', '--target', wasmTarget, '--manifest-path', manifest, '--features', 'backtrace'], {
    what: 'the build of the wasm standard library',
    cwd: join(scratch, 'library'),
    env: {
      ...debian.env,
      RUSTC_BOOTSTRAP: '1',
      RUSTFLAGS: `-Zforce-unstable-if-unmarked -Cembed-bitcode=yes --remap-path-prefix=${scratch}=rust`,
      CARGO_ENCODED_RUSTFLAGS: undefined,
      CARGO_TARGET_DIR: join(scratch, 'target'),
      __CARGO_DEFAULT_LIB_METADATA: 'stablestd',
    },
    limitMs: 15 * 60_000,
    output: progress,
    next,
  })
  const deps = join(scratch, 'target', wasmTarget, 'release/deps')
  return readdirSync(deps).filter(name => /\.(rlib|rmeta)$/.test(name)).map(name => join(deps, name))
}

// Into a folder beside the real one, then renamed: an interrupted copy must not look like a library.
async function copyIn(libraries) {
  const partial = `${libdir}.partial`
  await elevated('rm', '-rf', partial)
  await elevated('mkdir', '-p', partial)
  await elevated('cp', ...libraries, partial)
  await elevated('rm', '-rf', libdir)
  await elevated('mv', partial, libdir)
  // What was compiled against another copy of the library no longer fits, and cargo does not notice.
  rmSync(at('target/wasm'), { recursive: true, force: true })
}

// /usr/src/rustc-1.96.0/library of the compiler that is installed, or undefined.
function sources() {
  const version = versionOf(debian.rustc)
  const path = `/usr/src/rustc-${version}/library`
  return version && existsSync(path) ? path : undefined
}

export const apt = (...args) =>
  elevated('env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=300', '-q', ...args)

async function elevated(...command) {
  const [program, ...args] = isRoot() ? command : ['sudo', '-n', ...command]
  await must(program, args, { limitMs: 10 * 60_000, next })
}

const isRoot = () => process.getuid?.() === 0

// Unlike existsSync, true for a link that leads nowhere.
function linkExists(path) {
  try {
    return readlinkSync(path) !== ''
  } catch {
    return existsSync(path)
  }
}
