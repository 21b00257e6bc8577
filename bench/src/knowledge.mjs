import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { row } from './row.mjs'
import { median } from './stats.mjs'
import { bestHits, seeded, zipf } from './zipf.mjs'

/** @typedef {import('./scenarios.mjs').Scenario} Scenario */
/** @typedef {import('./world.mjs').World} World */

const OURS_ONLY = 'js-libp2p knows nothing together'
const LIMIT_MS = 60_000
const SEED = 0x12345678

const PROCESSES = 5
const AGENTS = 4
const UPDATES = 50
const UPDATE_BYTES = 1000

const WRITERS = 3
const KEYS = 1000
const READS = 10_000
const SKEW = 1
const SMALLEST = 1024
const LARGEST = 4096
/** Of all content. */
const SHARE = 1 / 5
/** What is counted for each block beside its bytes. */
const BLOCK_OVERHEAD = 128

const SMALL_ENTRIES = 10_000
const SMALL_BYTES = 100
const PUTS_AT_ONCE = 32
const MANY_MS = 240_000

/** @type {Scenario[]} */
export const knowledge = [
  {
    id: 'knowledge-update',
    rows: [
      row('half', 'an update is heard of by the last of 20 subscribers, half of 50', 'ms'),
      row('worst', 'the same, worst', 'ms'),
      row('value', 'the last of them has the value, half', 'ms'),
      row('worstValue', 'the same, worst', 'ms'),
    ],
    limitMs: 300_000,
    maxRounds: 3,
    oursOnly: OURS_ONLY,
    run: update,
  },
  {
    id: 'knowledge-cache',
    rows: [
      row('all', '10,000 reads of 1,000 keys by Zipf, room for all: without a fetch', '%', 'higher'),
      row('hits', 'room for a fifth: without a fetch', '%', 'higher'),
      row('best', 'the most that a cache of that size could do', '%', 'higher'),
      row('read', 'a read then, on average', 'ms'),
    ],
    limitMs: 300_000,
    maxRounds: 3,
    oursOnly: OURS_ONLY,
    run: cache,
  },
  {
    id: 'knowledge-small',
    rows: [
      row('put', '10,000 values of 100 B put by one, 32 at a time, with a directory', 's'),
      row('entry', 'the store takes, for each', 'B'),
      row('block', 'its block takes', 'B'),
      row('disk', 'both take on the disk, in all', 'MB'),
      row('allocated', 'the same in whole clusters, as the file system counts', 'MB'),
      row('counted', 'entries and blocks by the count of `storage()`', 'MB'),
      row('memory', 'resident memory of the process grows, for each', 'B'),
      row('newcomer', 'a newcomer knows all entries, from the call to join', 's'),
    ],
    limitMs: 900_000,
    slow: true,
    maxRounds: 3,
    oursOnly: OURS_ONLY,
    run: small,
  },
]

/**
 * One agent updates a key after the other, each when the one before has reached all.
 *
 * @param {World} world
 */
async function update(world) {
  const relay = await world.startRelay()
  const [writer, ...others] = Array.from({ length: PROCESSES + 1 }, () => start(world))
  await writer.call('join', { relay, count: 1 })
  await Promise.all(others.map(other => other.call('join', { relay, count: AGENTS })))
  await Promise.all(others.map(other => other.call('subscribe')))
  const spread = async (/** @type {string} */ key) => {
    const { startedAt } = await writer.call('put', { key, bytes: UPDATE_BYTES })
    const last = await Promise.all(others.map(other => other.call('heard', { key, limitMs: LIMIT_MS })))
    return {
      heard: Math.max(...last.map(({ heardAt }) => heardAt)) - startedAt,
      value: Math.max(...last.map(({ valueAt }) => valueAt)) - startedAt,
    }
  }
  // Until then some may not know each other.
  await spread('the first')
  const all = []
  for (let i = 0; i < UPDATES; i++) all.push(await spread(`update ${i}`))
  const [heard, values] = [all.map(({ heard }) => heard), all.map(({ value }) => value)]
  return { half: median(heard), worst: Math.max(...heard), value: median(values), worstValue: Math.max(...values) }
}

/**
 * Agents with room for all content, and for a fifth of it, read what others have written, some of it often.
 *
 * @param {World} world
 */
async function cache(world) {
  const random = seeded(SEED)
  const sizes = Array.from({ length: KEYS }, () => SMALLEST + Math.floor(random() * (LARGEST - SMALLEST + 1)))
  const reads = zipf({ count: KEYS, s: SKEW, draws: READS }, random)
  const taken = sizes.map(size => size + BLOCK_OVERHEAD)
  const whole = taken.reduce((sum, bytes) => sum + bytes)
  const relay = await world.startRelay()
  const writers = start(world)
  await writers.call('join', { relay, count: WRITERS })
  await writers.call('putMany', { from: 0, sizes, atOnce: PUTS_AT_ONCE })
  const readBy = async (/** @type {number} */ maxBytes) => {
    const reader = start(world)
    await reader.call('join', { relay, count: 1, knowledge: { maxBytes, hold: false } })
    await reader.call('knows', { count: KEYS, limitMs: LIMIT_MS })
    const { misses, ms } = await reader.call('read', { keys: reads, sizes })
    const { used } = await reader.call('storage')
    if (used > maxBytes) throw new Error(`${used} bytes are kept, ${maxBytes} may be`)
    return { hits: 100 * (1 - misses / READS), read: ms / READS }
  }
  const { hits: all } = await readBy(whole)
  const room = Math.floor(whole * SHARE)
  return { all, ...(await readBy(room)), best: (100 * bestHits(reads, taken, room)) / READS }
}

/**
 * One agent writes many small values, then another joins.
 *
 * @param {World} world
 */
async function small(world) {
  const folder = await mkdtemp(join(tmpdir(), 'mesh-bench-knowledge-'))
  const [store, blocks] = [join(folder, 'store'), join(folder, 'blocks')]
  try {
    const relay = await world.startRelay()
    const [writer, newcomer] = [start(world), start(world)]
    await writer.call('join', { relay, count: 1, store, knowledge: { blocks } })
    // What is loaded and grown for the first of them is not theirs.
    await writer.call('putMany', { from: SMALL_ENTRIES, sizes: Array(100).fill(SMALL_BYTES), atOnce: PUTS_AT_ONCE })
    const [before, disk] = [await writer.call('memory'), await Promise.all([store, blocks].map(size))]
    const put = await writer.call('putMany', { from: 0, sizes: Array(SMALL_ENTRIES).fill(SMALL_BYTES), atOnce: PUTS_AT_ONCE })
    const after = await writer.call('memory')
    const { entryBytes, used } = await writer.call('storage')
    const [inStore, inBlocks] = await Promise.all([store, blocks].map(size))
    const { startedAt } = await newcomer.call('join', { relay, count: 1 })
    const knownAt = await newcomer.call('knows', { count: SMALL_ENTRIES + 100, limitMs: MANY_MS })
    return {
      put: (put.endedAt - put.startedAt) / 1000,
      entry: (inStore.bytes - disk[0].bytes) / SMALL_ENTRIES,
      block: (inBlocks.bytes - disk[1].bytes) / SMALL_ENTRIES,
      disk: (inStore.bytes + inBlocks.bytes) / 1e6,
      allocated: (inStore.allocated + inBlocks.allocated) / 1e6,
      counted: (entryBytes + used) / 1e6,
      memory: (after - before) / SMALL_ENTRIES,
      newcomer: (knownAt - startedAt) / 1000,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * @param {World} world
 */
function start(world) {
  return world.processes.fork(world.node, join(dirname(world.side.agentFile), 'knowledge.mjs'))
}

/**
 * All files in a folder: their bytes, and those that the file system has given them.
 *
 * @param {string} folder
 * @returns {Promise<{ bytes: number, allocated: number }>}
 */
async function size(folder) {
  const total = { bytes: 0, allocated: 0 }
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const { size, blocks } = await stat(join(entry.parentPath, entry.name))
    total.bytes += size
    total.allocated += blocks * 512
  }
  return total
}
