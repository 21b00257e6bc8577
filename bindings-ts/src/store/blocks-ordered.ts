import { MeshError, invalid } from '../errors.js'
import type { BlockStore, StoredBlock } from './blocks.js'

/** @internal Characters of the longest CID. */
export const MAX_CID = 128
/** @internal Bytes of the largest block: what IPFS peers exchange (https://specs.ipfs.tech/bitswap-protocol/, block sizes). */
export const MAX_BLOCK = 2 * 1024 * 1024
/** @internal Bytes of all blocks of one `put`: browsers hold them in memory a second time while it is made. */
export const MAX_PUT = 64 * 1024 * 1024

const CID = /^[a-z0-9]+$/
// A disk, a user's quota, the largest file that the process may write, what the browser gives an origin.
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'QuotaExceededError'])

/**
 * @internal What a place to keep blocks does itself. `list` comes first, and after one that threw only `close`. Changes come
 * one at a time and are not empty; `get` at any time. Whatever they throw but a `MeshError` becomes `storage-full` or
 * `store-failed`.
 */
export interface BlockKeeper {
  /** What it is, and where, for messages. */
  readonly name: string
  list(): Promise<[cid: string, bytes: number][]>
  /** The caller's own bytes. */
  get(cid: string): Promise<Uint8Array | undefined>
  /** The bytes stay as they are until this has ended, and are the caller's again after that. */
  put(blocks: ReadonlyMap<string, Uint8Array>): Promise<void>
  delete(cids: ReadonlySet<string>): Promise<void>
  /** Idempotent. Nothing else is under way. */
  close(): Promise<void>
}

/** @internal What all block stores have in common: arguments are checked, changes wait in line, a failure is a code. */
export class OrderedBlocks implements BlockStore {
  readonly #keeper: BlockKeeper
  #listed: Promise<[cid: string, bytes: number][]> | undefined
  #lastChange: Promise<unknown> = Promise.resolve()
  readonly #reads = new Set<Promise<unknown>>()
  #closed: Promise<void> | undefined

  constructor(keeper: BlockKeeper) {
    this.#keeper = keeper
  }

  async list(): Promise<[cid: string, bytes: number][]> {
    this.#mustBeOpen()
    if (this.#listed) throw invalid(`${this.#keeper.name} is listed already: list() is called once`)
    this.#listed = this.#attempt(async () => {
      try {
        return await this.#keeper.list()
      } catch (error) {
        await this.#keeper.close().catch(() => {})
        throw error
      }
    })
    this.#lastChange = this.#listed.catch(() => {})
    return this.#listed
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    const listed = this.#mustBeListed('get')
    checkCid(cid)
    const read = listed.then(() => this.#attempt(() => this.#keeper.get(cid)))
    this.#reads.add(read)
    try {
      return await read
    } finally {
      this.#reads.delete(read)
    }
  }

  async put(blocks: readonly StoredBlock[]): Promise<void> {
    const listed = this.#mustBeListed('put')
    const batch = checkedBlocks(blocks)
    return this.#change(listed, async () => {
      if (batch.size > 0) await this.#keeper.put(batch)
    })
  }

  async delete(cids: readonly string[]): Promise<void> {
    const listed = this.#mustBeListed('delete')
    const batch = checkedCids(cids)
    return this.#change(listed, async () => {
      if (batch.size > 0) await this.#keeper.delete(batch)
    })
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled([this.#lastChange, ...this.#reads]).then(() => this.#keeper.close()).catch(() => {})
    return this.#closed
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new MeshError('closed', `${this.#keeper.name} is closed`)
  }

  #mustBeListed(call: string): Promise<unknown> {
    this.#mustBeOpen()
    if (!this.#listed) throw invalid(`${this.#keeper.name} is not listed: call list() before ${call}()`)
    return this.#listed
  }

  #change(listed: Promise<unknown>, work: () => Promise<void>): Promise<void> {
    const result = this.#lastChange.then(() => listed).then(() => this.#attempt(work))
    this.#lastChange = result.catch(() => {})
    return result
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      throw MeshError.isInstance(cause) ? cause : failed(this.#keeper.name, cause)
    }
  }
}

function failed(name: string, cause: unknown): MeshError {
  const thrown = (cause ?? {}) as { code?: unknown; name?: unknown; message?: unknown }
  const reason = String(thrown.message || thrown.name || cause)
  if (FULL.has(String(thrown.code)) || FULL.has(String(thrown.name))) {
    const message = `${name} has no room left (${reason}): what it keeps is still there; make room, then try again`
    return new MeshError('storage-full', message, { cause })
  }
  return new MeshError('store-failed', `${name} failed (${reason}): mend it and try again, or open it anew`, { cause })
}

// By CID: of one that comes twice the later.
function checkedBlocks(blocks: readonly StoredBlock[]): Map<string, Uint8Array> {
  if (!Array.isArray(blocks)) throw invalid('put() takes an array of { cid, data }')
  const batch = new Map<string, Uint8Array>()
  let bytes = 0
  for (const { cid, data } of blocks as readonly StoredBlock[]) {
    checkCid(cid)
    if (!(data instanceof Uint8Array)) throw invalid(`the data of ${cid} must be a Uint8Array`)
    if (data.length > MAX_BLOCK) throw tooLarge(`the block ${cid}`, data.length, MAX_BLOCK)
    bytes += data.length
    if (bytes > MAX_PUT) throw tooLarge('one put() of blocks', bytes, MAX_PUT)
    batch.set(cid, data)
  }
  return batch
}

function checkedCids(cids: readonly string[]): Set<string> {
  if (!Array.isArray(cids)) throw invalid('delete() takes an array of CIDs')
  cids.forEach(checkCid)
  return new Set(cids)
}

function checkCid(cid: unknown): void {
  if (typeof cid === 'string' && cid.length <= MAX_CID && CID.test(cid)) return
  throw invalid(`the CID of a block is 1 to ${MAX_CID} characters of a to z and 0 to 9, not ${JSON.stringify(cid)?.slice(0, MAX_CID)}`)
}

function tooLarge(what: string, size: number, max: number): MeshError {
  return new MeshError('too-large', `${what} has ${size} bytes; at most ${max} are taken`, { details: { size, max } })
}
