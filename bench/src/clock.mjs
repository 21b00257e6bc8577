/**
 * Milliseconds of the machine's monotonic clock. The zero point is the same in all processes of the machine, so a
 * time taken in one process can be subtracted from one taken in another; `performance.now()` cannot.
 *
 * @returns {number}
 */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6
}

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function sleep(ms) {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/**
 * Rejects with `what` and the limit when `promise` has not settled after `ms`. The work itself is not stopped.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {string} what
 * @returns {Promise<T>}
 */
export async function withLimit(promise, ms, what) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const limit = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (limit)])
  } finally {
    clearTimeout(timer)
  }
}
