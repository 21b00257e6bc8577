import type { KnowledgeVersion, Mesh } from 'neural-mesh'
import { isHidden } from './visible.js'

/** Who holds the content of a version, as far as they have answered. */
export interface Holding {
  /** Peer ids, this page's and the author's included. */
  readonly holders: readonly string[]
  /** How many hold it beside its author, not more than are to do so. */
  readonly copies: number
}

interface Known {
  holders: readonly string[] | undefined
  /** When it is asked for next; `Infinity` while it is. */
  due: number
  /** Milliseconds from the next answer to the question after it. */
  patience: number
}

/** Questions under way at once: each goes to a few nodes, and takes up to 1,500 ms. */
const LANES = 4
/** Milliseconds until a content is asked for again: twice as long after each time, up to the second. */
const AGAIN_MS = 5000
const MAX_AGAIN_MS = 160_000

/** Who holds what is looked at: asked of the mesh when somebody begins to look, and again from time to time. */
export class Holders {
  readonly #mesh: Pick<Mesh, 'knowledge' | 'peerId'>
  readonly #changed: () => void
  // By CID.
  #known = new Map<string, Known>()
  #lanes = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #closed = false

  /** `changed` is called when an answer has come. */
  constructor(mesh: Pick<Mesh, 'knowledge' | 'peerId'>, changed: () => void) {
    this.#mesh = mesh
    this.#changed = changed
  }

  /** Who holds the content of a version; undefined until that is known. */
  of({ cid, author, replicas }: KnowledgeVersion): Holding | undefined {
    const holders = cid === undefined ? undefined : this.#known.get(cid)?.holders
    return holders && { holders, copies: Math.min(holders.filter(peerId => peerId !== author).length, replicas) }
  }

  /** What is looked at now, and nothing else. The caller bounds it. */
  look(versions: Iterable<KnowledgeVersion>): void {
    const before = this.#known
    this.#known = new Map()
    for (const { cid } of versions) {
      if (cid !== undefined) this.#known.set(cid, before.get(cid) ?? { holders: undefined, due: 0, patience: AGAIN_MS })
    }
    this.#ask()
  }

  /** These others hold something that this page has written. */
  told(cid: string, others: readonly string[]): void {
    const known = this.#known.get(cid)
    if (!known) return
    known.holders = [...new Set([...(known.holders ?? []), ...others, this.#mesh.peerId])]
    this.#changed()
  }

  /** Who holds this content may have changed; of a node: all that it held. */
  doubt(what: { readonly cid: string } | { readonly peerId: string }): void {
    for (const [cid, known] of this.#known) {
      const concerned = 'cid' in what ? cid === what.cid : known.holders?.includes(what.peerId)
      if (concerned) Object.assign(known, { due: 0, patience: AGAIN_MS })
    }
    this.#ask()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #ask(): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    if (isHidden()) return this.#askIn(AGAIN_MS)
    const now = Date.now()
    const waiting = [...this.#known].sort(([, a], [, b]) => a.due - b.due)
    for (const [cid, { due }] of waiting) {
      if (due <= now && this.#lanes < LANES) void this.#question(cid)
    }
    const next = waiting.find(([, { due }]) => due > now && due < Infinity)
    if (next) this.#askIn(next[1].due - now)
  }

  #askIn(ms: number): void {
    this.#timer = setTimeout(() => this.#ask(), ms)
  }

  async #question(cid: string): Promise<void> {
    const asked = this.#known.get(cid)!
    asked.due = Infinity
    this.#lanes++
    try {
      asked.holders = await this.#mesh.knowledge.whoHas(cid)
    } catch {
      // Asked again later.
    }
    this.#lanes--
    // Unless there was a doubt meanwhile.
    if (asked.due === Infinity) {
      Object.assign(asked, { due: Date.now() + asked.patience, patience: Math.min(asked.patience * 2, MAX_AGAIN_MS) })
    }
    this.#changed()
    this.#ask()
  }
}
