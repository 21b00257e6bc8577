import { peerIdOf } from './charter.js'
import type { JoinConfig } from './options.js'
import type { BlockStore } from './store/blocks.js'
import { indexedDbBlocks } from './store/blocks-indexeddb.js'
import { indexedDbStore } from './store/indexeddb.js'
import type { MeshStore } from './store/store.js'
import { here } from './wasm.js'

/** @internal What one node keeps, and where: opened with it, and closed after it. */
export class Stores {
  readonly #store: MeshStore | undefined
  readonly #blocks: BlockStore | undefined
  /** Why one of them could not be opened: the core knows no more than that. */
  failure: unknown

  private constructor(store: MeshStore | undefined, blocks: BlockStore | undefined) {
    this.#store = store
    this.#blocks = blocks
  }

  /** Of a directory, or a database that each identity has for itself, or as they were brought. Blocks stand beside the rest. */
  static async of({ store, knowledge }: JoinConfig, identity: Uint8Array | undefined): Promise<Stores> {
    const { fileStore, fileBlocks } = here() ?? {}
    const own = async (name: string) => `${name}/${await peerIdOf(identity!)}`
    const beside = typeof store === 'string' && (fileBlocks ? `${store}/blocks` : store)
    const blocks = knowledge?.blocks ?? (beside || undefined)
    return new Stores(
      typeof store === 'string' ? (fileStore?.(store) ?? indexedDbStore(await own(store))) : store,
      typeof blocks === 'string' ? (fileBlocks?.(blocks) ?? indexedDbBlocks(await own(blocks))) : blocks,
    )
  }

  /** As the core calls it. */
  get store() {
    const store = this.#store
    if (!store) return undefined
    return {
      load: () => this.#opened(store.load()),
      write: (changes: [string, Uint8Array | undefined][]) => store.write(changes.map(([key, value]) => ({ key, value }))),
    }
  }

  /** As the core calls it, which tells a store without room from one that fails by the `code` of what it throws. */
  get blocks() {
    const blocks = this.#blocks
    if (!blocks) return undefined
    return {
      list: () => this.#opened(blocks.list()),
      get: (cid: string) => blocks.get(cid),
      put: (batch: [string, Uint8Array][]) => blocks.put(batch.map(([cid, data]) => ({ cid, data }))),
      delete: (cids: string[]) => blocks.delete(cids),
    }
  }

  /** Lets go of both. */
  async close(): Promise<void> {
    await Promise.all([this.#store?.close(), this.#blocks?.close()])
  }

  async #opened<T>(opening: Promise<T>): Promise<T> {
    try {
      return await opening
    } catch (error) {
      this.failure ??= error
      throw error
    }
  }
}
