// Step: the npm packages of package-lock.json, in node_modules.

import { existsSync, statSync } from 'node:fs'
import { at } from '../lib/paths.mjs'
import { must } from '../lib/run.mjs'

const lock = at('package-lock.json')
const installed = at('node_modules/.package-lock.json') // npm writes it last

export const npmStep = {
  name: 'npm packages',
  done() {
    if (!existsSync(installed)) return undefined
    if (existsSync(lock) && statSync(lock).mtimeMs > statSync(installed).mtimeMs) return undefined
    return 'as in package-lock.json'
  },
  how: () => (existsSync(lock) ? 'npm ci' : 'npm install (there is no package-lock.json yet)'),
  async act() {
    await must('npm', [existsSync(lock) ? 'ci' : 'install', '--no-audit', '--no-fund'], {
      limitMs: 15 * 60_000,
      next: 'npm ci; when the lock is behind a package.json, npm install and commit package-lock.json',
    }).catch(error => {
      // npm's own words come first, then two screens of its options.
      if (error.output) error.output = error.output.split(/^npm error (?:Clean install|Usage)/m)[0]
      throw error
    })
  },
}
