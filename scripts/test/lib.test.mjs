// What the scripts decide by: if a count or a comparison were wrong, a broken build would look like a good one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atLeast, packages } from '../lib/cargo-lock.mjs'
import { countTests, failures } from '../lib/counts.mjs'
import { parseToml } from '../lib/toml.mjs'
import { run } from '../lib/run.mjs'
import { runParts } from '../lib/parts.mjs'

test('TOML: what our files use', () => {
  const text = `
top = "a # no comment" # a comment
number = 2_500_000
yes = true
flags = ["-C", "x,y"]
[profiles.web]
list = [
  "a", # one
  "b",
]
[[package]]
name = "x"
[[package]]
name = "y"
`
  assert.deepEqual(parseToml(text), {
    top: 'a # no comment',
    number: 2500000,
    yes: true,
    flags: ['-C', 'x,y'],
    profiles: { web: { list: ['a', 'b'] } },
    package: [{ name: 'x' }, { name: 'y' }],
  })
})

test('TOML: what it cannot read is an error with its line', () => {
  for (const line of ['when = 2026-01-01', 'x = {a = 1}', '= 1', 'open = ["a"']) {
    assert.throws(() => parseToml(`a = 1\n${line}`), /^Error: line [23]: cannot read/)
  }
})

test('Cargo.lock: names and versions', () => {
  const text = '[[package]]\nname = "a"\nversion = "1.0.0"\ndependencies = [\n "b",\n "c 1.0.0",\n]\n'
  assert.deepEqual(packages(text), [{ name: 'a', version: '1.0.0', dependencies: ['b', 'c 1.0.0'] }])
})

test('versions compare by number', () => {
  assert.equal(atLeast('1.10.0', '1.9.9'), true)
  assert.equal(atLeast('0.14.1', '0.14.1'), true)
  assert.equal(atLeast('0.13.10', '0.14.1'), false)
  assert.equal(atLeast('0.11.15+build', '0.11.15'), true)
})

test('counts: cargo, node in TAP and spec, plain, coloured, added up', () => {
  assert.deepEqual(countTests('test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured\ntest result: FAILED. 3 passed; 2 failed; 0 ignored'), { passed: 15, failed: 2 })
  assert.deepEqual(countTests('# tests 3\n# pass 2\n# fail 1\n# cancelled 0\n'), { passed: 2, failed: 1 })
  assert.deepEqual(countTests('\u001b[34mℹ pass 4\u001b[39m\nℹ fail 0\nℹ cancelled 1'), { passed: 4, failed: 1 })
  assert.deepEqual(countTests('7 passed, 1 failed\n'), { passed: 7, failed: 1 })
  assert.deepEqual(countTests('I saw 7 passed, 1 failed'), { passed: 0, failed: 0 })
})

test('failures: names and reasons of cargo and node, and no more lines than asked for', () => {
  const cargo = [
    'test a ... ok', 'test b ... FAILED', '', 'failures:', '', '---- b stdout ----', "thread 'b' panicked at b.rs:1:2:", 'twice', '',
    'failures:', '    b', '', 'test result: FAILED. 1 passed; 1 failed; 0 ignored', 'later',
  ]
  assert.deepEqual(failures(cargo.join('\n')), ['---- b stdout ----', "thread 'b' panicked at b.rs:1:2:", 'twice'])
  const spec = ['✔ a (1ms)', '✖ b (2ms)', 'ℹ fail 1', '', '✖ failing tests:', '', 'test at b.mjs:1:1', '\u001b[31m✖ b (2ms)\u001b[39m', '  Error: late']
  assert.deepEqual(failures(spec.join('\n')), ['test at b.mjs:1:1', '✖ b (2ms)', '  Error: late'])
  const tap = ['ok 1 - a', 'not ok 2 - b', "  error: 'late'", 'ok 3 - c', '# tests 3']
  assert.deepEqual(failures(tap.join('\n')), ['not ok 2 - b', "  error: 'late'"])
  const many = failures(['failures:', ...Array(100).keys(), 'failures:'].join('\n'), 4)
  assert.deepEqual(many, ['0', '1', '[96 lines more]', '98', '99'])
  assert.deepEqual(failures('all is well\n'), [])
})

// The grandchild holds the output open: that run() returns at all shows that it was ended too.
test('run: a program past its limit is ended with all it started, and its output is kept', async () => {
  const script = `
    const { spawn } = require('node:child_process')
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
    console.log('started')
    setInterval(() => {}, 1000)
  `
  const result = await run(process.execPath, ['-e', script], { limitMs: 1500 })
  assert.equal(result.timedOut, true)
  assert.equal(result.output, 'started\n')
  assert.ok(result.ms < 10_000, `${result.ms} ms`)
})

test('run: a grandchild that keeps the output open does not hold it up', async () => {
  const script = `
    const { spawn } = require('node:child_process')
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' }).unref()
    process.exit(3)
  `
  const result = await run(process.execPath, ['-e', script], { limitMs: 30_000 })
  assert.equal(result.code, 3)
  assert.ok(result.ms < 10_000, `${result.ms} ms`)
})

test('a low one lets others go first', { skip: process.platform === 'win32' }, async () => {
  // It is lowered when it has begun, and ends when it is.
  const look = 'const look = () => os.getPriority() === os.constants.priority.PRIORITY_LOW || setImmediate(look); look()'
  const { code, timedOut } = await run(process.execPath, ['-e', look], { low: true, limitMs: 20_000 })
  assert.deepEqual({ code, timedOut }, { code: 0, timedOut: false })
})

test('parts: those beside run one after another next to the others, and the last waits for them', async () => {
  const events = []
  const gates = Object.fromEntries(['b', 'c'].map(name => [name, deferred()]))
  const part = (name, more = {}) => ({
    name,
    silent: true,
    async run() {
      events.push(name)
      if (name === 'd') gates.b.resolve()
      await gates[name]?.promise
      events.push(`${name}.`)
      return { passed: 1, failed: name === 'c' ? 1 : 0, output: '' }
    },
    ...more,
  })
  gates.c.resolve()
  const sum = await runParts([part('a'), part('b', { beside: true }), part('c', { beside: true }), part('d'), part('e', { last: true })])
  assert.deepEqual(sum, { passed: 5, failed: 1, skipped: 0 })
  assert.deepEqual(events.filter(name => 'ade'.includes(name[0])), ['a', 'a.', 'd', 'd.', 'e', 'e.'])
  assert.deepEqual(events.filter(name => 'bce'.includes(name[0])), ['b', 'b.', 'c', 'c.', 'e', 'e.'])
  // b cannot end before d has begun.
  assert.ok(events.indexOf('d') < events.indexOf('b.'))
})

function deferred() {
  let resolve
  const promise = new Promise(done => (resolve = done))
  return { promise, resolve }
}
