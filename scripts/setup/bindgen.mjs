// Step: the wasm-bindgen command line, of the very version that Cargo.lock has of the crate.

import { must, progress } from '../lib/run.mjs'
import { bindgenCli, bindgenVersion } from '../lib/toolchain.mjs'

export const bindgenStep = {
  name: 'wasm-bindgen',
  done() {
    const version = bindgenVersion()
    return bindgenCli(version) && version
  },
  how: () => `cargo install wasm-bindgen-cli ${bindgenVersion()} into .tools/ (1 to 3 min)`,
  async act() {
    const version = bindgenVersion()
    await must('cargo', ['install', 'wasm-bindgen-cli', '--version', version, '--locked', '--root', '.tools'], {
      // It runs for seconds: half of the time to optimise it is never won back.
      env: { CARGO_PROFILE_RELEASE_OPT_LEVEL: '1' },
      limitMs: 20 * 60_000,
      output: progress,
      next: `cargo install wasm-bindgen-cli --version ${version} --locked; any copy of that version on the PATH will do`,
    })
  },
}
