import type { PutInfo } from './generated/mesh_wasm.js'
import { definedOnly } from './agents.js'
import { MAX_METADATA, encodeValue } from './codec.js'
import { invalid } from './errors.js'
import { checkCall, checkDomain, checkKey, type CallOptions } from './options.js'

/** In which domain a key is. */
export interface DomainOptions extends CallOptions {
  /** `name`, in which everybody writes, or `name@peerId`, in which that node does. Default `'shared'`. */
  domain?: string | undefined
}

/** How to put a value under a key. */
export interface PutOptions extends DomainOptions {
  /** What to say of it: at most 1,024 bytes as CBOR. Others have it without fetching the value. */
  metadata?: unknown
  /** How many others are to hold it, 1 to 8. Default 3. */
  replicas?: number | undefined
  /** Milliseconds from now until the key counts as taken away. */
  ttlMs?: number | undefined
  /** When the key counts as taken away: a date, or unix milliseconds. */
  expiresAt?: Date | number | undefined
  /** A MIME type for bytes, at most 64 bytes. Default `bytes`. */
  type?: string | undefined
  /** Milliseconds in which others have to say that they hold it: with 0 nobody is waited for. Default 3,000. */
  waitMs?: number | undefined
}

/** A value that was put under a key. */
export interface StoredKnowledge {
  /** The CID of its bytes. */
  readonly cid: string
  /** Names what is under the key now among all that was ever there. */
  readonly version: string
  /** Where it is. */
  readonly domain: string
  /** Under which key. */
  readonly key: string
  /** Peer ids of those who have said that they hold it, this node included. */
  readonly holders: readonly string[]
  /** Peer ids of those who are to hold it. */
  readonly placed: readonly string[]
}

const MAX_REPLICAS = 8

/** @internal The domain of a key, both checked. */
export function checked(key: string, options: DomainOptions): string {
  checkCall(options)
  checkKey(key)
  const { domain = 'shared' } = options
  checkDomain(domain)
  return domain
}

/** @internal What the core is told. */
export function toPutInfo({ metadata, replicas = 3, ttlMs, expiresAt, waitMs }: PutOptions): Omit<PutInfo, 'type'> {
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > MAX_REPLICAS) throw invalid(`replicas must be a whole number from 1 to ${MAX_REPLICAS}`)
  if (waitMs !== undefined && !(typeof waitMs === 'number' && waitMs >= 0 && Number.isFinite(waitMs))) throw invalid('waitMs must be a number of milliseconds')
  const encoded = metadata === undefined ? undefined : encodeValue('metadata', metadata, MAX_METADATA)
  return { replicas, ...definedOnly({ metadata: encoded, expiresAt: endOf(ttlMs, expiresAt), waitMs }) }
}

// Unix milliseconds.
function endOf(ttlMs: unknown, expiresAt: unknown): number | undefined {
  if (ttlMs !== undefined && expiresAt !== undefined) throw invalid('give ttlMs or expiresAt, not both')
  if (ttlMs === undefined && expiresAt === undefined) return undefined
  const at = ttlMs === undefined ? (expiresAt instanceof Date ? expiresAt.getTime() : expiresAt) : typeof ttlMs === 'number' ? Date.now() + ttlMs : NaN
  const what = ttlMs === undefined ? 'expiresAt must be a date, or unix milliseconds,' : 'ttlMs must be a number of milliseconds, and its end'
  if (typeof at !== 'number' || !(at > Date.now() && at <= Number.MAX_SAFE_INTEGER)) throw invalid(`${what} in the future`)
  return Math.ceil(at)
}
