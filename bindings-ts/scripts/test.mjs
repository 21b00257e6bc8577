// `npm test -w bindings-ts`: the unit tests and the comparison of the API with api-report.md. They run from test/dist,
// compiled together with the sources; what is in dist/ must have been built before.

import { cpSync, readdirSync, rmSync } from 'node:fs'
import { inPackage, node, tsc } from './tools.mjs'

rmSync(inPackage('test/dist'), { recursive: true, force: true })
tsc('tsconfig.test.json')
cpSync(inPackage('src/generated'), inPackage('test/dist/src/generated'), { recursive: true })

const compiled = inPackage('test/dist/test')
const tests = readdirSync(compiled).filter(name => name.endsWith('.test.js'))
node(['--test', '--test-reporter=spec', ...tests.map(name => `test/dist/test/${name}`)])
