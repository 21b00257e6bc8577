// The vectors that Rust is compared with are what Helia makes.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { FILE, unixfsVectors } from './src/unixfs-vectors.mjs'

test('tests/vectors/unixfs.json is what Helia makes of the same files and directories', { timeout: 60_000 }, async () => {
  const pinned = JSON.parse(await readFile(FILE, 'utf8'))
  const made = await unixfsVectors()
  assert.deepEqual(Object.keys(pinned), Object.keys(made))
  for (const part of Object.keys(made)) assert.deepEqual(pinned[part], made[part], `${part}; when it is meant: npm run vectors -w tests/interop`)
})
