// How many tests a run passed and failed, read from what its runner printed: cargo test, node:test (TAP or spec) and the
// plain `N passed, N failed`. A run may hold several summaries; they are added.

const escapes = /\u001b\[[0-9;]*m/g

export function countTests(output) {
  const total = { passed: 0, failed: 0 }
  const add = (passed, failed) => {
    total.passed += Number(passed)
    total.failed += Number(failed)
  }
  for (const line of output.replace(escapes, '').split(/\r?\n/)) {
    const cargo = /^test result: \w+\. (\d+) passed; (\d+) failed;/.exec(line)
    if (cargo) add(cargo[1], cargo[2])
    const plain = /^(\d+) passed, (\d+) failed$/.exec(line)
    if (plain) add(plain[1], plain[2])
    const node = /^(?:#|ℹ) (pass|fail|cancelled) (\d+)$/.exec(line)
    if (node) add(node[1] === 'pass' ? node[2] : 0, node[1] === 'pass' ? 0 : node[2])
  }
  return total
}
