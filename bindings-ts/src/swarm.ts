import { MAX_BODY, encodeValue } from './codec.js'
import type { Core } from './core.js'
import type { EventHub } from './hub.js'
import { checkCall, checkText, type CallOptions } from './options.js'

/** Something that was said to the whole mesh. */
export interface Broadcast<T = unknown> {
  /** The broadcast's id. */
  readonly id: string
  /** The peer id of the node that said it; its signature was checked. */
  readonly from: string
  /** What it is about, in the sender's words; `''` when the sender gave no topic. */
  readonly topic: string
  /** What was said. Comes from somebody else: check it before you rely on its shape. */
  readonly payload: T
  /** When it was sent, by the sender's clock: unix milliseconds. */
  readonly sentAt: number
}

/** How to broadcast. */
export interface BroadcastOptions extends CallOptions {
  /** What it is about, at most 64 bytes. Everybody gets every topic; receivers choose. Default `''`. */
  topic?: string | undefined
}

/** Which broadcasts to read. */
export interface SubscribeOptions {
  /** Only those of exactly this topic. Default: all. */
  topic?: string | undefined
  /** Ends the iteration. */
  signal?: AbortSignal | undefined
}

/** Broadcasts to everybody in the mesh: {@link Mesh.swarm}. */
export class Swarm {
  readonly #core: Core
  readonly #hub: EventHub

  /** @internal */
  constructor(core: Core, hub: EventHub) {
    this.#core = core
    this.#hub = hub
  }

  /**
   * Says something to everybody in the mesh but oneself. Resolves when it is handed to the network; who gets it is not
   * reported. Many broadcasts in a row travel together.
   *
   * @param payload any value that CBOR can carry, of at most 61,440 bytes; see {@link Messages.send}
   * @throws MeshError `too-large`, `over-quota`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.swarm.broadcast({ loss: 0.12 }, { topic: 'training' })
   * ```
   */
  async broadcast(payload: unknown, options: BroadcastOptions = {}): Promise<void> {
    checkCall(options)
    const { topic = '' } = options
    checkTopic(topic)
    const body = encodeValue('payload', payload, MAX_BODY)
    return this.#core.call(options, node => node.broadcast(topic, body))
  }

  /**
   * Broadcasts of others as they come in, from now on. A loop that lags more than 1,024 behind loses the oldest, and a
   * `lagged` event says how many.
   *
   * @example
   * ```ts
   * for await (const { from, payload } of mesh.swarm.subscribe({ topic: 'training' })) console.log(from, payload)
   * ```
   */
  subscribe<T = unknown>(options: SubscribeOptions = {}): AsyncIterableIterator<Broadcast<T>> {
    this.#core.checkOpen()
    const { topic, signal } = options
    checkCall({ signal })
    if (topic !== undefined) checkTopic(topic)
    const accepts = topic === undefined ? undefined : (broadcast: Broadcast) => broadcast.topic === topic
    return this.#hub.stream('broadcast', { accepts, signal }) as AsyncIterableIterator<Broadcast<T>>
  }
}

const MAX_TOPIC = 64

function checkTopic(topic: unknown): void {
  checkText('topic', topic, MAX_TOPIC)
}
