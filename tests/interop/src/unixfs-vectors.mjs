// What Helia makes of files and directories, for Rust to compare with: ../../vectors/unixfs.json, which is read by
// crates/unixfs/tests/helia.rs. Written anew by `npm run vectors -w tests/interop`; ../unixfs.test.mjs sees to it that
// the file is what Helia makes.

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { unixfs } from '@helia/unixfs'
import { MemoryBlockstore } from 'blockstore-core'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced, flat, trickle } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { bytes, xorshift } from './bytes.mjs'

export const FILE = fileURLToPath(new URL('../../vectors/unixfs.json', import.meta.url))

const { dependencies } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))

const MIB = 1024 * 1024
const layout = (chunk, width) => ({ chunker: fixedSize({ chunkSize: chunk }), layout: balanced({ maxChildrenPerNode: width }) })

// A large file, and lengths around a chunk; then layouts so small that a file has many levels, with lengths at which each
// level is full and one byte more.
const FILES = [
  ...[[MIB, 1024], [MIB / 4, 174]].flatMap(([chunk, width]) => [0, 1, chunk - 1, chunk, chunk + 1, 3_000_000].map(length => [length, chunk, width])),
  [3_000_000, 1000, 1024],
  [3_000_000, 1000, 10],
  ...[0, 1, 2, 3, 4, 9, 10, 27, 28, 81, 82, 243, 244, 1000].map(length => [length, 3, 3]),
  ...[16, 17, 32, 33, 64, 65, 128, 129, 1000].map(length => [length, 16, 2]),
]

// What other settings and other programs make, of 100 bytes: it has to be read.
const SHAPES = {
  'as Kubo made them by default: CIDv0, leaves in dag-pb': { cidVersion: 0, rawLeaves: false, ...layout(16, 3) },
  'leaves of the type raw in dag-pb': { rawLeaves: false, leafType: 'raw', ...layout(16, 3) },
  'one chunk in dag-pb': { rawLeaves: false, ...layout(1000, 3) },
  'one chunk below a node': { reduceSingleLeafToSelf: false, ...layout(1000, 3) },
  'data before links': { fieldOrder: 'data-first', ...layout(16, 3) },
  'one node with all leaves': { ...layout(16, 3), layout: flat() },
  'a trickle': { ...layout(3, 3), layout: trickle({ maxChildrenPerNode: 3 }) },
  'with a mode and a time': { mode: 0o755, mtime: { secs: 1_700_000_000n, nsecs: 5 }, ...layout(16, 3) },
}

// A text is a file, an object a directory.
const DIRECTORIES = {
  'empty': {},
  'flat': { 'a.txt': 'a', 'b.txt': 'bb', 'empty': '', 'same as a': 'a' },
  'nested': { docs: { guide: { 'intro.md': '# intro', 'end.md': 'end' }, 'none': {} }, src: { lib: { 'mod.rs': 'mod' } }, 'readme': 'read me' },
  'unicode': { 'Ä': 'umlaut', 'A\u0308': 'another Ä', 'ß': 'sharp', '日本語': 'Japanese', 'кириллица': 'Cyrillic', '👩‍🚀': 'astronaut', ' ': 'space', 'ünder': { 'ñ': 'below' } },
  'dots': { '.hidden': 'h', '...': 'three', '..a': 'a', 'a..': 'b', 'a.b.c': 'c', '.d': { '.e': 'e' } },
  'signs': { 'a b': '1', 'a%2Fb': '2', 'a\\b': '3', 'a?b#c': '4', "a'b\"c": '5', '-': '6', '~': '7', '\t': '8', '\u007f': '9' },
  // By bytes and by UTF-16 units some of these have different orders, and so have those that begin alike.
  'order': { a: '1', aa: '2', 'a!': '3', ab: '4', B: '5', Z: '6', 10: '7', 9: '8', '\ufb01': '9', '\uff5e': '10', '\u{10000}': '11', '\u{1f600}': '12', 'é': '13', z: '14' },
}

const counted = (count, prefix) => Array.from({ length: count }, (_, n) => `${prefix}${n}`)

// Directories that are HAMTs, of files that hold their own names.
const SHARDS = {
  'one level': { bits: 8, names: counted(5, 'file ') },
  'two levels': { bits: 8, names: counted(200, 'file ') },
  'eight children in a shard': { bits: 3, names: counted(60, 'n') },
  'sixteen children in a shard': { bits: 4, names: counted(60, 'n') },
  'a thousand children in a shard': { bits: 10, names: counted(40, 'n') },
  'names that look like places': { bits: 8, names: ['0', '00', '0A', 'FF', 'FFF', 'ab', 'AB12'] },
  'unicode': { bits: 4, names: ['Ä', 'A\u0308', '日本語', '👩‍🚀', ' ', '.hidden', '...', 'a\\b', '\uff5e', '\u{1f600}'] },
}

// The largest directory of one block, and one with a byte of a name too many: so many names of five digits, and one of so
// many letters.
const THRESHOLD = { count: 6392, fits: 36 }

// Everything that stands in the file.
export async function unixfsVectors() {
  const files = []
  for (const [length, chunk, width] of FILES) {
    const made = new Made()
    const { cid } = await made.add([{ path: 'f', content: xorshift(length) }], layout(chunk, width))
    files.push({ length, chunk, width, cid, dagSize: await made.dagSize(cid) })
  }
  const shapes = []
  for (const [what, { mode, mtime, ...options }] of Object.entries(SHAPES)) {
    const made = new Made()
    const { cid } = await made.add([{ path: 'f', content: xorshift(100), mode, mtime }], options)
    shapes.push({ what, length: 100, cid, blocks: made.blocks() })
  }
  const directories = []
  for (const [what, tree] of Object.entries(DIRECTORIES)) directories.push({ what, ...(await directory(tree)) })
  const shards = []
  for (const [what, { bits, names }] of Object.entries(SHARDS)) {
    const made = new Made()
    const options = { wrapWithDirectory: true, shardSplitThresholdBytes: 0, shardFanoutBits: bits }
    const { cid } = await made.add(names.map(name => ({ path: name, content: bytes(name) })), options)
    shards.push({ what, names, cid, blocks: made.blocks(DAG_PB) })
  }
  const { count, fits } = THRESHOLD
  const threshold = { count, fits, ...(await large(count, fits)), past: await large(count, fits + 1) }
  const by = ['@helia/unixfs', 'ipfs-unixfs-importer'].map(name => `${name} ${dependencies[name]}`)
  return { by, files, shapes, directories, shards, threshold }
}

const DAG_PB = 0x70

// A store, and what is put into it.
class Made {
  #blockstore = new Recorder()
  #fs = unixfs({ blockstore: this.#blockstore })

  // Resolves to the last root, and to all of them by their paths.
  async add(source, options) {
    const roots = {}
    let cid
    for await (const root of this.#fs.addAll(source, options)) {
      cid = root.cid.toString()
      roots[root.path ?? ''] = { cid, dagSize: Number(root.size) }
    }
    return { cid, roots }
  }

  // Bytes of all blocks below a root, those that are there twice counted twice: what a link to it says.
  async dagSize(cid) {
    return Number((await this.#fs.stat(CID.parse(cid), { extended: true })).dagSize)
  }

  // The blocks of a codec, or all.
  blocks(codec) {
    const blocks = [...this.#blockstore.all.values()].filter(({ cid }) => codec === undefined || cid.code === codec)
    const hex = blocks.map(({ cid, bytes }) => ({ cid: cid.toString(), hex: Buffer.from(bytes).toString('hex') }))
    return hex.sort((a, b) => (a.cid < b.cid ? -1 : 1))
  }
}

// Keeps the CIDs too: a MemoryBlockstore knows hashes only.
class Recorder extends MemoryBlockstore {
  all = new Map()

  put(cid, bytes) {
    this.all.set(cid.toString(), { cid, bytes })
    return super.put(cid, bytes)
  }
}

async function directory(tree) {
  const made = new Made()
  const { cid, roots } = await made.add(sources(tree, ''), { wrapWithDirectory: true })
  return { tree, cid, roots, blocks: made.blocks(DAG_PB) }
}

function sources(tree, above) {
  return Object.entries(tree).flatMap(([name, below]) => {
    const path = above + name
    if (typeof below === 'string') return [{ path, content: bytes(below) }]
    return [{ path }, ...sources(below, `${path}/`)]
  })
}

async function large(count, letters) {
  const made = new Made()
  const names = [...Array.from({ length: count }, (_, n) => String(n).padStart(5, '0')), 'x'.repeat(letters)]
  const { cid } = await made.add(names.map(name => ({ path: name, content: bytes('x') })), { wrapWithDirectory: true })
  return { cid, blocks: made.blocks(DAG_PB).length }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(FILE, `${JSON.stringify(await unixfsVectors(), null, 1)}\n`)
}
