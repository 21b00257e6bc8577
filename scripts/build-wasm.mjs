// Builds the wasm core, the simulator and their JavaScript glue, by the settings in wasm-pack.toml:
//   node scripts/build-wasm.mjs [--profile web|dev]
// For each: cargo -> one .wasm, wasm-bindgen -> bindings-ts/src/generated. Skipped when the sources, the settings, the
// compiler and the output are those of the last build.

import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isFresh, stamp } from './lib/fresh.mjs'
import { withLock } from './lib/lock.mjs'
import { at, root } from './lib/paths.mjs'
import { Stop, busy, main, ok, seconds } from './lib/print.mjs'
import { ask, must, progress } from './lib/run.mjs'
import { bindgenCli, bindgenVersion, wasmTarget, wasmToolchain } from './lib/toolchain.mjs'
import { parseToml } from './lib/toml.mjs'

export const settings = () => parseToml(readFileSync(at('wasm-pack.toml'), 'utf8'))

// Everything that is compiled to wasm, each with settings of its own. One after the other: what two crates ask of a third
// one would else be in both.
export function artifacts() {
  const { simulator, ...config } = settings()
  return [{ ...config, stamp: 'wasm' }, { ...config, ...simulator, stamp: 'wasm-sim' }]
}

export async function buildWasm(profileName) {
  for (const artifact of artifacts()) await buildArtifact(artifact, profileName)
}

async function buildArtifact(config, profileName) {
  const name = profileName ?? config['default-profile']
  const profile = config.profiles[name]
  if (!profile) throw new Stop(`wasm-pack.toml has no profile ${name}`, `one of: ${Object.keys(config.profiles).join(', ')}`)
  const toolchain = wasmToolchain()
  const bindgen = bindgenCli()
  if (!toolchain || !bindgen) throw new Stop('the wasm tools are not set up', 'npm run setup')

  const inputs = {
    paths: [...crateFolders(config.crate), ...(config.sources ?? []).map(path => at(path)), at('Cargo.toml'), at('Cargo.lock'), at('wasm-pack.toml')],
    extra: [name, toolchain.version, toolchain.libdir, bindgenVersion()],
  }
  const outputs = ['.js', '.d.ts', '_bg.wasm', '_bg.wasm.d.ts'].map(end => at(config['out-dir'], config['out-name'] + end))
  if (isFresh(config.stamp, inputs, outputs)) return ok(`${config.stamp}: up to date`)
  busy(`${config.stamp}: compiling ${config.crate}, profile ${name} (3 min the first time)`)
  const began = Date.now()
  await compile(config, profile, toolchain)
  await bind(config, profile, bindgen)
  stamp(config.stamp, inputs, outputs)
  ok(`${config.stamp}: built (${seconds(Date.now() - began)})`)
}

// The cargo call that builds, checks or lints the wasm crate: what CI does must share this build's target directory.
export function cargoForWasm(config, profile, toolchain, rustflags = []) {
  const args = ['-p', config.crate, '--target', wasmTarget, '--target-dir', at(config['target-dir']), ...locked()]
  const env = {
    ...toolchain.env,
    RUSTFLAGS: undefined,
    CARGO_ENCODED_RUSTFLAGS: [...profile.rustflags, ...remap(), ...rustflags].join('\u001f'),
  }
  return { args, env }
}

async function compile(config, profile, toolchain) {
  const { args, env } = cargoForWasm(config, profile, toolchain)
  await must(toolchain.cargo, ['build', ...args, '--profile', profile['cargo-profile']], {
    what: `the wasm build of ${config.crate}`,
    env,
    limitMs: 40 * 60_000,
    output: progress,
  })
}

async function bind(config, profile, bindgen) {
  const folder = profile['cargo-profile'] === 'dev' ? 'debug' : profile['cargo-profile']
  const wasm = at(config['target-dir'], wasmTarget, folder, `${config.crate.replaceAll('-', '_')}.wasm`)
  const out = ['--target', config['bindgen-target'], '--out-dir', at(config['out-dir']), '--out-name', config['out-name']]
  await must(bindgen, [...out, ...profile['bindgen-flags'], wasm], { limitMs: 5 * 60_000 })
}

// Whoever builds in CI builds exactly what Cargo.lock says.
export const locked = () => (process.env.CI ? ['--locked'] : [])

// Panic messages name files; they should not name the machine that built them.
function remap() {
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src')
  return [`--remap-path-prefix=${registry}=crates`, `--remap-path-prefix=${root}=neural-mesh`]
}

// The folders of a crate and of the crates of this workspace that it is built from.
function crateFolders(crate) {
  const metadata = ask('cargo', ['metadata', '--no-deps', '--offline', '--format-version', '1'])
  if (!metadata) throw new Stop('cargo metadata failed', 'cargo metadata --no-deps, and see what it says')
  const byName = new Map(JSON.parse(metadata).packages.map(p => [p.name, p]))
  const found = new Map()
  const visit = name => {
    const member = byName.get(name)
    if (!member || found.has(name)) return
    found.set(name, dirname(member.manifest_path))
    member.dependencies.filter(d => d.path && d.kind !== 'dev').forEach(d => visit(d.name))
  }
  visit(crate)
  if (found.size === 0) throw new Stop(`there is no crate ${crate} in this workspace`, 'see `crate` in wasm-pack.toml')
  return [...found.values()].sort()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flag = process.argv.indexOf('--profile')
  main(() => withLock(() => buildWasm(flag === -1 ? undefined : process.argv[flag + 1])))
}
