import { Recent } from './recent.js'
import type { Transfer } from './transfers.js'

/** Something that was said, to one or to all. */
export interface Said {
  readonly kind: 'said'
  readonly key: number
  readonly mine: boolean
  /** Who said it, in a word. */
  readonly who: string
  /** The node that said it. */
  readonly peerId: string
  readonly text: string
  readonly at: number
  readonly topic?: string
  /** What became of it, when it is ours. */
  state?: 'sending' | 'sent' | { readonly failed: string }
  roundTripMs?: number
}

export type Item = Said | Transfer

/** What was said between this page and an agent, or a node whose agents we do not know. */
export interface Conversation {
  /** The agent's address, or the node's peer id. */
  readonly id: string
  readonly items: Recent<Item>
  unread: number
}

/** Items of each conversation, and of the log of broadcasts; the oldest go. */
export const MAX_ITEMS = 500
/** Conversations. Past it, the one that was quiet for longest goes. */
const MAX_CONVERSATIONS = 100

/** All conversations of a page, each made when it is first asked for. */
export class Talk {
  // In the order of their last items.
  readonly #conversations = new Map<string, Conversation>()
  /** The one that is open; it is never given up. */
  open: string | undefined

  /** What there is with `id`, without beginning anything. */
  with(id: string): Conversation | undefined {
    return this.#conversations.get(id)
  }

  /** All of them, the latest last. */
  ids(): Iterable<string> {
    return this.#conversations.keys()
  }

  add(id: string, item: Item): void {
    const conversation = this.#conversations.get(id) ?? { id, items: new Recent<Item>(MAX_ITEMS), unread: 0 }
    this.#conversations.delete(id)
    this.#conversations.set(id, conversation)
    conversation.items.push(item)
    if (id !== this.open && !item.mine) conversation.unread++
    if (this.#conversations.size <= MAX_CONVERSATIONS) return
    const quiet = [...this.#conversations.keys()].find(key => key !== this.open)
    if (quiet !== undefined) this.#conversations.delete(quiet)
  }

  read(id: string): void {
    this.open = id
    const conversation = this.#conversations.get(id)
    if (conversation) conversation.unread = 0
  }

  get unread(): number {
    return [...this.#conversations.values()].reduce((sum, { unread }) => sum + unread, 0)
  }
}
