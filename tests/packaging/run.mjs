// The package as its users get it: packed, inspected, installed from the tarball into a project outside this repository,
// type-checked there, and used there by two processes that meet through a real relay. What browsers do with it is in
// pages.mjs. Run by `npm test -- packaging`, after the builds.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { at } from '../../scripts/lib/paths.mjs'
import { relayBinary } from '../../scripts/lib/relay.mjs'
import { consume, pack, tsc } from './lib/pack.mjs'
import { checkTarball } from './tarball.mjs'

const MAX_TARBALL = 6 * 1024 * 1024 // bytes
const running = []
let scratch, tarball, consumer

before(async () => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-packaging-')))
  tarball = await pack(scratch)
  consumer = await consume('node-esm', tarball, scratch)
})

after(() => {
  running.forEach(child => child.kill('SIGKILL'))
  rmSync(scratch, { recursive: true, force: true })
})

test('the tarball is at most 6 MiB', () => {
  assert.ok(statSync(tarball).size <= MAX_TARBALL, `${statSync(tarball).size} bytes`)
})

test('the tarball holds what its package.json promises, and nothing else', () => {
  const { pkg, files } = installed()
  assert.deepEqual(checkTarball(pkg, files), [])
})

test('the check of the tarball notices what is wrong', () => {
  const { pkg, files } = installed()
  const broken = new Map(files)
  broken.set('copy.wasm', Buffer.alloc(8))
  broken.set('dist/extra.js', Buffer.from("import './absent.js'\nimport { x } from 'undeclared'\n"))
  broken.delete(pkg.types.replace(/^\.\//, ''))
  const complaints = checkTarball(pkg, broken).join('\n')
  for (const expected of ['copy.wasm is not in "files"', 'the core and the simulator should be there once', './absent.js', 'undeclared', 'types:']) {
    assert.ok(complaints.includes(expected), `${expected} is missing in\n${complaints}`)
  }
})

test('the package depends on nothing of this repository', () => {
  assert.ok(realpathSync(join(consumer, 'node_modules/neural-mesh')).startsWith(scratch + sep))
})

test('a TypeScript project type-checks against it, by the rules of Node.js', async () => {
  // Node's types are the test's own, not the package's.
  mkdirSync(join(consumer, 'node_modules/@types'), { recursive: true })
  for (const name of ['@types/node', 'undici-types']) {
    const target = join(consumer, 'node_modules', name)
    rmSync(target, { recursive: true, force: true })
    symlinkSync(at('node_modules', name), target)
  }
  for (const rules of ['nodenext', 'node16']) {
    await tsc(consumer, '--project', '.', '--preserveSymlinks', '--module', rules, '--moduleResolution', rules)
  }
})

test('a mesh is simulated', { timeout: 60_000 }, async () => {
  const sim = start(consumer, process.execPath, ['simulate.mjs'])
  assert.deepEqual(JSON.parse(await sim.line()), { payload: 'hello', trace: 16 })
  assert.equal(await sim.exit, 0, 'a simulation leaves nothing that keeps the process alive')
})

test('two processes exchange a message through a relay', { timeout: 120_000 }, async () => {
  const relay = await startRelay()
  const bob = start(consumer, process.execPath, ['receive.mjs', relay])
  assert.equal(await bob.line(), 'ready')
  const ada = start(consumer, process.execPath, ['send.mjs', relay, 'hello from the tarball'])
  const sent = JSON.parse(await ada.line())
  const received = JSON.parse(await bob.line())
  assert.deepEqual(received.payload, { text: 'hello from the tarball' })
  assert.ok(received.from.endsWith(sent.ada), `${received.from} is not ${sent.ada}`)
  assert.deepEqual(JSON.parse(await ada.line()), { code: 'unknown-agent' })
  assert.equal(await ada.exit, 0)
  assert.equal(await bob.exit, 0, 'close() leaves nothing that keeps the process alive')
})

// The package.json and the files of the package as installed, that is: as unpacked.
function installed() {
  const folder = join(consumer, 'node_modules/neural-mesh')
  const walk = path =>
    readdirSync(path, { withFileTypes: true }).flatMap(e => (e.isDirectory() ? walk(join(path, e.name)) : [join(path, e.name)]))
  const files = new Map(walk(folder).map(path => [relative(folder, path).split(sep).join('/'), readFileSync(path)]))
  return { pkg: JSON.parse(files.get('package.json')), files }
}

async function startRelay() {
  const args = ['--json', '--mesh', 'packaging', '--key', join(scratch, 'relay.key'), '--no-mdns', '--stun', 'off']
  const relay = start(scratch, relayBinary(), [...args, '--listen', '/ip4/127.0.0.1/tcp/0/ws', '--http', '127.0.0.1:0'])
  let address
  for (;;) {
    const event = JSON.parse(await relay.line())
    if (event.event === 'listening' && event.address.startsWith('/ip4/127.0.0.1/')) address = event.address
    if (event.event === 'ready') return address
  }
}

// A program with its output line by line; its errors are part of the message when it ends early.
function start(cwd, command, args) {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  let errors = ''
  child.stderr.on('data', chunk => (errors = (errors + chunk).slice(-4000)))
  const exit = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code))
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`${command} ${args[0]} ended with code ${await exit}: ${errors}`)
    return value
  }
  return { line, exit }
}
