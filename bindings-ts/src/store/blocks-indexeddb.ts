import { OrderedBlocks, type BlockKeeper } from './blocks-ordered.js'
import type { BlockStore } from './blocks.js'
import { OwnDatabase, completed, databaseName, result } from './database.js'

// Bytes by CID; and how many they are by CID, so that a list need not read them.
const BLOCKS = 'blocks'
const SIZES = 'sizes'

/**
 * A block store in a database of this origin, `neural-mesh/blocks/<name>`; of all its tabs and workers one can have it open. What
 * one `put` brings is there wholly or not at all. It lasts until the user, or a browser that is short of space, clears the
 * site's data, also while it is open; `list` asks the browser not to.
 *
 * @example
 * ```ts
 * const store = indexedDbBlocks('lab')
 * const sizes = new Map(await store.list())
 * ```
 *
 * @throws MeshError `invalid-argument`
 */
export function indexedDbBlocks(name: string): BlockStore {
  return new OrderedBlocks(new IndexedDbBlocks(databaseName('blocks', name)))
}

class IndexedDbBlocks implements BlockKeeper {
  readonly name: string
  #database: OwnDatabase | undefined

  constructor(name: string) {
    this.name = name
  }

  async list(): Promise<[cid: string, bytes: number][]> {
    this.#database = await OwnDatabase.take(this.name, [BLOCKS, SIZES], 'indexedDbBlocks()', 'memoryBlocks()')
    const transaction = this.#database.transaction([SIZES], 'readonly')
    const store = transaction.objectStore(SIZES)
    const [cids, sizes] = [store.getAllKeys(), store.getAll()]
    await completed(transaction)
    // What else is there this package has not written.
    return cids.result.flatMap((cid, i) => {
      const bytes: unknown = sizes.result[i]
      return typeof cid === 'string' && typeof bytes === 'number' ? [[cid, bytes] as [string, number]] : []
    })
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    const transaction = this.#database!.transaction([BLOCKS], 'readonly')
    const data: unknown = await result(transaction.objectStore(BLOCKS).get(cid))
    return data instanceof Uint8Array ? data : undefined
  }

  put(batch: ReadonlyMap<string, Uint8Array>): Promise<void> {
    return this.#change((blocks, sizes) => {
      for (const [cid, data] of batch) {
        // A copy: of a view the browser would keep all that lies behind it.
        blocks.put(new Uint8Array(data), cid)
        sizes.put(data.length, cid)
      }
    })
  }

  delete(cids: ReadonlySet<string>): Promise<void> {
    return this.#change((blocks, sizes) => {
      for (const cid of cids) {
        blocks.delete(cid)
        sizes.delete(cid)
      }
    })
  }

  async close(): Promise<void> {
    this.#database?.close()
  }

  async #change(change: (blocks: IDBObjectStore, sizes: IDBObjectStore) => void): Promise<void> {
    const database = this.#database!
    // Relaxed: handed to the system, which outlives tab and browser. A crash of the machine may take the last blocks, which
    // others have too, and waiting for the disk would take many times as long as writing.
    const transaction = database.transaction([BLOCKS, SIZES], 'readwrite', { durability: 'relaxed' })
    change(transaction.objectStore(BLOCKS), transaction.objectStore(SIZES))
    await completed(transaction)
    database.mustBeOurs()
  }
}
