/** A decision that this browser has seen. */
export interface Seen {
  readonly id: string
  readonly at: number
}

const KEY = 'neural-mesh/decided'

/** Remembers the last `limit` decisions of a mesh, one mesh at a time. What they were, its members know. */
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
  const { id, at } = (value ?? {}) as Partial<Seen>
  return typeof id === 'string' && /^[0-9a-f]{64}$/.test(id) && typeof at === 'number'
}
