// The package as browsers get it: from the tarball through each bundler, or through none, into pages and workers that a
// real Chromium opens under a content security policy. Each of them meets an agent in Node.js: see bundlers/meet.js.
// Run by `npm test -- packaging`, after the builds.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { launch } from '../browser/lib/chromium.mjs'
import { Watch } from '../browser/lib/watch.mjs'
import { startMesh, until } from '../e2e/lib/mesh.mjs'
import { startVite } from './lib/dev-server.mjs'
import { consume, node, pack, tsc } from './lib/pack.mjs'
import { strangersIn } from './lib/scripts.mjs'
import { policy, serve } from './lib/site.mjs'

const LIMIT = { timeout: 60_000 }
const ends = []
let project, mesh, browser, echo

before(async () => {
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-pages-')))
  ends.push(() => rmSync(scratch, { recursive: true, force: true }))
  project = await consume('bundlers', await pack(scratch), scratch, { tools: true })
  mesh = await startMesh({ after: end => ends.push(end) }, { mesh: 'packaging' })
  echo = await mesh.agent({ id: 'echo', capabilities: ['echo'] }, { webrtc: true, listen: false })
  await echo.run(({ mesh }) => {
    // Whoever has the answer closes at once, which may be before we know that it arrived.
    mesh.on('message', ({ from, payload }) => void mesh.send(from, { echo: payload }).catch(() => {}))
  })
  browser = await launch()
  ends.push(() => browser.close())
})

after(async () => {
  for (const end of ends.reverse()) await end()
})

test('Vite: a page', LIMIT, async t => {
  await node(project, ['node_modules/vite/bin/vite.js', 'build', '--config', 'vite/vite.config.js'])
  await meetsDirectly(await site(t, 'vite/dist'), '/vite/index.html')
})

test('Vite: a module worker, which has no WebRTC', LIMIT, async t => {
  await meetsThroughRelay(await site(t, 'vite/dist'), '/vite/worker.html')
})

test('Vite: the development server', LIMIT, async t => {
  const server = await startVite(project, 'vite')
  t.after(() => server.close())
  await meetsDirectly(server, '/vite/index.html')
})

test('Vite 7: the development server', LIMIT, async t => {
  const server = await startVite(project, 'vite7', '--config', 'vite/vite7.config.js')
  t.after(() => server.close())
  await meetsDirectly(server, '/vite/index.html')
})

test('webpack: a page', LIMIT, async t => {
  await node(project, ['webpack/build.js'])
  await meetsDirectly(await site(t), '/webpack/index.html')
})

test('esbuild: a page', LIMIT, async t => {
  await node(project, ['esbuild/build.js'])
  await meetsDirectly(await site(t), '/esbuild/index.html')
})

test('esbuild: a classic worker, which has no WebRTC', LIMIT, async t => {
  await meetsThroughRelay(await site(t), '/esbuild/worker.html')
})

test('no bundler: a page with an import map', LIMIT, async t => {
  await meetsDirectly(await siteWithMap(t, 'plain/index.html'), '/plain/index.html')
})

test('a simulation in a page: by Vite, and without a bundler, as in Node.js', LIMIT, async t => {
  const { createSimMesh } = await import(pathToFileURL(join(project, 'node_modules/neural-mesh/dist/testing/node.js')).href)
  const { simulate } = await import(pathToFileURL(join(project, 'simulate.js')).href)
  const expected = await simulate(createSimMesh)
  assert.equal(expected.payload, 'hello')
  const pages = [[await site(t, 'vite/dist'), '/vite/simulate.html'], [await siteWithMap(t, 'plain/simulate.html'), '/plain/simulate.html']]
  for (const [server, path] of pages) {
    const { tab, watch } = await open(server, path)
    assert.deepEqual(await tab.evaluate(() => globalThis.simulate()), expected)
    assert.deepEqual([...watch.complaints, ...server.violations], [])
    assert.deepEqual(watch.requests.filter(url => url.includes('mesh_wasm') && url.endsWith('.wasm')), [], 'the core is not loaded')
    await tab.context().close()
  }
})

test('a policy without wasm-unsafe-eval is named in the error', LIMIT, async t => {
  const server = await site(t, '.', policy({ wasm: false }))
  const { meet } = await open(server, '/esbuild/index.html')
  await assert.rejects(meet(), /the wasm core could not be loaded from .*\.wasm: .*Content Security Policy/)
  await until(() => server.violations.some(report => report.includes('wasm-eval')), { what: 'the violation is reported' })
})

test('bundles hold nothing of Node.js', () => {
  const bundles = ['vite/dist/assets', 'webpack/dist', 'esbuild/dist'].flatMap(folder =>
    readdirSync(join(project, folder)).filter(name => name.endsWith('.js')).map(name => join(folder, name)),
  )
  const big = bundles.filter(name => statSync(join(project, name)).size > 50_000)
  assert.equal(big.length, 5, `those with the package, of ${bundles}`)
  assert.deepEqual(bundles.flatMap(name => strangersIn(name, readFileSync(join(project, name), 'utf8'))), [])
})

test('the check of bundles notices what Node.js gets', () => {
  const folder = join(project, 'node_modules/neural-mesh/dist/platform')
  const names = readdirSync(folder).filter(name => /\bnode\.js$/.test(name))
  const complaints = strangersIn('all', names.map(name => readFileSync(join(folder, name), 'utf8')).join('')).join('\n')
  for (const expected of ['a built-in module', 'the package ws', 'node-datachannel']) assert.ok(complaints.includes(expected), complaints)
  assert.equal(strangersIn('x.js', 'var e=require("events")').length, 2)
})

test('browsers get two packages, and nothing that is for Node.js', async () => {
  const { files } = await bundled("export * from 'neural-mesh'")
  const parts = files.map(name => /node_modules\/([^/]+)/.exec(name)?.[1])
  assert.deepEqual(new Set(parts.filter(Boolean)), new Set(['neural-mesh', 'cborg']))
  assert.deepEqual(files.filter(name => /\bnode\.js$/.test(name)), [])
})

test('what a page does not use stays out of its bundle', async () => {
  const { size } = await bundled("export { MeshError } from 'neural-mesh'")
  assert.ok(size < 10_000, `${size} bytes for MeshError alone`)
})

test('TypeScript projects type-check against it, by the rules of bundlers', async () => {
  await tsc(project, '--project', 'vite')
})

// What esbuild makes of `code`: { files (those that went in), size (in bytes, minified) }.
async function bundled(code) {
  const { build } = createRequire(join(project, 'package.json'))('esbuild')
  const { metafile, outputFiles } = await build({
    stdin: { contents: code, resolveDir: project },
    absWorkingDir: project,
    bundle: true,
    minify: true,
    format: 'esm',
    metafile: true,
    write: false,
  })
  return { files: Object.keys(metafile.inputs), size: outputFiles[0].contents.length }
}

// A server of that folder of the project, for as long as the test runs.
async function site(t, folder = '.', csp = policy()) {
  const server = await serve(join(project, folder), csp)
  t.after(() => server.close())
  return server
}

// A server of the whole project, which lets the import map of that page through.
async function siteWithMap(t, page) {
  const [, map] = /<script type="importmap">([\s\S]*?)<\/script>/.exec(readFileSync(join(project, page), 'utf8'))
  const hash = createHash('sha256').update(map).digest('base64')
  return site(t, '.', policy({ scripts: [`'sha256-${hash}'`] }))
}

async function meetsDirectly(server, path) {
  const link = await meets(server, path)
  assert.equal(link.relayed, false, link.reason)
}

async function meetsThroughRelay(server, path) {
  const { relayed, reason } = await meets(server, path)
  assert.deepEqual({ relayed, reason }, { relayed: true, reason: 'no-webrtc-here' })
}

// The page meets the echo, without any complaint and without asking anybody but its own server and the relay. Resolves to
// the connection between the two.
async function meets({ origin, violations = [] }, path) {
  const { tab, watch, meet } = await open({ origin }, path)
  const { link, replies } = await meet()
  await tab.context().close()
  assert.deepEqual(replies, [{ echo: 'hello' }, { echo: { relayed: link.relayed } }])
  assert.deepEqual([...watch.complaints, ...violations], [])
  const known = [origin, origin.replace('http', 'ws'), `ws://127.0.0.1:${mesh.relay.port}`, 'data:']
  assert.deepEqual(watch.requests.filter(url => !known.some(start => url.startsWith(start))), [])
  return link
}

// The page in a tab. Its meet() is the page's own.
async function open({ origin }, path) {
  const context = await browser.newContext()
  const tab = await context.newPage()
  const watch = new Watch(tab)
  await tab.goto(origin + path)
  const meeting = { mesh: mesh.mesh, relays: mesh.relay.address, agent: 'page' }
  return { tab, watch, meet: () => tab.evaluate(meeting => globalThis.meet(meeting), meeting) }
}
