import { localName, definedOnly } from './agents.js'
import { MAX_BODY, encodeValue } from './codec.js'
import type { Core } from './core.js'
import type { EventHub } from './hub.js'
import { checkCall, checkName, type CallOptions } from './options.js'

/** A direct message. */
export interface Message<T = unknown> {
  /** The message's id, unique among those of its sender. */
  readonly id: string
  /** Who sent it: an agent's address `name@peerId`, or a peer id. Answers go there. */
  readonly from: string
  /** The agent of this node that it is for, or `''` when it is for the node. */
  readonly to: string
  /** What was sent. Comes from somebody else: check it before you rely on its shape. */
  readonly payload: T
}

/** Proof that a message has arrived. */
export interface Receipt {
  /** The message's id, the same that the receiver sees. */
  readonly id: string
  /** The node that has it. */
  readonly peerId: string
  /** Milliseconds between sending the message and having its acknowledgement. */
  readonly roundTripMs: number
}

/** How to send a message. */
export interface SendOptions extends CallOptions {
  /** The agent of this node that speaks. Without it, the message comes from the node. */
  from?: string | undefined
  /** Milliseconds to wait for the receiver's acknowledgement. Default 10,000. */
  timeoutMs?: number | undefined
}

/** Which messages to read. */
export interface InboxOptions {
  /** Only those for this agent of the node. Default: all. */
  agent?: string | undefined
  /** Ends the iteration. */
  signal?: AbortSignal | undefined
}

/**
 * Direct messages: {@link Mesh.messages}. Each is delivered exactly once and in the order it was sent, or its sender
 * gets an error.
 *
 * A message is acknowledged when this application has it: when all `message` listeners have run, or an inbox has handed it
 * to its reader. A message that nobody listens for is kept until somebody does. When 1,024 messages are unread, no more
 * events are taken from the core until some are read; their senders wait, and time out in the end.
 */
export class Messages {
  readonly #core: Core
  readonly #hub: EventHub

  /** @internal */
  constructor(core: Core, hub: EventHub) {
    this.#core = core
    this.#hub = hub
  }

  /**
   * Sends a message and waits until the receiving application has it.
   *
   * @param to an agent's name, its address `name@peerId`, or a peer id for the node itself
   * @param payload any value that CBOR can carry, of at most 61,440 bytes: objects, arrays, strings, numbers, bigints of
   *   64 bits, booleans, null and `Uint8Array`. A `Map` arrives as an object, `undefined` as null or not at all. Dates,
   *   sets, functions and circles are refused.
   * @throws MeshError `unknown-agent`, `ambiguous-agent`, `peer-unreachable`, `timeout`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * const { roundTripMs } = await mesh.messages.send('ada', { task: 'digits', bytes: new Uint8Array([1, 2]) })
   * ```
   */
  async send(to: string, payload: unknown, options: SendOptions = {}): Promise<Receipt> {
    checkCall(options)
    const { from, timeoutMs, signal } = options
    checkName('the receiver', to, MAX_ADDRESS)
    const sender = from === undefined ? undefined : localName('from', from, this.#core.peerId)
    const body = encodeValue('payload', payload, MAX_BODY)
    return this.#core.call({ signal }, (node, signal) =>
      node.send(to, body, definedOnly({ from: sender, timeoutMs }), signal),
    )
  }

  /**
   * Messages as they come in, from now on. Leaving the loop ends it, and what nobody has read goes to the next reader.
   * Several inboxes for the same agent each get every message; one that is more than 1,024 behind the others loses the
   * oldest, and a `lagged` event says how many.
   *
   * @example
   * ```ts
   * for await (const { from, payload } of mesh.messages.inbox({ agent: 'ada' })) {
   *   await mesh.send(from, { got: payload }, { from: 'ada' })
   * }
   * ```
   */
  inbox<T = unknown>(options: InboxOptions = {}): AsyncIterableIterator<Message<T>> {
    this.#core.checkOpen()
    return openInbox<T>(this.#hub, options)
  }
}

// A name, '@' and a peer id.
const MAX_ADDRESS = 256

/** @internal */
export function openInbox<T>(hub: EventHub, options: InboxOptions): AsyncIterableIterator<Message<T>> {
  const { agent, signal } = options
  checkCall({ signal })
  if (agent !== undefined) checkName('agent', agent, MAX_ADDRESS)
  const name = agent?.split('@')[0]
  const accepts = name === undefined ? undefined : (message: Message) => message.to === name
  return hub.stream('message', { accepts, signal }) as AsyncIterableIterator<Message<T>>
}
