/**
 * The value below which the fraction `q` of the samples lies: the sample of rank ceil(q * n), no interpolation.
 *
 * @param {number[]} samples in any order, not empty
 * @param {number} q 0 to 1
 * @returns {number}
 */
export function quantile(samples, q) {
  if (samples.length === 0) throw new Error('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(q * sorted.length))
  return sorted[rank - 1]
}

/**
 * The middle sample; for an even number of them the mean of the two middle ones.
 *
 * @param {number[]} samples in any order, not empty
 * @returns {number}
 */
export function median(samples) {
  if (samples.length === 0) throw new Error('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * @typedef {object} Summary
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {number} n
 */

/**
 * @param {number[]} samples
 * @returns {Summary | undefined} undefined when there are none
 */
export function summary(samples) {
  if (samples.length === 0) return undefined
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), n: samples.length }
}
