// `npm run api -w bindings-ts`: writes api-report.md, the public API as the compiler has emitted it: every declaration
// file that is reached from an entry point, without comments. A change of the API shows in its diff.

import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inPackage } from './tools.mjs'

const ENTRIES = ['dist/index.d.ts', 'dist/platform/slim.d.ts', 'dist/platform/mesh-wasm.d.ts', 'dist/testing/index.d.ts']
export const reportPath = inPackage('api-report.md')

export function apiReport() {
  const files = new Set()
  ENTRIES.map(entry => inPackage(entry)).forEach(entry => reach(entry, files))
  const sections = [...files].map(file => `## ${name(file)}\n\n\`\`\`ts\n${declarations(file)}\n\`\`\`\n`)
  return `# API of neural-mesh\n\nMade by \`npm run api -w bindings-ts\`; do not edit.\n\n${sections.join('\n')}`
}

function reach(file, files) {
  if (files.has(file)) return
  files.add(file)
  const imports = readFileSync(file, 'utf8').matchAll(/from '(\.[^']*)\.js'/g)
  for (const [, path] of imports) reach(join(dirname(file), `${path}.d.ts`), files)
}

function declarations(file) {
  const text = readFileSync(file, 'utf8').replaceAll('\r\n', '\n').replace(/\/\*\*[\s\S]*?\*\//g, '')
  return text.split('\n').filter(line => line.trim() !== '').join('\n')
}

const name = file => relative(inPackage('dist'), file).replaceAll('\\', '/').replace(/\.d\.ts$/, '')

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(reportPath, apiReport())
