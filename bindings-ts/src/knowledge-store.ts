import { MeshError, invalid } from './errors.js'
import type { KnowledgeEntry, KnowledgeVersion, ReadOptions } from './knowledge-entry.js'
import type { KnowledgeSyncResult, SyncOptions } from './knowledge-sync.js'
import type { PutOptions } from './knowledge-put.js'
import type { Knowledge } from './knowledge.js'
import type { Mesh } from './mesh.js'
import { checkDomain } from './options.js'
import type { P2PNeuralMeshService } from './service.js'

/** What is said of knowledge: any object, of at most 1,024 bytes as CBOR. */
export interface KnowledgeMetadata {
  readonly [field: string]: unknown
}

/** All that is known of a domain, and what came of asking others for it. */
export interface KnowledgeBundle<T = unknown> {
  /** The domain. */
  readonly domain: string
  /** What each of its keys stands for, in the order of the keys. Values are fetched when they are asked for. */
  readonly entries: readonly KnowledgeVersion<T>[]
  /** A hash of all its entries, in hex: who has the same knows the same. Absent when nothing is known. */
  readonly digest?: string
  /** What came of asking others. */
  readonly sync: KnowledgeSyncResult
}

/**
 * Shared knowledge as a store of one domain: {@link Mesh.knowledge}, under the names of the roadmap's sketch. It differs from
 * that in these points:
 *
 * - it is made with a mesh, or with a service that is in one, and not with the configuration of an IPFS node: each node keeps
 *   blocks with IPFS's CIDs itself;
 * - it has no cache of its own, so that what others change is seen at once;
 * - an entry has `value`, `cid` and `writtenAt` for the sketch's `data`, `hash` and `timestamp`, and `siblings` besides;
 * - a peer that cannot be asked is in `failures`, and not in the console.
 *
 * @example
 * ```ts
 * const store = new DistributedKnowledgeStore(mesh, { domain: 'results' })
 * const cid = await store.storeKnowledge('digits', { accuracy: 0.95 }, { model: 'mlp' })
 * const entry = await store.retrieveKnowledge('digits')
 * ```
 */
export class DistributedKnowledgeStore {
  /** The domain that it stores in. */
  readonly domain: string
  readonly #where: Mesh | P2PNeuralMeshService

  /**
   * Takes a mesh, or a service that may join one later.
   *
   * @example
   * ```ts
   * const store = new DistributedKnowledgeStore(service)
   * ```
   */
  constructor(where: Mesh | P2PNeuralMeshService, options: { domain?: string | undefined } = {}) {
    const { domain = 'shared' } = options
    if (typeof where !== 'object' || where === null || !('knowledge' in where || 'mesh' in where)) {
      throw invalid('a DistributedKnowledgeStore is made with a Mesh or a P2PNeuralMeshService')
    }
    checkDomain(domain)
    this.domain = domain
    this.#where = where
  }

  /**
   * Puts data under a key: {@link Knowledge.put}.
   *
   * @returns the CID of the data
   * @throws MeshError as {@link Knowledge.put}; `closed` while there is no mesh
   * @example
   * ```ts
   * const cid = await store.storeKnowledge('digits', { accuracy: 0.95 }, { model: 'mlp' })
   * ```
   */
  async storeKnowledge(key: string, data: unknown, metadata?: KnowledgeMetadata, options: Omit<PutOptions, 'domain' | 'metadata'> = {}): Promise<string> {
    return (await this.#knowledge().put(key, data, { ...options, domain: this.domain, metadata })).cid
  }

  /**
   * What a key stands for: {@link Knowledge.get}.
   *
   * @throws MeshError as {@link Knowledge.get}; `closed` while there is no mesh
   * @example
   * ```ts
   * const { value, metadata } = (await store.retrieveKnowledge('digits')) ?? {}
   * ```
   */
  async retrieveKnowledge<T = unknown>(key: string, options: ReadOptions = {}): Promise<KnowledgeEntry<T> | null> {
    return this.#knowledge().get<T>(key, { ...options, domain: this.domain })
  }

  /**
   * Compares a domain with peers, and exchanges what differs: {@link Knowledge.sync}.
   *
   * @param domain need not be that of this store
   * @param peers peer ids or addresses `name@peerId`. Default: all that are connected
   * @throws MeshError as {@link Knowledge.sync}; `closed` while there is no mesh
   * @example
   * ```ts
   * const { received, failures } = await store.syncKnowledgeDomain('results', [ada.peerId])
   * ```
   */
  async syncKnowledgeDomain(domain: string, peers?: readonly string[], options?: SyncOptions): Promise<KnowledgeSyncResult> {
    return this.#knowledge().sync(domain, peers, options)
  }

  #knowledge(): Knowledge {
    const mesh = 'knowledge' in this.#where ? this.#where : this.#where.mesh
    if (mesh) return mesh.knowledge
    throw new MeshError('closed', 'the service of this store is not in a mesh: call and await initialize() first')
  }
}

/** @internal Asks all that are connected for a domain, and gathers what is known of it then. */
export async function bundleOf<T>(knowledge: Knowledge, domain: string, options: SyncOptions = {}): Promise<KnowledgeBundle<T>> {
  const { signal } = options
  const sync = await knowledge.sync(domain, undefined, options)
  const entries: KnowledgeVersion<T>[] = []
  for await (const entry of knowledge.keys<T>(domain, { signal })) entries.push(entry)
  const known = (await knowledge.domains({ signal })).find(known => known.domain === domain)
  return { domain, entries, ...(known && { digest: known.digest }), sync }
}
