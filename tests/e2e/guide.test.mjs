// The programs of the guide's chapters "Knowledge", "A private mesh" and "Deciding together", one after another in one directory
// for each, as a reader would run them.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { relayBinary } from '../../scripts/lib/relay.mjs'
import { Program } from './lib/program.mjs'
import { Relay } from './lib/relay.mjs'

const guide = readFileSync(new URL('../../docs/guide.md', import.meta.url), 'utf8')
const chapters = guide.split(/^(?=## )/m)

function programsOf(title) {
  const chapter = chapters.find(chapter => chapter.startsWith(`## ${title}\n`)) ?? ''
  return [...chapter.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code)
}

// A directory with the package, what runs a program in it, and a relay for it; all gone after the test.
function startReader(t) {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-guide-')))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(fileURLToPath(new URL('../../bindings-ts', import.meta.url)), join(dir, 'node_modules', 'neural-mesh'), 'dir')
  const run = async (command, ...args) => {
    const program = Program.spawn(command, args, { cwd: dir })
    t.after(() => program.kill())
    let output = ''
    program.child.stdout.setEncoding('utf8').on('data', text => (output += text))
    assert.deepEqual(await program.exited, { code: 0, signal: null }, `${args}: ${program.stderr}`)
    return output.trimEnd().split('\n')
  }
  const example = (code, ...args) => {
    writeFileSync(join(dir, 'example.mjs'), code)
    return run(process.execPath, 'example.mjs', ...args)
  }
  const serve = async (...mesh) => {
    const rest = ['--key', 'lab.key', '--listen', '/ip4/127.0.0.1/tcp/0/ws', '--http', 'off', '--stun', 'off', '--no-mdns']
    const relay = await Relay.run([...mesh, ...rest], { dir })
    t.after(() => relay.end())
    return relay
  }
  return { run, example, serve }
}

test('the programs of "Knowledge" run', { timeout: 60_000 }, async t => {
  const { example, serve } = startReader(t)
  const [values, files] = programsOf('Knowledge')
  const { address } = await serve('--mesh', 'lab')
  const said = (await example(values, address)).join('\n')
  assert.match(said, /^bafkrei\w+ [2-4]\ndigits put true\n\{ accuracy: 0\.95 \} \{ model: 'mlp' \} .*\ndigits \d+\nnull$/)
  assert.match((await example(files, address)).join('\n'), /^docs bafy\w+\nweights\.bin bafy\w+\n(\d+\n)+3000000 \[ 'bafy\w+' \] 2\ntrue\ntrue \d+$/)
})

test('the programs of "A private mesh" run', { timeout: 60_000 }, async t => {
  const { example, serve } = startReader(t)
  const [found, remove, pass] = programsOf('A private mesh')
  const { address } = await serve('--mesh', 'lab')
  const said = (await example(found, address)).join('\n')
  assert.match(said, /^came in 12D3KooW\w+ member$/m)
  assert.match(said, /^bob@12D3KooW\w+ says hello$/m)
  assert.deepEqual(await example(remove, address), ['1 observer', 'over-quota', 'not-a-member', 'revoked', 'revoked', 'member'])
  assert.deepEqual(await example(pass, address), ['false voter true'])
})

test('the programs of "Deciding together" run', { timeout: 60_000 }, async t => {
  const { run, example, serve } = startReader(t)
  const [found, decide, noQuorum, lease] = programsOf('Deciding together')
  const [meshId] = await example(found)
  const relay = await serve('--charter', 'lab.charter')
  assert.equal((await example(decide, relay.address)).at(-1), 'approved 3 of 4')
  const verified = await run(relayBinary(), 'verify', 'decision.cbor', '--mesh-id', meshId)
  assert.match(verified[0], /approved/)
  assert.match((await example(lease, relay.address)).join('\n'), /^written 1\ntrue \d+\nwritten 2$/m)
  assert.match((await example(noQuorum, relay.address)).join('\n'), /^no-quorum [0-9a-f]{64}\n(approved|lapsed)$/)
})
