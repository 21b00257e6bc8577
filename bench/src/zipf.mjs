/**
 * Numbers from 0 to 1, the same ones for each seed (xorshift of 32 bits).
 *
 * @param {number} seed not 0
 * @returns {() => number}
 */
export function seeded(seed) {
  let x = seed
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
}

/**
 * Draws by Zipf's law: that of rank r is drawn r^-s times as often as the first.
 *
 * @param {{ count: number, s: number, draws: number }} law
 * @param {() => number} random
 * @returns {number[]} ranks from 0
 */
export function zipf({ count, s, draws }, random) {
  let sum = 0
  const sums = Array.from({ length: count }, (_, rank) => (sum += (rank + 1) ** -s))
  return Array.from({ length: draws }, () => {
    const at = random() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] > at) high = middle
      else low = middle + 1
    }
    return low
  })
}

/**
 * How many of these reads find what they read in a cache that knows the future: when there is no room, that goes, or is not even
 * kept, which is read again last of all (Belady). No cache that does not know the future does better, but for what different
 * sizes leave over.
 *
 * @param {number[]} reads
 * @param {number[]} sizes bytes of each
 * @param {number} room bytes
 * @returns {number}
 */
export function bestHits(reads, sizes, room) {
  const following = new Array(reads.length)
  /** @type {Map<number, number>} */
  const last = new Map()
  for (let i = reads.length - 1; i >= 0; i--) {
    following[i] = last.get(reads[i]) ?? Infinity
    last.set(reads[i], i)
  }
  /** @type {Map<number, number>} what is kept, and when it is read next */
  const kept = new Map()
  let bytes = 0
  let hits = 0
  for (const [i, key] of reads.entries()) {
    if (kept.has(key)) hits++
    else bytes += sizes[key]
    kept.set(key, following[i])
    while (bytes > room) {
      let farthest = key
      for (const [other, next] of kept) if (next > /** @type {number} */ (kept.get(farthest))) farthest = other
      kept.delete(farthest)
      bytes -= sizes[farthest]
    }
  }
  return hits
}
