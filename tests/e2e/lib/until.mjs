import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 5

// Resolves when `condition` holds, to what it gave; rejects, saying `what` it waits for, after `limitMs`.
export async function until(condition, { limitMs = 20_000, what = String(condition), everyMs = POLL_MS } = {}) {
  const end = performance.now() + limitMs
  for (;;) {
    const result = await condition()
    if (result) return result
    if (performance.now() > end) {
      throw new Error(`not within ${limitMs} ms: ${typeof what === 'function' ? what() : what}`)
    }
    await sleep(everyMs)
  }
}
