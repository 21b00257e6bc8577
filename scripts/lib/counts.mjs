// How many tests a run passed and failed, and which failed, read from what its runner printed: cargo test, node:test (TAP or
// spec) and the plain `N passed, N failed`. A run may hold several summaries; they are added.

const escapes = /\u001b\[[0-9;]*m/g
const plain = output => output.replace(escapes, '').split(/\r?\n/)

export function countTests(output) {
  const total = { passed: 0, failed: 0 }
  const add = (passed, failed) => {
    total.passed += Number(passed)
    total.failed += Number(failed)
  }
  for (const line of plain(output)) {
    const cargo = /^test result: \w+\. (\d+) passed; (\d+) failed;/.exec(line)
    if (cargo) add(cargo[1], cargo[2])
    const said = /^(\d+) passed, (\d+) failed$/.exec(line)
    if (said) add(said[1], said[2])
    const node = /^(?:#|ℹ) (pass|fail|cancelled) (\d+)$/.exec(line)
    if (node) add(node[1] === 'pass' ? node[2] : 0, node[1] === 'pass' ? 0 : node[2])
  }
  return total
}

// What the runners say of the tests that failed, without the rest of their output: cargo's `failures:`, node's failing tests.
// Of more lines than `most`, the first and the last.
export function failures(output, most = 40) {
  const lines = plain(output)
  const said = []
  let within
  for (const line of lines) {
    if (line === 'failures:') within = within === 'cargo' ? undefined : 'cargo'
    else if (/^(✖ failing tests:|not ok \d+)/.test(line)) within = 'node'
    else if (/^(test result: |# tests |ok \d+)/.test(line)) within = undefined
    if (within) said.push(line)
  }
  const shown = said.filter(line => line.trim() && line !== 'failures:' && line !== '✖ failing tests:')
  const cut = shown.length - most
  return cut > 0 ? [...shown.slice(0, most / 2), `[${cut} lines more]`, ...shown.slice(-most / 2)] : shown
}
