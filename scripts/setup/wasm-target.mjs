// Step: a compiler that can build for wasm32-unknown-unknown. With rustup this is one download. Where rustup is absent or
// cannot download, Debian's packages bring a second compiler, and the standard library for wasm, which they do not ship,
// is built once from their sources.

import { existsSync } from 'node:fs'
import { run } from '../lib/run.mjs'
import { Stop, note } from '../lib/print.mjs'
import { hasRustup, wasmTarget, wasmToolchain } from '../lib/toolchain.mjs'
import { canInstallDebian, installDebian } from './debian.mjs'

export const wasmTargetStep = {
  name: 'wasm32 target',
  done() {
    const toolchain = wasmToolchain()
    return toolchain && `${toolchain.name} rustc ${toolchain.version}`
  },
  how: () => (hasRustup() ? `rustup target add ${wasmTarget}` : 'no rustup here, so from the distribution'),
  async act() {
    const why = await byRustup()
    if (why === undefined) return
    if (hasRustup()) note(why)
    if (!canInstallDebian()) throw new Stop(`no compiler here can build for ${wasmTarget}`, nextThing())
    await installDebian()
  },
}

// undefined when it worked, else why not. Without a network rustup may retry for minutes: it gets one.
async function byRustup() {
  if (!hasRustup()) return 'rustup is not installed'
  const { code, timedOut, output } = await run('rustup', ['target', 'add', wasmTarget], { limitMs: 60_000 })
  if (code === 0 && wasmToolchain()) return undefined
  if (timedOut) return 'rustup did not finish within 60 s'
  const lines = output.trim().split('\n')
  return `rustup could not: ${lines.find(line => line.startsWith('error:')) ?? lines.at(-1)}`
}

function nextThing() {
  if (hasRustup()) return `rustup target add ${wasmTarget} (it needs the network), then run this again`
  if (existsSync('/etc/debian_version')) return 'run this once as root, or install rustup from https://rustup.rs'
  return (
    'install rustup from https://rustup.rs, or your distribution\'s package of the wasm standard library ' +
    '(Fedora: rust-std-static-wasm32-unknown-unknown, Arch and Alpine: rust-wasm)'
  )
}
