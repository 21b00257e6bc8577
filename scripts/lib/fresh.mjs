// Whether an output still belongs to its inputs, by content: times change with every checkout. A stamp holds the hash of
// the inputs and of the outputs, so an output that was touched or removed is built again.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { at, root } from './paths.mjs'

const never = new Set(['node_modules', 'target', 'dist', 'dist-test', 'test', 'generated', '.git', '.DS_Store'])

const stampPath = name => at('target/stamps', `${name}.json`)

// inputs: { paths: files or folders, extra: strings such as a compiler's version }; outputs: files or folders.
export function isFresh(name, inputs, outputs) {
  const path = stampPath(name)
  if (!existsSync(path) || !outputs.every(existsSync)) return false
  const stamp = JSON.parse(readFileSync(path, 'utf8'))
  return stamp.inputs === inputHash(inputs) && stamp.outputs === treeHash(outputs, new Set())
}

export function stamp(name, inputs, outputs) {
  const path = stampPath(name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify({ inputs: inputHash(inputs), outputs: treeHash(outputs, new Set()) }))
}

const inputHash = ({ paths, extra = [] }) => `${treeHash(paths, never)} ${sha256(extra.join('\n'))}`

function treeHash(paths, skip) {
  const hash = createHash('sha256')
  for (const file of paths.flatMap(path => files(path, skip)).sort()) {
    hash.update(`${relative(root, file)}\0${sha256(readFileSync(file))}\n`)
  }
  return hash.digest('hex')
}

// Every file below a path; none when it does not exist.
export function files(path, skip = never) {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter(name => !skip.has(name))
    .flatMap(name => files(join(path, name), skip))
}

const sha256 = data => createHash('sha256').update(data).digest('hex')
