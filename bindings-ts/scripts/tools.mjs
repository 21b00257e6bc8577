// What the scripts of this package share.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const packageRoot = fileURLToPath(new URL('..', import.meta.url))
export const inPackage = (...path) => join(packageRoot, ...path)

// Runs the compiler on one of the tsconfig files, with more options; ends the process when it finds fault.
export function tsc(project, ...options) {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
  node([join(typescript, 'bin', 'tsc'), '-p', inPackage(project), ...options])
}

// Runs Node.js in the package's folder; ends the process when that fails.
export function node(args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: packageRoot, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}
