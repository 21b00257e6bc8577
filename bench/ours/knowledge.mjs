import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { generateIdentity, joinMesh } from 'neural-mesh'
import { randomBody } from '../src/bodies.mjs'
import { now, sleep } from '../src/clock.mjs'
import { serve } from '../src/serve.mjs'

/**
 * A process with any number of agents of ours that know things together: what `src/knowledge.mjs` asks. Agents are named by
 * their place in the process, and reach each other through the relay.
 */

const DOMAIN = 'bench'
const PAUSE_MS = 5
/** Many join at once. */
const JOIN_MS = 60_000

/** @type {import('neural-mesh').Mesh[]} */
const meshes = []
/** @type {Map<string, number>[]} for each agent, when it heard of a key, and when it had its value: `key` and `key value` */
const heard = []
/** @type {unknown} why a value could not be read */
let failure

serve({
  /**
   * @param {{ relay: string, count: number, knowledge?: import('neural-mesh').KnowledgeOptions, store?: string }} options
   *   store: a directory, for one agent
   */
  async join({ relay, count, knowledge, store }) {
    const kept = store === undefined ? {} : { identity: generateIdentity(), store }
    const startedAt = now()
    const joined = await Promise.all(
      Array.from({ length: count }, () => joinMesh('bench', { relays: relay, webrtc: false, timeoutMs: JOIN_MS, ...kept, ...(knowledge && { knowledge }) })),
    )
    meshes.push(...joined)
    return { startedAt, joinedAt: now() }
  },

  /** All agents subscribe, and read each value as soon as they hear of it. */
  subscribe() {
    for (const { knowledge } of meshes) {
      /** @type {Map<string, number>} */
      const times = new Map()
      heard.push(times)
      knowledge.subscribe(DOMAIN, async ({ key, entry }) => {
        times.set(key, now())
        try {
          await entry?.value()
          times.set(`${key} value`, now())
        } catch (error) {
          failure ??= error
        }
      })
    }
  },

  /** Resolves when all agents have heard of a key and have its value, to the times of the last: `{ heardAt, valueAt }`. */
  async heard({ key, limitMs }) {
    const end = now() + limitMs
    while (!heard.every(times => times.has(`${key} value`))) {
      if (failure) throw failure
      if (now() > end) throw new Error(`after ${limitMs} ms, not everybody has heard of ${key}`)
      await sleep(PAUSE_MS)
    }
    const last = (/** @type {string} */ what) => Math.max(...heard.map(times => times.get(what) ?? NaN))
    return { heardAt: last(key), valueAt: last(`${key} value`) }
  },

  /** One value, without waiting for those that are to hold it. */
  async put({ key, bytes }) {
    const value = randomBody(bytes)
    const startedAt = now()
    await meshes[0].knowledge.put(key, value, { domain: DOMAIN, waitMs: 0 })
    return { startedAt, endedAt: now() }
  },

  /** A value for each of these sizes, under `from`, `from` + 1 …, `atOnce` at a time, by all agents in turn. */
  async putMany({ from, sizes, atOnce }) {
    const startedAt = now()
    let next = 0
    const run = async () => {
      while (next < sizes.length) {
        const n = next++
        const { knowledge } = meshes[n % meshes.length]
        await knowledge.put(keyOf(from + n), randomBody(sizes[n]), { domain: DOMAIN, waitMs: 0 })
      }
    }
    await Promise.all(Array.from({ length: atOnce }, run))
    return { startedAt, endedAt: now() }
  },

  /** Resolves when all agents know so many entries, to when. */
  async knows({ count, limitMs }) {
    const end = now() + limitMs
    const entries = async (/** @type {import('neural-mesh').Mesh} */ mesh) =>
      (await mesh.knowledge.domains()).find(({ domain }) => domain === DOMAIN)?.entries ?? 0
    for (;;) {
      const known = await Promise.all(meshes.map(entries))
      if (known.every(entries => entries >= count)) return now()
      if (now() > end) throw new Error(`after ${limitMs} ms, of ${count} entries are known: ${known}`)
      await sleep(PAUSE_MS)
    }
  },

  /**
   * Reads one key after the other. A read is a miss when bytes of blocks have come from others by its end.
   *
   * @param {{ keys: number[], sizes: number[] }} args
   */
  async read({ keys, sizes }) {
    const [{ knowledge }] = meshes
    let { received } = await knowledge.storage()
    let misses = 0
    const startedAt = now()
    for (const n of keys) {
      const entry = await knowledge.get(keyOf(n), { domain: DOMAIN })
      if (!(entry?.value instanceof Uint8Array) || entry.value.length !== sizes[n]) throw new Error(`key ${n} has another value`)
      const after = (await knowledge.storage()).received
      if (after > received) misses++
      received = after
    }
    return { misses, ms: now() - startedAt }
  },

  storage: () => meshes[0].knowledge.storage(),

  /** Resident set without garbage, bytes. */
  memory() {
    collectGarbage()
    return process.memoryUsage().rss
  },

  close: () => Promise.all(meshes.map(mesh => mesh.close())),
})

function collectGarbage() {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/**
 * @param {number} n
 */
function keyOf(n) {
  return `key ${n}`
}
