// Step: Node.js and Rust are there and new enough, and so is the C compiler that Rust links with.

import { atLeast } from '../lib/cargo-lock.mjs'
import { Stop } from '../lib/print.mjs'
import { ask } from '../lib/run.mjs'
import { minimumNode, minimumRust, versionOf } from '../lib/toolchain.mjs'

export const versionsStep = {
  name: 'tools',
  done() {
    const node = process.versions.node
    if (!atLeast(node, minimumNode)) {
      throw new Stop(`Node.js ${node} is too old: ${minimumNode} or newer is needed`, 'install a current Node.js from https://nodejs.org')
    }
    const [cargo, rustc] = [rust('cargo'), rust('rustc')]
    if (process.platform !== 'win32' && ask('cc', ['--version']) === undefined) {
      throw new Stop('there is no C compiler `cc`, which Rust links with', 'apt-get install build-essential, or xcode-select --install on macOS')
    }
    return `node ${node}, cargo ${cargo}, rustc ${rustc}`
  },
  how: () => '',
  async act() {},
}

function rust(program) {
  const version = versionOf(program)
  const install = 'install Rust from https://rustup.rs and open a new terminal'
  if (!version) throw new Stop(`${program} is not on the PATH`, install)
  if (!atLeast(version, minimumRust)) {
    throw new Stop(`${program} ${version} is too old: ${minimumRust} or newer is needed`, `rustup update stable; without rustup: ${install}`)
  }
  return version
}
