import type { VoteCount } from 'neural-mesh'

/** What this browser remembers of a decision. That it was made, and how, the mesh says anew. */
export interface Seen {
  readonly id: string
  readonly at: number
  readonly title: string
  readonly kind: string
  readonly author: string
  readonly votes: VoteCount
}

const KEY = 'neural-mesh/decided'

/** Remembers the last `limit` decisions of a mesh, one mesh at a time. */
export function rememberDecided(meshId: string, decided: Seen, limit: number): void {
  const others = decidedBefore(meshId, limit).filter(({ id }) => id !== decided.id)
  try {
    localStorage.setItem(KEY, JSON.stringify({ meshId, seen: [...others, decided].slice(-limit) }))
  } catch {
    // Then the page begins with none.
  }
}

/** The last `limit` that were remembered of that mesh, the latest last. */
export function decidedBefore(meshId: string, limit: number): Seen[] {
  try {
    const { meshId: of, seen } = JSON.parse(localStorage.getItem(KEY) ?? '{}') as { meshId?: unknown; seen?: unknown }
    return of === meshId && Array.isArray(seen) ? seen.filter(isSeen).slice(-limit) : []
  } catch {
    return []
  }
}

function isSeen(value: unknown): value is Seen {
  const { id, at, title, kind, author, votes } = (value ?? {}) as Partial<Seen>
  const { approve, reject, abstain, missing } = votes ?? {}
  const texts = [id, title, kind, author].every(text => typeof text === 'string')
  return texts && [at, approve, reject, abstain, missing].every(figure => typeof figure === 'number')
}
