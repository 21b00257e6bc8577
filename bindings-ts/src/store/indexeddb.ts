import { MeshError, invalid } from '../errors.js'
import { QueuedStore, type Keeper } from './queued.js'
import type { MeshStore, StoreChange } from './store.js'

const STORE = 'records'
// How long a reloaded page waits for the page that it was before to let go.
const RELOAD_MS = 2000
// Characters of the longest name.
const MAX_NAME = 128

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
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME) throw invalid(`the name of a store has 1 to ${MAX_NAME} characters`)
  return new QueuedStore(new IndexedDbKeeper(`neural-mesh/store/${name}`))
}

class IndexedDbKeeper implements Keeper {
  readonly name: string
  #release: (() => void) | undefined
  #database: IDBDatabase | undefined
  /** Why this store is not the caller's any more. */
  #lost: string | undefined

  constructor(name: string) {
    this.name = name
  }

  async load(): Promise<[string, Uint8Array][]> {
    const { indexedDB, navigator } = globalThis
    if (!indexedDB || !navigator?.locks) {
      throw invalid(
        'indexedDbStore() needs IndexedDB and Web Locks, which browsers have on secure pages (https, localhost) only. ' +
          'Elsewhere use memoryStore(), or in Node.js a directory',
      )
    }
    await this.#lock()
    // Some browsers ask the user, who may take their time.
    void navigator.storage?.persist?.().catch(() => {})
    const database = await open(this.name)
    this.#database = database
    database.onversionchange = () => {
      this.#lost = 'it was deleted'
      database.close()
    }
    database.onclose = () => (this.#lost = 'the browser has closed it')
    return this.#readAll(database)
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    this.#mustBeOurs()
    const transaction = this.#database!.transaction(STORE, 'readwrite', { durability: 'strict' })
    const store = transaction.objectStore(STORE)
    for (const { key, value } of changes) {
      if (value) store.put(value, key)
      else store.delete(key)
    }
    await completed(transaction)
    this.#mustBeOurs()
  }

  async close(): Promise<void> {
    this.#database?.close()
    this.#release?.()
  }

  #mustBeOurs(): void {
    if (this.#lost !== undefined) throw new Error(this.#lost)
  }

  // Resolves when the lock is held. It is until it is released, the page goes, or somebody steals it.
  #lock(): Promise<void> {
    return new Promise((resolve, reject) => {
      const held = () => {
        resolve()
        return new Promise<void>(release => (this.#release = release))
      }
      const signal = AbortSignal.timeout(RELOAD_MS)
      navigator.locks.request(this.name, { signal }, held).catch((error: unknown) => {
        this.#lost = 'another page has taken it over'
        reject(signal.aborted ? inUse(this.name) : error)
      })
    })
  }

  async #readAll(database: IDBDatabase): Promise<[string, Uint8Array][]> {
    const transaction = database.transaction(STORE)
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
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    // The error of a request, such as QuotaExceededError, aborts the transaction.
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
  })
}

function inUse(name: string): MeshError {
  return new MeshError('in-use', `${name} is open in another tab or worker of this origin: close that one, or use another name`)
}
