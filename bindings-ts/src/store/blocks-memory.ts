import { OrderedBlocks } from './blocks-ordered.js'
import type { BlockStore } from './blocks.js'

/**
 * A block store that forgets with the process: for tests, and for nodes that only pass by. It takes as much memory as is put
 * into it. `blocks` is where it keeps them: with those of a store before it, a test starts a node again.
 *
 * @example
 * ```ts
 * const blocks = new Map<string, Uint8Array>()
 * const store = memoryBlocks(blocks)
 * await store.list() // []
 * await store.put([{ cid: 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e', data: new TextEncoder().encode('hello') }])
 * await store.close()
 * await memoryBlocks(blocks).list() // [['bafkrei…', 5]]
 * ```
 */
export function memoryBlocks(blocks = new Map<string, Uint8Array>()): BlockStore {
  return new OrderedBlocks({
    name: 'the block store in memory',
    list: async () => Array.from(blocks, ([cid, { length }]) => [cid, length]),
    get: async cid => copy(blocks.get(cid)),
    put: async batch => batch.forEach((data, cid) => blocks.set(cid, new Uint8Array(data))),
    delete: async cids => cids.forEach(cid => blocks.delete(cid)),
    close: async () => {},
  })
}

const copy = (data: Uint8Array | undefined) => data && new Uint8Array(data)
