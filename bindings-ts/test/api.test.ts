import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'

// From test/dist/test, where this file runs.
const inPackage = (path: string) => new URL(`../../../${path}`, import.meta.url)

test('the API is the one of api-report.md', async () => {
  assert.ok(existsSync(inPackage('dist/index.d.ts')), 'dist/ is missing: npm run build -w bindings-ts')
  const script = (await import(inPackage('scripts/api-report.mjs').href)) as { apiReport: () => string }
  const report = readFileSync(inPackage('api-report.md'), 'utf8').replaceAll('\r\n', '\n').split('\n')
  const api = script.apiReport().split('\n')
  const longest = api.length > report.length ? api : report
  const at = longest.findIndex((_, i) => api[i] !== report[i])
  const difference = `line ${at + 1} is\n  ${api[at]}\nand in api-report.md\n  ${report[at]}`
  assert.ok(
    at === -1,
    `The API in dist/ is not the one in api-report.md: ${difference}\n` +
      'If dist/ is older than the sources: npm run build -w bindings-ts. ' +
      'If the change is meant: npm run api -w bindings-ts, and commit api-report.md with it.',
  )
})

test('every file that package.json names exists', () => {
  interface Manifest {
    exports: Record<string, string | Record<string, string>>
    imports: Record<string, Record<string, string>>
  }
  const manifest = JSON.parse(readFileSync(inPackage('package.json'), 'utf8')) as Manifest
  const targets = [...Object.values(manifest.exports), ...Object.values(manifest.imports)]
  for (const path of targets.flatMap(target => (typeof target === 'string' ? target : Object.values(target)))) {
    assert.ok(existsSync(inPackage(path)), `${fileURLToPath(inPackage(path))} is missing`)
  }
  for (const target of Object.values(manifest.exports)) {
    if (typeof target === 'object') assert.equal(Object.keys(target)[0], 'types')
  }
})

test('every public method has an example', () => {
  for (const file of ['mesh', 'service', 'agents', 'messages', 'swarm', 'weights', 'health', 'consensus', 'leases', 'charter', 'errors', 'store/blocks', 'store/blocks-memory', 'store/blocks-indexeddb', 'platform/slim', 'testing/sim-mesh', 'testing/sim-node']) {
    const text = readFileSync(inPackage(`dist/${file}.d.ts`), 'utf8')
    // A method, constructor or function: a line that opens a parameter list, with the comment before it.
    const members = text.matchAll(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?^ *(?:export declare function |static )?([\w[\]]+)(?:<[^(]*>)?\((?!.*=>).*$/gm)
    for (const [line, comment] of members) assert.match(comment ?? '', /@example/, `${file}: ${line.trim().split('\n').at(-1)}`)
  }
})
