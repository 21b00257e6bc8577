import { invalid, type MeshError } from './errors.js'
import type { MeshEvent, MeshEventTarget, MeshEventType, MeshListener } from './events.js'
import { Mailbox } from './mailbox.js'
import { Stream } from './stream.js'

interface Registration {
  listener: (event: never) => unknown
  once: boolean
}

interface Tap {
  types: readonly MeshEventType[] | undefined
  accepts: (event: never) => boolean
  stream: Stream<never>
}

/**
 * Fans events out: to listeners, synchronously and in the order of their registration, and to streams, which buffer.
 * Lives as long as the object that users attach to; `end()` closes its streams, listeners stay.
 *
 * @internal
 */
export class EventHub implements MeshEventTarget {
  readonly #listeners = new Map<MeshEventType, Registration[]>()
  readonly #taps = new Set<Tap>()
  readonly #watchers: ((type: MeshEventType | undefined) => void)[] = []
  #dropped = 0
  /** Direct messages on their way to the application. */
  readonly mailbox: Mailbox = new Mailbox(this)

  on<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void {
    return this.#add(type, listener, false)
  }

  once<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void {
    return this.#add(type, listener, true)
  }

  off<K extends MeshEventType>(type: K, listener: MeshListener<K>): void {
    const registration = this.#listeners.get(type)?.find(candidate => candidate.listener === listener)
    if (registration) this.#remove(type, registration)
  }

  /** All events, or those of one type or some that `accepts` lets through, as a stream of its own buffer. */
  stream<K extends MeshEventType>(
    type: K | readonly K[] | undefined,
    options: { accepts?: ((event: MeshEvent<K>) => boolean) | undefined; signal?: AbortSignal | undefined } = {},
  ): Stream<MeshEvent<K>> {
    const { accepts = () => true, signal } = options
    let tap: Tap | undefined
    const stream = new Stream<MeshEvent<K>>({
      signal,
      onDrop: dropped => this.#countDropped(dropped),
      onClose: () => tap && this.#taps.delete(tap),
      ...(type === undefined && { lagged: (dropped: number) => lagged(dropped) as MeshEvent as MeshEvent<K> }),
    })
    if (signal?.aborted) return stream
    const types = type === undefined ? undefined : typeof type === 'string' ? [type] : type
    tap = { types, accepts, stream: stream as Stream<never> }
    this.#taps.add(tap)
    for (const one of types ?? [undefined]) this.#tellWatchers(one)
    return stream
  }

  /** Calls `watcher` whenever somebody begins to listen to `type`; `undefined` stands for all types. */
  watch(watcher: (type: MeshEventType | undefined) => void): void {
    this.#watchers.push(watcher)
  }

  /** Whether there is a listener for such events. */
  listens(type: MeshEventType): boolean {
    return (this.#listeners.get(type)?.length ?? 0) > 0
  }

  /** Streams that take `event`. */
  streams(event: MeshEvent): Stream<MeshEvent>[] {
    const taps = [...this.#taps].filter(tap => (tap.types?.includes(event.type) ?? true) && tap.accepts(event as never))
    return taps.map(tap => tap.stream as Stream<MeshEvent>)
  }

  /** Tells everybody. Bytes count towards the bounds of streams. */
  emit(event: MeshEvent, bytes = 0): void {
    for (const stream of this.streams(event)) stream.push(event, { bytes })
    this.callListeners(event)
  }

  /** Calls listeners; whatever they throw is reported, so that the event pump lives. */
  callListeners(event: MeshEvent): void {
    for (const registration of [...(this.#listeners.get(event.type) ?? [])]) {
      if (registration.once) this.#remove(event.type, registration)
      this.guard(() => registration.listener(event as never), event.type)
    }
  }

  /** Runs somebody else's code: what it throws, or rejects with, becomes an `error` event. */
  guard(code: () => unknown, during?: MeshEventType): void {
    const report = (error: unknown) => this.#report(error, during)
    try {
      const result = code()
      if (isThenable(result)) result.then(undefined, report)
    } catch (error) {
      report(error)
    }
  }

  /** Forgets direct messages that nobody has read: they cannot be acknowledged any more. */
  discardMessages(): void {
    this.mailbox.clear()
    for (const tap of this.#taps) tap.stream.discard()
  }

  /** The mesh is closed, or its core is dead: tells so, and ends all streams. */
  end(error?: MeshError): void {
    this.discardMessages()
    this.emit({ type: 'closed', ...(error && { error }) })
    for (const tap of [...this.#taps]) tap.stream.end(error)
  }

  #add(type: MeshEventType, listener: Registration['listener'], once: boolean): () => void {
    if (typeof listener !== 'function') throw invalid('a listener must be a function')
    const registration = { listener, once }
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), registration])
    this.#tellWatchers(type)
    return () => this.#remove(type, registration)
  }

  #remove(type: MeshEventType, registration: Registration): void {
    const rest = this.#listeners.get(type)?.filter(candidate => candidate !== registration)
    if (rest) this.#listeners.set(type, rest)
  }

  #tellWatchers(type: MeshEventType | undefined): void {
    for (const watcher of this.#watchers) watcher(type)
  }

  #report(error: unknown, during: MeshEventType | undefined): void {
    if (during !== 'error' && this.listens('error')) return this.emit({ type: 'error', error })
    if (typeof reportError === 'function') return reportError(error)
    queueMicrotask(() => {
      throw error
    })
  }

  // A burst makes one event, not one for each item dropped.
  #countDropped(dropped: number): void {
    if (this.#dropped === 0) {
      setTimeout(() => {
        const event = lagged(this.#dropped)
        this.#dropped = 0
        // To listeners only: in a full stream it would drop another event, and so on for ever.
        this.callListeners(event)
      }, 0)
    }
    this.#dropped += dropped
  }
}

function lagged(dropped: number): MeshEvent<'lagged'> {
  return { type: 'lagged', dropped, buffer: 'stream' }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
