// The parts of a test run. A part is { name, run(): Promise<{ passed, failed, output, why?, skipped? }> }; `why` says in a
// word what went wrong beside failed tests, `skipped` in a line why this machine cannot run them and what to do. One part
// after another: the machine may have two cores, and tests with peers have limits. Parts that only compute are `beside`: they
// run one after another too, but next to the others and at low priority, on what those leave of the processors while they
// wait for each other. A part that is `last` waits for them.

import { countTests, failures } from './counts.mjs'
import { Stop, busy, failed, note, ok, seconds, tail } from './print.mjs'
import { run } from './run.mjs'

// A program whose output is counted. It fails too when it ends with an error, takes too long, or ran no test. Lines that
// match `shows` are printed even if all is well.
export function tests(name, command, args, { minutes, env, shows, low } = {}) {
  return {
    name,
    async run() {
      const result = await run(command, args, { env, limitMs: minutes * 60_000, low })
      const counts = countTests(result.output)
      const why = mishap(result, counts)
      if (why && counts.failed === 0) counts.failed = 1
      const shown = shows ? result.output.split('\n').filter(line => shows.test(line)).join('\n') : ''
      return { ...counts, output: result.output, shown, why }
    },
  }
}

// A part that is skipped when `whyNot` gives a reason.
export function where(whyNot, part) {
  return {
    ...part,
    async run() {
      const skipped = whyNot()
      return skipped ? { passed: 0, failed: 0, output: '', skipped } : part.run()
    },
  }
}

// A program that passes or fails as one.
export function gate(name, command, args, { minutes = 5, env, alsoFailsOn, low } = {}) {
  return check(name, async () => {
    const result = await run(command, args, { env, limitMs: minutes * 60_000, low })
    const why = exitMishap(result) ?? (alsoFailsOn?.test(result.output) ? 'it printed warnings' : undefined)
    return { output: result.output, why }
  })
}

// A function that passes or fails as one: it returns { output, why } or throws.
export function check(name, body) {
  return {
    name,
    async run() {
      const { output = '', why } = (await body()) ?? {}
      return { passed: why ? 0 : 1, failed: why ? 1 : 0, output, why }
    },
  }
}

// A step that the parts after it need. It speaks for itself, and only its failure counts.
export function build(name, body) {
  return {
    name: `build of ${name}`,
    silent: true,
    async run() {
      await body()
      return { passed: 0, failed: 0, output: '' }
    },
  }
}

// Runs them all, whatever fails, and prints what failed: in full when the part is over, and its tests once more at the end,
// for who sees only the end of a long log. Resolves to the sums, and how many parts were skipped.
export async function runParts(parts) {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  const recalled = []
  const one = async part => {
    const began = Date.now()
    if (!part.silent) busy(part.beside ? `${part.name}, beside the others` : part.name)
    const result = await part.run().catch(asFailure)
    sum.passed += result.passed
    sum.failed += result.failed
    if (result.skipped) sum.skipped++
    const ms = Date.now() - began
    if (!part.silent || result.failed > 0) print(part.name, result, ms)
    if (result.failed > 0) recalled.push([part.name, { ...result, output: failures(result.output).join('\n') }, ms])
  }
  let beside = Promise.resolve()
  for (const part of parts) {
    if (part.last) await beside
    if (part.beside) beside = beside.then(() => one(part))
    else await one(part)
  }
  await beside
  if (recalled.length > 0) console.log('\nwhat failed:')
  for (const failure of recalled) print(...failure)
  return sum
}

function print(name, { passed, failed: bad, output, shown, why, skipped }, ms) {
  if (skipped) return note(`${name} skipped: ${skipped}`)
  const line = `${name.padEnd(22)} ${`${passed} passed, ${bad} failed`.padEnd(26)} ${seconds(ms)}`
  if (bad === 0 && shown) console.log(shown)
  if (bad === 0) return ok(line)
  if (output.trim()) console.log(tail(output, 600))
  failed(line)
  if (why) note(why)
}

function asFailure(error) {
  const known = error instanceof Stop
  const next = known && error.next ? `; next: ${error.next}` : ''
  return { passed: 0, failed: 1, output: known ? error.output : '', why: known ? error.message + next : error.stack }
}

const mishap = (result, { passed, failed }) => exitMishap(result) ?? (passed + failed === 0 ? 'it ran no test' : undefined)

function exitMishap({ code, timedOut, ms }) {
  if (timedOut) return `it was ended after ${seconds(ms)}`
  return code === 0 ? undefined : `exit code ${code}`
}
