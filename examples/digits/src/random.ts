/** A source of numbers in [0, 1). The same seed gives the same numbers on every machine. */
export type Random = () => number

/** mulberry32: 32 bits of state, which is plenty to shuffle 10,000 digits and to initialise 51,000 weights. */
export function seededRandom (seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Shuffles in place (Fisher-Yates) and returns the same array. */
export function shuffle<T extends Uint32Array | number[]> (items: T, random: Random): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const swap = items[i]
    items[i] = items[j]
    items[j] = swap
  }
  return items
}
