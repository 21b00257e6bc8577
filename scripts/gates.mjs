// Checks of the source that no compiler makes, each stopping one decay: `node scripts/gates.mjs`. Each check is a pure
// function of text, and is run against a planted bad text too: a check that cannot fail is none.

import { readFileSync } from 'node:fs'
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { atLeast, lockText, packages } from './lib/cargo-lock.mjs'
import { files } from './lib/fresh.mjs'
import { at, root } from './lib/paths.mjs'
import { failed, main, note, ok } from './lib/print.mjs'
import { ask } from './lib/run.mjs'

// Lower bounds of what Cargo.lock may hold: what is below carries known remote crashes (docs/adr/0001).
const floors = {
  'libp2p-gossipsub': '0.50.1', // GHSA-vrx6-jcp8-vm7m
  yamux: '0.14.1', // CVE-2026-31814, CVE-2026-32314
  'quinn-proto': '0.11.15',
}

// Yanked, unmaintained, or a second runtime.
const banned = ['core2', 'async-std', 'instant', 'libp2p-websocket-websys', 'quick-protobuf', 'openssl-sys']

const impure = /^(tokio|async-std|libp2p.*|web-sys|js-sys|wasm-bindgen.*|gloo-.*|futures-timer|mio|socket2)$/

// Where a line of ours may ask which target it is compiled for.
const mayAskTarget = ['crates/platform/', 'crates/net/src/transport.rs', 'crates/webrtc/']
const wholeCrate = { 'crates/wasm/src/lib.rs': '#![cfg(target_arch = "wasm32")]' } // the crate is empty elsewhere

// Each returns its complaints, one a line.
const checks = {
  'Cargo.lock: floors': {
    test: text => packages(text).filter(p => floors[p.name] && !atLeast(p.version, floors[p.name])).map(p => `${p.name} ${p.version} is below ${floors[p.name]}`),
    real: lockText,
    planted: '[[package]]\nname = "yamux"\nversion = "0.13.9"\n\n[[package]]\nname = "libp2p-gossipsub"\nversion = "0.50.1"\n',
  },
  'Cargo.lock: one version of each libp2p crate': {
    test: text => repeated(packages(text).map(p => p.name).filter(name => /^libp2p(-|$)/.test(name))).map(name => `${name} is there twice`),
    real: lockText,
    planted: '[[package]]\nname = "libp2p-core"\nversion = "0.43.0"\n\n[[package]]\nname = "libp2p-core"\nversion = "0.44.0"\n',
  },
  'Cargo.lock: nothing banned': {
    test: text => packages(text).filter(p => banned.includes(p.name)).map(p => `${p.name} ${p.version} is banned`),
    real: lockText,
    planted: '[[package]]\nname = "core2"\nversion = "0.4.0"\n',
  },
  'mesh-core: no IO, no runtime, no browser': isPure('mesh-core'),
  'mesh-consensus: no IO, no runtime, no browser': isPure('mesh-consensus'),
  'Rust: the target is asked in few places': {
    test: askedTarget,
    real: rustSources,
    planted: '//// crates/core/src/node.rs\n#[cfg(not(target_arch = "wasm32"))]\nuse std::fs;\n',
  },
}

// Runs every check on the planted text and on the real one: { passed, failed, lines }.
export function gates() {
  const result = { passed: 0, failed: 0, lines: [] }
  const count = (good, line, complaints = []) => {
    result[good ? 'passed' : 'failed']++
    if (!good) result.lines.push(line, ...complaints.map(c => `    ${c}`))
  }
  for (const [name, { test, real, planted }] of Object.entries(checks)) {
    count(test(planted).length > 0, `${name}: did not notice what was planted`)
    const complaints = test(real())
    count(complaints.length === 0, name, complaints)
  }
  return result
}

function isPure(crate) {
  return {
    test: text => text.split('\n').map(line => line.split(' ')[0]).filter(name => impure.test(name)).map(name => `${crate} depends on ${name}`),
    real: () => tree(crate),
    planted: `${crate} v0.1.0\ntokio v1.0.0\n`,
  }
}

function askedTarget(text) {
  let file = ''
  const complaints = []
  for (const line of text.split('\n')) {
    if (line.startsWith('//// ')) file = line.slice(5)
    const code = line.trim()
    if (code.startsWith('//') || !/\btarget_(arch|os|family|env|vendor|abi|endian|feature|pointer_width)\b/.test(code)) continue
    if (mayAskTarget.some(path => file.startsWith(path)) || code === wholeCrate[file]) continue
    complaints.push(`${file}: ${code}`)
  }
  return complaints
}

// All our Rust files as one text, each after a line with its name.
function rustSources() {
  const ours = files(at('crates')).filter(path => path.endsWith('.rs'))
  return ours.map(path => `//// ${relative(root, path).split(sep).join('/')}\n${readFileSync(path, 'utf8')}`).join('\n')
}

function tree(crate) {
  const text = ask('cargo', ['tree', '-p', crate, '-e', 'normal', '--prefix', 'none', '--target', 'all'])
  return text ?? `tokio (cargo tree -p ${crate} failed)`
}

const repeated = names => [...new Set(names.filter((name, i) => names.indexOf(name) !== i))]

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(async () => {
    const result = gates()
    result.lines.forEach(note)
    const line = `gates: ${result.passed} passed, ${result.failed} failed`
    if (result.failed > 0) failed(line)
    else ok(line)
    return result.failed > 0 ? 1 : 0
  })
}
