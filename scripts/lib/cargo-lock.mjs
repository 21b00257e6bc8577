// Questions to Cargo.lock. The text is an argument so that a check can be tried on a bad one.

import { readFileSync } from 'node:fs'
import { at } from './paths.mjs'
import { parseToml } from './toml.mjs'

export const lockText = () => readFileSync(at('Cargo.lock'), 'utf8')

// [{ name, version }] in the order of the file.
export const packages = text => parseToml(text).package ?? []

export const versionsOf = (name, text) => packages(text).filter(p => p.name === name).map(p => p.version)

// The numbers of two versions compared; a pre-release counts as the version it precedes.
export function atLeast(version, floor) {
  const numbers = v => v.split(/[-+]/)[0].split('.').map(Number)
  const [a, b] = [numbers(version), numbers(floor)]
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}
