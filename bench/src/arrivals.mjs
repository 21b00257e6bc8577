import { randomBytes } from 'node:crypto'
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

/** A body that only finds out whether the way is open. */
export const PROBE = 0
/** A body that counts. */
export const COUNTED = 1

/**
 * @param {number} size bytes, at least 5
 * @param {number} kind PROBE or COUNTED
 * @param {number} sequence
 * @returns {Uint8Array}
 */
export function makeBody(size, kind, sequence) {
  const body = new Uint8Array(randomBytes(size))
  body[0] = kind
  new DataView(body.buffer).setUint32(1, sequence)
  return body
}

/**
 * @param {Uint8Array} body
 */
function readBody(body) {
  return { kind: body[0], sequence: new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(1) }
}
