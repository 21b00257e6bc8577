import { QueuedStore, apply } from './queued.js'
import type { MeshStore } from './store.js'

/**
 * A store that forgets with the process: for tests, and for voters that have a new key each time they start. `records` is
 * where it keeps them: with those of a store before it, a test starts a node again.
 *
 * @example
 * ```ts
 * const records = new Map<string, Uint8Array>()
 * const store = memoryStore(records)
 * await store.load() // []
 * await store.write([{ key: 'key', value: new Uint8Array(32) }])
 * await store.close()
 * await memoryStore(records).load() // [['key', Uint8Array(32)]]
 * ```
 */
export function memoryStore(records = new Map<string, Uint8Array>()): MeshStore {
  return new QueuedStore({
    name: 'the store in memory',
    load: async () => records,
    write: async changes => apply(records, changes),
    close: async () => {},
  })
}
