import { MeshError } from './errors.js'

/** @internal Items that a consumer may lag behind before the oldest are dropped. */
export const MAX_LAG = 1024
/** @internal Bytes that a consumer of weights may lag behind before the oldest are dropped. */
export const MAX_LAG_BYTES = 256 * 1024 * 1024

/** @internal What becomes of an item that must not be dropped; the stream calls at most one of these, once. */
export interface Handover {
  /** The consumer has it. */
  pulled(): void
  /** The consumer went away without it. */
  unread(): void
}

/** @internal */
export interface StreamOptions<T> {
  /** Ends the stream. */
  signal?: AbortSignal | undefined
  /** Told how many items were dropped, each time some are. */
  onDrop?: (dropped: number) => void
  /** Told once when the stream takes no more. */
  onClose?: () => void
  /** Makes the item that tells the consumer how many were dropped before what it gets next. */
  lagged?: (dropped: number) => T
}

interface Entry<T> {
  value: T
  bytes: number
  handover: Handover | undefined
}

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void
  reject(error: MeshError): void
}

/**
 * A bounded buffer between the event pump and one `for await`. Registered when made, so nothing is missed between that
 * and the first `next()`. When it is full the oldest item is dropped, except those that come with a {@link Handover}:
 * their number is bounded by whoever hands them over.
 *
 * @internal
 */
export class Stream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: StreamOptions<T>
  #entries: Entry<T>[] = []
  #waiters: Waiter<T>[] = []
  #bytes = 0
  #droppable = 0
  #dropped = 0
  #ended = false
  #error: MeshError | undefined

  constructor(options: StreamOptions<T> = {}) {
    this.#options = options
    if (options.signal?.aborted) this.#stop()
    else options.signal?.addEventListener('abort', this.#onAbort)
  }

  /** Hands an item to the consumer, now or when it asks. */
  push(value: T, options: { handover?: Handover | undefined; bytes?: number } = {}): void {
    const { handover, bytes = 0 } = options
    if (this.#ended) return handover?.unread()
    const waiter = this.#waiters.shift()
    if (waiter) {
      handover?.pulled()
      return waiter.resolve({ done: false, value })
    }
    const entry = { value, bytes, handover }
    this.#entries.push(entry)
    if (!handover) this.#count(entry)
  }

  /** Somebody else has the item of this handover: here, it is one like any other. */
  relax(handover: Handover): void {
    const entry = this.#entries.find(entry => entry.handover === handover)
    if (!entry) return
    entry.handover = undefined
    this.#count(entry)
  }

  /** Forgets the items that come with a handover: there is nobody any more to hand them over to. */
  discard(): void {
    this.#entries = this.#entries.filter(entry => !entry.handover)
  }

  /** The producer has no more. What is buffered can still be read, except items with a handover. */
  end(error?: MeshError): void {
    if (this.#ended) return
    this.discard()
    this.#error = error
    this.#stop()
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#dropped > 0 && this.#options.lagged) {
      const value = this.#options.lagged(this.#dropped)
      this.#dropped = 0
      return Promise.resolve({ done: false, value })
    }
    const entry = this.#entries.shift()
    if (entry) {
      this.#uncount(entry)
      entry.handover?.pulled()
      return Promise.resolve({ done: false, value: entry.value })
    }
    const error = this.#error
    if (error) {
      this.#error = undefined
      return Promise.reject(error)
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#close()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  // The consumer wants no more: what it has not read goes back to whoever handed it over.
  #close(): void {
    const unread = this.#entries
    this.#entries = []
    this.#dropped = 0
    this.#error = undefined
    this.#stop()
    for (const entry of unread) entry.handover?.unread()
  }

  readonly #onAbort = () => this.#close()

  #stop(): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) {
      if (this.#error) waiter.reject(this.#error)
      else waiter.resolve({ done: true, value: undefined })
    }
    if (waiters.length > 0) this.#error = undefined
    this.#options.onClose?.()
  }

  // The newest item always stays, however large it is.
  #makeRoom(): void {
    let dropped = 0
    while (this.#droppable > 1 && (this.#droppable > MAX_LAG || this.#bytes > MAX_LAG_BYTES)) {
      const oldest = this.#entries.findIndex(entry => !entry.handover)
      this.#uncount(this.#entries.splice(oldest, 1)[0]!)
      dropped++
    }
    if (dropped === 0) return
    this.#dropped += dropped
    this.#options.onDrop?.(dropped)
  }

  #count(entry: Entry<T>): void {
    this.#droppable++
    this.#bytes += entry.bytes
    this.#makeRoom()
  }

  #uncount(entry: Entry<T>): void {
    if (entry.handover) return
    this.#droppable--
    this.#bytes -= entry.bytes
  }
}

/** @internal A stream as what `map` makes of its items. No generator: one that is left before its first step would leave the stream behind. */
export function mapped<T, U>(stream: Stream<T>, map: (item: T) => U): AsyncIterableIterator<U, undefined> {
  return {
    async next() {
      const item = await stream.next()
      return item.done ? item : { done: false, value: map(item.value) }
    },
    async return() {
      return stream.return() as Promise<IteratorReturnResult<undefined>>
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
