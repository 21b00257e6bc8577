import type { EntryInfo, MeshEvent as CoreEvent } from './generated/mesh_wasm.js'
import { follow } from './bounded.js'
import { SharedContent, checkRead } from './content.js'
import type { Core } from './core.js'
import { MeshError, invalid } from './errors.js'
import type { MeshEvent } from './events.js'
import type { EventHub } from './hub.js'
import {
  KnowledgeVersion,
  isLive,
  nothingThere,
  toInfo,
  type KnowledgeChange,
  type KnowledgeEntry,
  type KnowledgeInfo,
  type ReadOptions,
} from './knowledge-entry.js'
import { checked, toPutInfo, type DomainOptions, type PutOptions, type StoredKnowledge } from './knowledge-put.js'
import { Asked, checkPeers, syncWith, type KnowledgeSyncResult, type SyncOptions } from './knowledge-sync.js'
import { fromContent, toContent } from './knowledge-values.js'
import { checkCall, checkCallback, checkDomain, checkText, type CallOptions } from './options.js'
import { mapped } from './stream.js'

/** Which keys to list. */
export interface KeysOptions {
  /** Only those that begin with this. */
  prefix?: string | undefined
  /** Only those that come after this one. */
  after?: string | undefined
  /** At most so many. Default: all. */
  limit?: number | undefined
  /** Ends the iteration. */
  signal?: AbortSignal | undefined
}

/** What is known of a domain. */
export interface KnowledgeDomain {
  /** `name`, or `name@peerId`. */
  readonly domain: string
  /** Entries, with those that take a key away. */
  readonly entries: number
  /** A hash of them, in hex: two nodes with the same know the same. */
  readonly digest: string
}

const MAX_WRITERS = 64
// Keys that are asked of the core at a time.
const PAGE = 256

/**
 * Shared knowledge: {@link Mesh.knowledge}. What keys stand for is known to every node; the values are held by a few, and fetched
 * from there. Of two who write a key without knowing of each other the later wins, and the other is kept beside it. What was
 * replaced is not kept: there is no history.
 */
export class Knowledge extends SharedContent {
  readonly #core: Core
  readonly #hub: EventHub
  readonly #asked: Asked
  readonly #read = (info: KnowledgeInfo, options: ReadOptions) => this.#valueOf(info, options)

  /** @internal */
  constructor(core: Core, hub: EventHub) {
    super(core, hub)
    this.#core = core
    this.#hub = hub
    this.#asked = new Asked(core)
  }

  /**
   * Puts a value under a key, and waits until it is kept here and, for `waitMs`, until others hold it: `holders` says who does.
   * It replaces all that this node knows of the key.
   *
   * @param value bytes, typed arrays, texts, or anything else that CBOR can carry. Bytes and texts have the CIDs that IPFS gives
   * files of them
   * @throws MeshError `storage-full` when there is no room here, `not-a-writer` when the domain is somebody else's, `over-quota`,
   * `not-a-member`, `store-failed`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * const { cid, holders } = await mesh.knowledge.put('digits/accuracy', { model: 'mlp', accuracy: 0.95 }, { domain: 'results' })
   * ```
   */
  async put(key: string, value: unknown, options: PutOptions = {}): Promise<StoredKnowledge> {
    const domain = checked(key, options)
    const { type, bytes } = toContent(value, options.type)
    const info = { type, ...toPutInfo(options) }
    const stored = await this.#core.call(options, (node, signal) => node.putKnowledge(domain, key, bytes, info, signal))
    return { ...stored, domain, key }
  }

  /**
   * What a key stands for; `null` if nothing, or if it was taken away or is over. If this node knows nothing of the key, and has
   * not compared the domain with anybody yet, it does so with up to two peers before, for at most `timeoutMs`, or 5,000.
   *
   * @throws MeshError `not-found` when nobody who can be reached has the value, `too-large`, `integrity` when it is not of its type
   * @example
   * ```ts
   * const entry = await mesh.knowledge.get('digits/accuracy', { domain: 'results' })
   * console.log(entry?.value, entry?.author, entry?.siblings.length)
   * ```
   */
  async get<T = unknown>(key: string, options: ReadOptions & DomainOptions = {}): Promise<KnowledgeEntry<T> | null> {
    const domain = checked(key, options)
    checkRead(options)
    let versions = await this.#versions<T>(domain, key, options)
    if (versions.length === 0 && (await this.#asked.once(domain, options))) versions = await this.#versions(domain, key, options)
    for (;;) {
      const [first, ...others] = versions
      if (!first || !isLive(first)) return null
      const got = await this.#valueUnlessReplaced(first, options)
      if (got) return { ...(first as KnowledgeInfo as KnowledgeEntry<T>), value: got.value as T, siblings: others.filter(isLive) }
      versions = await this.#versions(domain, key, options)
    }
  }

  /**
   * All versions of a key of which none replaces another, the latest first: also ones that take it away, or are over.
   *
   * @example
   * ```ts
   * for (const { author, metadata } of await mesh.knowledge.entries('digits/accuracy')) console.log(author, metadata)
   * ```
   */
  async entries<T = unknown>(key: string, options: DomainOptions = {}): Promise<KnowledgeVersion<T>[]> {
    return this.#versions(checked(key, options), key, options)
  }

  /**
   * Takes a key away, with all that this node knows of it.
   *
   * @returns what stands there instead: a version that says so
   * @throws MeshError `not-a-writer`, `over-quota`, `not-a-member`, `store-failed`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.knowledge.delete('digits/accuracy', { domain: 'results' })
   * ```
   */
  async delete(key: string, options: DomainOptions = {}): Promise<string> {
    const domain = checked(key, options)
    return this.#core.call(options, node => node.deleteKnowledge(domain, key))
  }

  /**
   * The keys of a domain under which there is something, in order, each with what it stands for; not with its value.
   *
   * @example
   * ```ts
   * for await (const { key, size, metadata } of mesh.knowledge.keys('results', { prefix: 'digits/' })) console.log(key, size, metadata)
   * ```
   */
  async *keys<T = unknown>(domain = 'shared', options: KeysOptions = {}): AsyncGenerator<KnowledgeVersion<T>, undefined> {
    const { prefix = '', limit = Infinity, signal } = options
    let { after } = options
    checkDomain(domain)
    checkCall({ signal })
    checkText('prefix', prefix, Infinity)
    if (after !== undefined) checkText('after', after, Infinity)
    if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit > 0)) throw invalid('limit must be a whole number above 0')
    for (let left = limit; left > 0; ) {
      const page = await this.#core.call({ signal }, node => node.knowledgeKeys(domain, prefix, after, PAGE))
      for (const { key, entries } of page) {
        after = key
        const first = entries[0] && this.#toVersion<T>(entries[0])
        if (!first || !isLive(first)) continue
        yield first
        if (--left === 0) return
      }
      if (page.length < PAGE) return
    }
  }

  /**
   * The domains of which this node knows something.
   *
   * @example
   * ```ts
   * const names = (await mesh.knowledge.domains()).map(({ domain }) => domain)
   * ```
   */
  async domains(options: CallOptions = {}): Promise<KnowledgeDomain[]> {
    checkCall(options)
    return this.#core.call(options, node => node.knowledgeDomains())
  }

  /**
   * What changes in a domain from now on, this node's own changes included: to a listener, until the returned function is called,
   * or as an iteration. A loop that lags more than 1,024 behind loses the oldest, and a `lagged` event says how many.
   *
   * @example
   * ```ts
   * for await (const { key, change, entry } of mesh.knowledge.subscribe('results')) console.log(key, change, await entry?.value())
   * ```
   */
  subscribe<T = unknown>(domain: string, listener: (change: KnowledgeChange<T>) => unknown): () => void
  subscribe<T = unknown>(domain: string, options?: { signal?: AbortSignal | undefined }): AsyncIterableIterator<KnowledgeChange<T>>
  subscribe<T>(
    domain: string,
    how: ((change: KnowledgeChange<T>) => unknown) | { signal?: AbortSignal | undefined } = {},
  ): (() => void) | AsyncIterableIterator<KnowledgeChange<T>> {
    this.#core.checkOpen()
    checkDomain(domain)
    if (typeof how === 'function') {
      const tell = (event: ChangeEvent) => (concerns(event, domain) ? how(toChange(event)) : undefined)
      const stops = CHANGES.map(type => this.#hub.on<ChangeType>(type, tell))
      return () => stops.forEach(stop => stop())
    }
    checkCall({ signal: how.signal })
    const accepts = (event: ChangeEvent) => concerns(event, domain)
    return mapped(this.#hub.stream<ChangeType>(CHANGES, { accepts, signal: how.signal }), toChange<T>)
  }

  /**
   * Compares a domain with peers, and exchanges what differs. Nodes do so by themselves when they meet, and from time to time;
   * this is for those who want to know now.
   *
   * @param peers peer ids or addresses `name@peerId`. Default: all that are connected
   * @throws MeshError `aborted`, `closed`, `invalid-argument`; what fails with one peer is in `failures`
   * @example
   * ```ts
   * const { received, failures } = await mesh.knowledge.sync('results')
   * ```
   */
  async sync(domain = 'shared', peers?: readonly string[], options: SyncOptions = {}): Promise<KnowledgeSyncResult> {
    checkDomain(domain)
    checkCall(options)
    checkCallback('onProgress', options.onProgress)
    const peerIds = peers && checkPeers(peers)
    const result = await syncWith(this.#core, this.#hub, domain, peerIds, options)
    if (result.peers.some(peer => peer.whole)) this.#asked.remember(domain)
    return result
  }

  /**
   * Says who may write in a domain of this node beside it, and nobody else: at most 64 nodes. What those have written who may no
   * more does not count any more.
   *
   * @param domain one that {@link Knowledge.ownDomain} has named
   * @returns the version of the list
   * @throws MeshError `not-a-writer` when the domain is somebody else's, `not-a-member`, `store-failed`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.knowledge.grant(mesh.knowledge.ownDomain('plans'), [bob.peerId])
   * ```
   */
  async grant(domain: string, peerIds: readonly string[], options: CallOptions = {}): Promise<string> {
    checkDomain(domain)
    checkCall(options)
    if (!domain.includes('@')) throw invalid(`everybody writes in '${domain}': a domain of this node is '${domain}@${this.#core.peerId}', see ownDomain()`)
    const writers = checkPeers(peerIds)
    if (writers.length > MAX_WRITERS) throw invalid(`at most ${MAX_WRITERS} others may write in a domain, not ${writers.length}`)
    if (!domain.endsWith(`@${this.#core.peerId}`)) throw new MeshError('not-a-writer', `only the owner of '${domain}' says who writes there`)
    return this.#core.call(options, node => node.grantKnowledge(domain, writers))
  }

  /**
   * The full name of a domain of this node, in which only it writes, and those whom it lets: {@link Knowledge.grant}.
   *
   * @example
   * ```ts
   * await mesh.knowledge.put('next', 'sleep', { domain: mesh.knowledge.ownDomain('plans') })
   * ```
   */
  ownDomain(name: string): string {
    checkDomain(name)
    if (name.includes('@')) throw invalid(`the name of a domain must not hold '@': '${name}'`)
    return `${name}@${this.#core.peerId}`
  }

  /** @internal The core has told something. */
  told(event: CoreEvent & { type: 'knowledge-changed' | 'knowledge-compared' }): void {
    if (event.type === 'knowledge-changed') {
      return this.#hub.emit({ type: event.type, entry: this.#toVersion(event.entry), current: event.current })
    }
    const { domain, whole } = event.compared
    if (whole) this.#asked.remember(domain)
    this.#hub.emit({ type: event.type, ...event.compared })
  }

  async #versions<T>(domain: string, key: string, { signal }: CallOptions): Promise<KnowledgeVersion<T>[]> {
    const entries = await this.#core.call({ signal }, node => node.knowledge(domain, key))
    return entries.map(entry => this.#toVersion<T>(entry))
  }

  #toVersion<T>(entry: EntryInfo): KnowledgeVersion<T> {
    return new KnowledgeVersion<T>(toInfo(entry), this.#read)
  }

  async #valueOf(info: KnowledgeInfo, options: ReadOptions): Promise<unknown> {
    checkRead(options)
    const { cid, size, type } = info
    if (cid === undefined) throw nothingThere(info)
    return fromContent({ type, bytes: await this.read(cid, size, options) })
  }

  // Nothing when the key stands for something else before the value is here: what was replaced may be nowhere any more.
  async #valueUnlessReplaced(info: KnowledgeInfo, options: ReadOptions): Promise<{ value: unknown } | undefined> {
    const { domain, key, version } = info
    const replaced = new AbortController()
    const look = async () => {
      const now = await this.#versions(domain, key, {}).catch(() => undefined)
      if (now && now[0]?.version !== version) replaced.abort()
    }
    const stop = this.#hub.on('knowledge-changed', ({ entry, current }) => {
      if (current && entry.domain === domain && entry.key === key) void look()
    })
    // It may have been told of already.
    void look()
    const unfollow = follow(replaced, options.signal)
    try {
      return { value: await this.#valueOf(info, { ...options, signal: replaced.signal }) }
    } catch (error) {
      if (replaced.signal.aborted && !options.signal?.aborted) return undefined
      throw error
    } finally {
      unfollow()
      stop()
    }
  }
}

type ChangeType = 'knowledge-changed' | 'knowledge-expired'
type ChangeEvent = MeshEvent<ChangeType>
const CHANGES: readonly ChangeType[] = ['knowledge-changed', 'knowledge-expired']

function concerns(event: ChangeEvent, domain: string): boolean {
  if (event.type === 'knowledge-expired') return event.domain === domain
  return event.entry.domain === domain && event.entry.change !== 'grant'
}

function toChange<T>(event: ChangeEvent): KnowledgeChange<T> {
  if (event.type === 'knowledge-expired') return { domain: event.domain, key: event.key, change: 'expired', current: true }
  const { entry, current } = event
  return { domain: entry.domain, key: entry.key, change: entry.change as 'put' | 'delete', current, entry: entry as KnowledgeVersion<T> }
}
