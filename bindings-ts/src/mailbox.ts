import type { MeshEvent } from './events.js'
import type { EventHub } from './hub.js'
import type { Handover, Stream } from './stream.js'

/** @internal Messages that the application may have unread before nothing more is pulled from the core. */
export const MAX_UNREAD = 1024

interface Delivery {
  event: MeshEvent<'message'>
  number: number
  taken: () => void
  /** Streams that hold it unread. */
  holders: Map<Stream<MeshEvent>, Handover>
}

/**
 * Brings direct messages to the application and says when it has them. A message is *taken*, exactly once, as soon as
 * all listeners have run or one stream has handed it to its reader; copies in other streams are then like any event,
 * and cannot hold anything up. A message that nobody wants yet is parked, in order, until a listener or a stream appears.
 *
 * @internal
 */
export class Mailbox {
  readonly #hub: EventHub
  /** Unwanted so far, in the order of arrival. */
  #parked: Delivery[] = []
  /** Whether somebody may want what is parked: what arrives then must queue behind it. */
  #stirred = false
  #offering = false
  #next = 0
  readonly #unread = new Set<Delivery>()
  #waiting: (() => void)[] = []

  constructor(hub: EventHub) {
    this.#hub = hub
    hub.watch(type => {
      if (type === 'message' || type === undefined) this.#stir()
    })
  }

  /** Takes a message in; `taken` is called once when the application has it. */
  deliver(event: MeshEvent<'message'>, taken: () => void): void {
    const delivery: Delivery = { event, number: this.#next++, taken, holders: new Map() }
    this.#unread.add(delivery)
    if (this.#stirred || this.#offering || !this.#offer(delivery)) this.#park(delivery)
    if (this.#offering) this.#stir()
    else if (this.#stirred) this.#offerParked()
  }

  /** Resolves when there is room for another message; `undefined` when there is already. */
  room(): Promise<void> | undefined {
    if (this.#unread.size < MAX_UNREAD) return undefined
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** Forgets all that is unread: the mesh is closed, and nobody could be told that it was read. */
  clear(): void {
    this.#parked = []
    this.#unread.clear()
    this.#wakeAll()
  }

  // From a microtask, so that `on()` has returned before its listener is first called.
  #stir(): void {
    if (this.#stirred || this.#parked.length === 0) return
    this.#stirred = true
    queueMicrotask(() => this.#offerParked())
  }

  // A listener may change who listens, which stirs again: a next turn then looks at what is still parked.
  #offerParked(): void {
    if (this.#offering) return
    this.#stirred = false
    const parked = this.#parked
    this.#parked = []
    for (const delivery of parked) {
      if (!this.#unread.has(delivery)) continue
      if (!this.#offer(delivery)) this.#park(delivery)
    }
  }

  // Whether anybody wanted it.
  #offer(delivery: Delivery): boolean {
    const { event } = delivery
    const streams = this.#hub.streams(event)
    const listens = this.#hub.listens('message')
    this.#offering = true
    for (const stream of streams) {
      if (listens || !this.#unread.has(delivery)) stream.push(event)
      else stream.push(event, { handover: this.#handover(delivery, stream) })
    }
    if (listens) {
      this.#hub.callListeners(event)
      this.#take(delivery)
    }
    this.#offering = false
    return delivery.holders.size > 0 || !this.#unread.has(delivery)
  }

  #handover(delivery: Delivery, stream: Stream<MeshEvent>): Handover {
    const handover = {
      pulled: () => {
        delivery.holders.delete(stream)
        this.#take(delivery)
      },
      unread: () => {
        delivery.holders.delete(stream)
        if (this.#offering || delivery.holders.size > 0 || !this.#unread.has(delivery)) return
        this.#park(delivery)
        this.#stir()
      },
    }
    delivery.holders.set(stream, handover)
    return handover
  }

  #take(delivery: Delivery): void {
    if (!this.#unread.delete(delivery)) return
    for (const [stream, handover] of delivery.holders) stream.relax(handover)
    delivery.holders.clear()
    this.#hub.guard(delivery.taken)
    this.#wakeAll()
  }

  // In the order of arrival, also when it comes back from a stream that went away.
  #park(delivery: Delivery): void {
    const later = this.#parked.findIndex(other => other.number > delivery.number)
    this.#parked.splice(later === -1 ? this.#parked.length : later, 0, delivery)
  }

  #wakeAll(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
