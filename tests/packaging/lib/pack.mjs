// The package as it would be published, for projects outside of this repository.

import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { at } from '../../../scripts/lib/paths.mjs'

const exec = promisify(execFile)
const QUIET = ['--no-audit', '--no-fund', '--prefer-offline']

// Packs it into the folder `to`; resolves to the path of the tarball.
export async function pack(to) {
  const { stdout } = await npm(at('bindings-ts'), 'pack', '--json', '--ignore-scripts', '--pack-destination', to)
  const result = JSON.parse(stdout)
  const [{ filename }] = Array.isArray(result) ? result : Object.values(result)
  return join(to, filename.replace('@', '').replace('/', '-'))
}

// A copy of the consumer project `name` in the folder `to`, with the tarball and with the `tools` of its lock file.
// Resolves to its path.
export async function consume(name, tarball, to, { tools = false } = {}) {
  const project = join(to, name)
  cpSync(at('tests/packaging', name), project, { recursive: true })
  if (tools) await npm(project, 'ci', ...QUIET)
  await npm(project, 'install', '--no-save', ...QUIET, tarball)
  return project
}

// Runs node; a failure carries what it printed.
export async function node(cwd, args, timeout = 120_000) {
  await exec(process.execPath, args, { cwd, timeout }).catch(error => {
    throw new Error(`${error.stdout}${error.stderr}` || error.message)
  })
}

// The compiler, in a project that does not bring one.
export function tsc(cwd, ...args) {
  return node(cwd, [at('node_modules/typescript/bin/tsc'), ...args])
}

function npm(cwd, ...args) {
  return exec('npm', args, { cwd, maxBuffer: 64 << 20, timeout: 180_000, shell: process.platform === 'win32' })
}
