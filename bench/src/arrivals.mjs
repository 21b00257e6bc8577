import { PROBE, readBody } from './bodies.mjs'
import { now } from './clock.mjs'

/**
 * Counts numbered bodies as they arrive.
 */
export class Arrivals {
  count = 0
  probes = 0
  duplicates = 0
  outOfOrder = 0
  lastAt = 0
  #highest = -1
  /** @type {Set<number>} */
  #seen = new Set()
  /** @type {Set<() => void>} */
  #waiters = new Set()

  /**
   * @param {Uint8Array} body
   */
  add(body) {
    const { kind, sequence } = readBody(body)
    if (kind === PROBE) {
      this.probes++
    } else if (this.#seen.has(sequence)) {
      this.duplicates++
    } else {
      this.#seen.add(sequence)
      if (sequence < this.#highest) this.outOfOrder++
      this.#highest = Math.max(this.#highest, sequence)
      this.count++
      this.lastAt = now()
    }
    for (const wake of this.#waiters) wake()
  }

  /**
   * Resolves when `done` holds, checked at each arrival, or false after `limitMs`, or after `idleMs` without one.
   *
   * @param {() => boolean} done
   * @param {{ limitMs: number, idleMs?: number }} limits
   * @returns {Promise<boolean>}
   */
  until(done, { limitMs, idleMs = limitMs }) {
    return new Promise(resolve => {
      const finish = (/** @type {boolean} */ result) => {
        clearTimeout(limit)
        clearTimeout(idle)
        this.#waiters.delete(wake)
        resolve(result)
      }
      const limit = setTimeout(finish, limitMs, false)
      let idle = setTimeout(finish, idleMs, false)
      const wake = () => {
        if (done()) return finish(true)
        idle.refresh()
      }
      this.#waiters.add(wake)
      if (done()) finish(true)
    })
  }
}
