import type { EntryInfo } from './generated/mesh_wasm.js'
import { definedOnly } from './agents.js'
import { MAX_METADATA, decodeValue } from './codec.js'
import { MeshError } from './errors.js'
import type { CallOptions } from './options.js'

/** How far content has come. */
export interface ContentProgress {
  /** Bytes that are here. */
  readonly bytes: number
  /** Bytes in all, where that is known. */
  readonly total?: number
}

/** How to get content. */
export interface ReadOptions extends CallOptions {
  /** More bytes than that are refused with `too-large`. Default 64 MiB. */
  maxBytes?: number | undefined
  /** Called as bytes come from others; the last time with all of them. */
  onProgress?: ((progress: ContentProgress) => unknown) | undefined
  /** Milliseconds without progress until it is given up. Default 30,000. */
  timeoutMs?: number | undefined
}

/** What is known of one version of a key: what its author has signed. */
export interface KnowledgeInfo {
  /** `name`, or `name@peerId` of the node whose domain it is. */
  readonly domain: string
  /** The key; `''` of a `grant`. */
  readonly key: string
  /** Whether the key stands for content, was taken away, or others may write in the domain: {@link Knowledge.grant}. */
  readonly change: 'put' | 'delete' | 'grant'
  /** Names it among all that was ever under the key. */
  readonly version: string
  /** The peer id of who wrote it. */
  readonly author: string
  /** When, by its author's clock: unix milliseconds. */
  readonly writtenAt: number
  /** The CID of the content, of a `put`. */
  readonly cid?: string
  /** Bytes of the content; 0 if there is none. */
  readonly size: number
  /** How the content is to be read: `cbor`, `text`, `bytes`, `f32` …, or what its author has said; `''` if there is none. */
  readonly type: string
  /** How many nodes are to hold it beside its author; 0 if there is no content. */
  readonly replicas: number
  /** What its author has said of it, from CBOR; the bytes if they are none. Check it before you rely on its shape. */
  readonly metadata?: unknown
  /** From when on the key counts as taken away: unix milliseconds. */
  readonly expiresAt?: number
  /** Peer ids of those who may write in the domain beside its owner, of a `grant`. */
  readonly writers?: readonly string[]
}

/** A version whose value is fetched when it is asked for. */
export interface KnowledgeVersion<T = unknown> extends KnowledgeInfo {}

/** A version whose value is fetched when it is asked for. */
export class KnowledgeVersion<T = unknown> {
  readonly #read: (info: KnowledgeInfo, options: ReadOptions) => Promise<unknown>

  /** @internal */
  constructor(info: KnowledgeInfo, read: (info: KnowledgeInfo, options: ReadOptions) => Promise<unknown>) {
    Object.assign(this, info)
    this.#read = read
  }

  /**
   * The value, from here or from others. Comes from somebody else: check it before you rely on its shape.
   *
   * @throws MeshError `not-found` when nobody who can be reached has it, or the version has no value; `too-large`; `integrity`
   * when it is not of its type
   * @example
   * ```ts
   * const values = await Promise.all(entry.siblings.map(sibling => sibling.value()))
   * ```
   */
  async value(options: ReadOptions = {}): Promise<T> {
    return this.#read(this, options) as Promise<T>
  }
}

/** What a key stands for. */
export interface KnowledgeEntry<T = unknown> extends KnowledgeInfo {
  readonly change: 'put'
  readonly cid: string
  /** The value. Comes from somebody else: check it before you rely on its shape. */
  readonly value: T
  /** What others have written of the key without knowing of this, and that has not been replaced: the latest first. */
  readonly siblings: readonly KnowledgeVersion<T>[]
}

/** What becomes of a key. */
export interface KnowledgeChange<T = unknown> {
  /** Where. */
  readonly domain: string
  /** Of which key. */
  readonly key: string
  /** It stands for something else, was taken away, or is over. */
  readonly change: 'put' | 'delete' | 'expired'
  /** Whether the key stands for this now. Else it is one more sibling. */
  readonly current: boolean
  /** What was written; absent when it is over. */
  readonly entry?: KnowledgeVersion<T>
}

/** @internal The entry as users see it. */
export function toInfo(entry: EntryInfo): KnowledgeInfo {
  const { domain, key, change, version, author, writtenAt, cid, size, type, replicas, expiresAt } = entry
  const metadata = entry.metadata && toMetadata(entry.metadata)
  const writers = change === 'grant' ? entry.writers : undefined
  return { domain, key, change, version, author, writtenAt, size, type, replicas, ...definedOnly({ cid, metadata, expiresAt, writers }) }
}

/** @internal Whether there is something under the key. */
export function isLive({ change, expiresAt }: KnowledgeInfo): boolean {
  return change === 'put' && (expiresAt === undefined || expiresAt > Date.now())
}

/** @internal */
export function nothingThere({ key, domain }: { key: string; domain: string }): MeshError {
  return new MeshError('not-found', `there is nothing under '${key}' in '${domain}', as far as this node knows`)
}

function toMetadata(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes, MAX_METADATA)
  } catch {
    return bytes
  }
}
