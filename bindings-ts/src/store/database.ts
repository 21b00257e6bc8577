import { MeshError, invalid } from '../errors.js'

// How long a reloaded page waits for the page that it was before to let go.
const RELOAD_MS = 2000
// Characters of the longest name.
const MAX_NAME = 128

/** @internal The name of the database of a store. @throws MeshError `invalid-argument` */
export function databaseName(kind: 'store' | 'blocks', name: string): string {
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME) throw invalid(`the name of a store has 1 to ${MAX_NAME} characters`)
  return `neural-mesh/${kind}/${name}`
}

/** @internal A database of this origin; of all its tabs and workers one can have it open. */
export class OwnDatabase {
  readonly #name: string
  #release: (() => void) | undefined
  #database: IDBDatabase | undefined
  /** Why it is not the caller's any more. */
  #lost: string | undefined

  private constructor(name: string) {
    this.#name = name
  }

  /**
   * Opens it, with these object stores when it is new, and asks the browser to let it last. `what` needs it; elsewhere there is
   * `other`.
   *
   * @throws MeshError `in-use`; `invalid-argument` where there are no databases; and what `indexedDB.open` throws
   */
  static async take(name: string, stores: readonly string[], what: string, other: string): Promise<OwnDatabase> {
    const { indexedDB, navigator } = globalThis
    if (!indexedDB || !navigator?.locks) {
      throw invalid(
        `${what} needs IndexedDB and Web Locks, which browsers have on secure pages (https, localhost) only. ` +
          `Elsewhere use ${other}, or in Node.js a directory`,
      )
    }
    const own = new OwnDatabase(name)
    await own.#lock()
    // Some browsers ask the user, who may take their time.
    void navigator.storage?.persist?.().catch(() => {})
    try {
      await own.#open(stores)
    } catch (error) {
      own.close()
      throw error
    }
    return own
  }

  /** @throws Error when it is lost */
  transaction(stores: readonly string[], mode: IDBTransactionMode, options?: IDBTransactionOptions): IDBTransaction {
    this.mustBeOurs()
    return this.#database!.transaction(stores, mode, options)
  }

  /** @throws Error when it is lost: whatever has been written is not there, or somebody else's */
  mustBeOurs(): void {
    if (this.#lost !== undefined) throw new Error(this.#lost)
  }

  /** Idempotent. */
  close(): void {
    this.#database?.close()
    this.#release?.()
  }

  // Resolves when the lock is held. It is until it is released, the page goes, or somebody steals it.
  #lock(): Promise<void> {
    return new Promise((resolve, reject) => {
      const held = () => {
        resolve()
        return new Promise<void>(release => (this.#release = release))
      }
      const signal = AbortSignal.timeout(RELOAD_MS)
      navigator.locks.request(this.#name, { signal }, held).catch((error: unknown) => {
        this.#lost = 'another page has taken it over'
        reject(signal.aborted ? inUse(this.#name) : error)
      })
    })
  }

  async #open(stores: readonly string[]): Promise<void> {
    const request = indexedDB.open(this.#name, 1)
    request.onupgradeneeded = () => stores.forEach(store => request.result.createObjectStore(store))
    const database = await result(request)
    this.#database = database
    database.onversionchange = () => this.#lose('it was deleted')
    database.onclose = () => this.#lose('the browser has closed it')
  }

  // Nothing more of it is read or written here, so that somebody else may open it anew.
  #lose(why: string): void {
    this.#lost = why
    this.close()
  }
}

/** @internal What a request gives. */
export function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** @internal Resolves when a transaction has done all that it was asked for. */
export function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    // The error of a request, such as QuotaExceededError, aborts the transaction.
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
  })
}

/**
 * @internal Bytes that this origin takes, in all its databases and caches, and how many it may take, as far as the browser tells.
 * Neither is a promise: what is taken counts as it lies on the disk, compressed; and browsers that keep the size of the disk to
 * themselves name up to 10 GiB more than is taken, so that `storage-full` may come earlier. Undefined where nothing tells.
 */
export async function storageEstimate(): Promise<{ usage: number; quota: number } | undefined> {
  try {
    const { usage, quota } = (await globalThis.navigator?.storage?.estimate?.()) ?? {}
    return usage === undefined || quota === undefined ? undefined : { usage, quota }
  } catch {
    return undefined // The origin is opaque, or the user has forbidden it.
  }
}

function inUse(name: string): MeshError {
  return new MeshError('in-use', `${name} is open in another tab or worker of this origin: close that one, or use another name`)
}
