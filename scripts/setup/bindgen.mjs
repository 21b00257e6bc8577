// Step: the wasm-bindgen command line, of the very version that Cargo.lock has of the crate.

import { must, progress } from '../lib/run.mjs'
import { bindgenCli, bindgenVersion } from '../lib/toolchain.mjs'

export const bindgenStep = {
  name: 'wasm-bindgen',
  done() {
    const version = bindgenVersion()
    return bindgenCli(version) && version
  },
  how: () => `cargo install wasm-bindgen-cli ${bindgenVersion()} into .tools/ (about 2 min)`,
  async act() {
    const version = bindgenVersion()
    await must('cargo', ['install', 'wasm-bindgen-cli', '--version', version, '--locked', '--root', '.tools'], {
      limitMs: 20 * 60_000,
      output: progress,
      next: `cargo install wasm-bindgen-cli --version ${version} --locked; any copy of that version on the PATH will do`,
    })
  },
}
