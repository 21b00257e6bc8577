// Where a Chromium is: $CHROMIUM, or one of the names that systems give it.

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { exe } from './paths.mjs'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const applications = [
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

// The path of its program, or undefined. $CHROMIUM is taken at its word: a wrong one is not passed over for another.
export function findChromium(env = process.env) {
  const given = env.CHROMIUM
  if (given) return existsSync(given) ? given : undefined
  const folders = (env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  const candidates = names.flatMap(name => folders.map(folder => join(folder, `${name}${exe}`)))
  return [...candidates, ...applications].find(existsSync)
}
