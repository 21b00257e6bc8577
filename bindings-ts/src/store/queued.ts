import { MeshError, invalid } from '../errors.js'
import type { MeshStore, StoreChange } from './store.js'

/** @internal Characters of the longest key. */
export const MAX_KEY = 128
/** @internal Bytes of the largest value. */
export const MAX_VALUE = 400 * 1024
/** @internal Bytes of keys and values in one write: what is held in memory, twice, while it is made. */
export const MAX_WRITE = 16 * 1024 * 1024

/** @internal What is kept, by key. */
export type Live = Map<string, Uint8Array>

/** @internal Makes changes to what is kept. */
export function apply(live: Live, changes: readonly StoreChange[]): void {
  for (const { key, value } of changes) {
    if (value) live.set(key, value)
    else live.delete(key)
  }
}

/**
 * @internal What a place to keep things does itself. Calls come one at a time, `load` first; after one that threw comes
 * only `close`. Whatever they throw but a `MeshError` becomes `store-failed`.
 */
export interface Keeper {
  /** What it is, and where, for messages. */
  readonly name: string
  load(): Promise<Iterable<readonly [key: string, value: Uint8Array]>>
  /** The values are this keeper's own. */
  write(changes: readonly StoreChange[]): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

/** @internal What all stores have in common: arguments are checked and copied, calls wait in line, a failure is final. */
export class QueuedStore implements MeshStore {
  readonly #keeper: Keeper
  #last: Promise<unknown> = Promise.resolve()
  #loaded = false
  #failure: MeshError | undefined
  #closed: Promise<void> | undefined

  constructor(keeper: Keeper) {
    this.#keeper = keeper
  }

  async load(): Promise<[key: string, value: Uint8Array][]> {
    this.#mustBeOpen()
    if (this.#loaded) throw invalid(`${this.#keeper.name} is loaded already: load() is called once`)
    this.#loaded = true
    return this.#next(async () => {
      try {
        return Array.from(await this.#keeper.load(), ([key, value]) => [key, new Uint8Array(value)])
      } catch (error) {
        await this.#keeper.close().catch(() => {})
        throw error
      }
    })
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    this.#mustBeOpen()
    if (!this.#loaded) throw invalid(`${this.#keeper.name} is not loaded: call load() before write()`)
    const copies = checked(changes)
    return this.#next(async () => {
      if (copies.length > 0) await this.#keeper.write(copies)
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#last.then(() => this.#keeper.close()).catch(() => {})
    return this.#closed
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new MeshError('closed', `${this.#keeper.name} is closed`)
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      if (this.#failure) throw this.#failure
      try {
        return await work()
      } catch (cause) {
        this.#failure = MeshError.isInstance(cause) ? cause : failed(this.#keeper.name, cause)
        throw this.#failure
      }
    })
    this.#last = result.catch(() => {})
    return result
  }
}

function failed(name: string, cause: unknown): MeshError {
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause)
  const message = `${name} failed (${reason}), and what it holds is not certain any more; make room or mend it, then open it anew`
  return new MeshError('store-failed', message, { cause })
}

function checked(changes: readonly StoreChange[]): StoreChange[] {
  const copies: StoreChange[] = []
  let bytes = 0
  for (const { key, value } of changes) {
    if (typeof key !== 'string' || key.length > MAX_KEY || !/^[ -~]+$/.test(key)) {
      throw invalid(`a key of a store is 1 to ${MAX_KEY} characters of printable ASCII, not ${JSON.stringify(key)?.slice(0, MAX_KEY)}`)
    }
    if (value !== undefined && !(value instanceof Uint8Array)) throw invalid(`the value of ${key} must be a Uint8Array`)
    const length = value?.length ?? 0
    if (length > MAX_VALUE) throw tooLarge(`the value of ${key}`, length, MAX_VALUE)
    bytes += key.length + length
    if (bytes > MAX_WRITE) throw tooLarge('one write to a store', bytes, MAX_WRITE)
    copies.push({ key, value: value && new Uint8Array(value) })
  }
  return copies
}

function tooLarge(what: string, size: number, max: number): MeshError {
  return new MeshError('too-large', `${what} has ${size} bytes; at most ${max} are taken`, { details: { size, max } })
}
