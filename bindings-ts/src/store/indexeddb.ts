import { MeshError } from '../errors.js'
import { OwnDatabase, completed, databaseName } from './database.js'
import { QueuedStore, type Keeper } from './queued.js'
import type { MeshStore, StoreChange } from './store.js'

const STORE = 'records'

/**
 * A store in a database of this origin, `neural-mesh/store/<name>`; of all its tabs and workers one can have it open. What one
 * `write` brings is there wholly or not at all. It lasts until the user, or a browser that is short of space, clears the site's
 * data; the first `load` asks the browser not to.
 *
 * @example
 * ```ts
 * const store = indexedDbStore('voter')
 * const kept = new Map(await store.load())
 * ```
 *
 * @throws MeshError `invalid-argument`
 */
export function indexedDbStore(name: string): MeshStore {
  return new QueuedStore(new IndexedDbKeeper(databaseName('store', name)))
}

class IndexedDbKeeper implements Keeper {
  readonly name: string
  #database: OwnDatabase | undefined

  constructor(name: string) {
    this.name = name
  }

  async load(): Promise<[string, Uint8Array][]> {
    this.#database = await OwnDatabase.take(this.name, [STORE], 'indexedDbStore()', 'memoryStore()')
    const transaction = this.#database.transaction([STORE], 'readonly')
    const store = transaction.objectStore(STORE)
    const [keys, values] = [store.getAllKeys(), store.getAll()]
    await completed(transaction)
    return keys.result.map((key, i) => {
      const value: unknown = values.result[i]
      if (typeof key === 'string' && value instanceof Uint8Array) return [key, value]
      const message = `the database ${this.name} holds what this package has not written; delete it to begin anew with a new voting key`
      throw new MeshError('integrity', message)
    })
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    const database = this.#database!
    const transaction = database.transaction([STORE], 'readwrite', { durability: 'strict' })
    const store = transaction.objectStore(STORE)
    for (const { key, value } of changes) {
      if (value) store.put(value, key)
      else store.delete(key)
    }
    await completed(transaction)
    database.mustBeOurs()
  }

  async close(): Promise<void> {
    this.#database?.close()
  }
}
