import { createHash } from 'node:crypto'
import { Arrivals } from './arrivals.mjs'
import { COUNTED, PROBE, makeBody, randomBody } from './bodies.mjs'
import { now, sleep } from './clock.mjs'
import { block } from './firewall.mjs'
import { roundTrips, roundTripsUnderLoad, transfer } from './measure.mjs'

/** @typedef {import('./driver.mjs').Driver} Driver */

/**
 * What the bench can ask of an agent process. Times are milliseconds; `*At` are readings of `now()`.
 *
 * @param {Driver} driver
 * @returns {Record<string, (args: any) => unknown>}
 */
export function commands(driver) {
  const messages = new Arrivals()
  const broadcasts = new Arrivals()
  driver.onMessage(body => messages.add(body))
  driver.onBroadcast(body => broadcasts.add(body))
  let beacon = false

  return {
    async join(/** @type {import('./driver.mjs').JoinOptions} */ options) {
      const calledAt = now()
      const address = await driver.join(options)
      const joinedAt = now()
      return { address, joinedAt, joinMs: joinedAt - calledAt }
    },
    block: ({ port }) => block(port),
    connect: ({ to }) => driver.connect(to),
    drops: () => driver.drops(),
    memory: () => process.memoryUsage().rss / 2 ** 20,

    transfer: args => transfer(driver, args),
    roundTrips: args => roundTrips(driver, args),
    roundTripsUnderLoad: args => roundTripsUnderLoad(driver, args),

    /** All messages at once; resolves when each has succeeded or failed. */
    async burstOfMessages({ to, size, count }) {
      const startedAt = now()
      const results = await Promise.allSettled(
        Array.from({ length: count }, (_, i) => driver.send(to, makeBody(size, COUNTED, i))),
      )
      return { startedAt, endedAt: now(), ...failures(results) }
    },

    /** `count` broadcasts with at most `inFlight` of them not yet handed over. */
    async publish({ size, count, inFlight }) {
      const startedAt = now()
      /** @type {PromiseSettledResult<void>[]} */
      const results = []
      for (let i = 0; i < count; i += inFlight) {
        const length = Math.min(inFlight, count - i)
        results.push(
          ...(await Promise.allSettled(
            Array.from({ length }, (_, j) => driver.publish(makeBody(size, COUNTED, i + j))),
          )),
        )
      }
      return { startedAt, ...failures(results) }
    },
    probe: ({ size }) => driver.publish(makeBody(size, PROBE, 0)),
    probed: ({ limitMs }) => broadcasts.until(() => broadcasts.probes > 0, { limitMs }),

    arrived: args => arrived(broadcasts, args),
    messagesArrived: args => arrived(messages, args),

    /** Publishes every `everyMs` until `stopBeacon`, whether or not anybody hears it. */
    async startBeacon({ size, everyMs }) {
      beacon = true
      for (let i = 0; beacon; i++) {
        driver.publish(makeBody(size, COUNTED, i)).catch(() => {})
        await sleep(everyMs)
      }
    },
    stopBeacon() {
      beacon = false
    },
    /** Resolves to the time of the next broadcast that arrives from now on. */
    async nextArrival({ limitMs }) {
      const before = broadcasts.count
      await broadcasts.until(() => broadcasts.count > before, { limitMs })
      return broadcasts.count > before ? broadcasts.lastAt : undefined
    },

    elect: ({ peers }) => required(driver.elect?.bind(driver))(peers),
    approve: ({ voters }) => required(driver.approve?.bind(driver))(voters),
    async propose({ number }) {
      const startedAt = now()
      const approved = await required(driver.propose?.bind(driver))(number)
      return { approved, ms: now() - startedAt }
    },
    async acquire({ resource }) {
      const startedAt = now()
      await required(driver.acquire?.bind(driver))(resource)
      return now() - startedAt
    },
    async add({ bytes }) {
      const body = randomBody(bytes)
      const startedAt = now()
      const cid = await required(driver.add?.bind(driver))(body)
      return { cid, startedAt, addedAt: now(), sha256: sha256(body) }
    },
    async fetch({ cid, from }) {
      const body = await required(driver.fetch?.bind(driver))(cid, from)
      return { fetchedAt: now(), sha256: sha256(body) }
    },
    announce: ({ names }) => required(driver.announce?.bind(driver))(names),
    /** Resolves when the directory holds `count` agents of other nodes. */
    async knows({ count, limitMs }) {
      const known = required(driver.known?.bind(driver))
      const end = now() + limitMs
      while ((await known()) < count) {
        if (now() > end) throw new Error(`knows ${await known()} of ${count} agents after ${limitMs} ms`)
        await sleep(1)
      }
      return now()
    },
  }
}

/**
 * @param {Uint8Array} bytes
 */
function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

/**
 * Resolves when `count` have come, or nothing new came for `idleMs`.
 *
 * @param {Arrivals} arrivals
 * @param {{ count: number, idleMs: number, limitMs: number }} args
 */
async function arrived(arrivals, { count, idleMs, limitMs }) {
  await arrivals.until(() => arrivals.count >= count, { idleMs, limitMs })
  const { lastAt, duplicates, outOfOrder } = arrivals
  return { count: arrivals.count, lastAt, duplicates, outOfOrder }
}

/**
 * @param {PromiseSettledResult<unknown>[]} results
 */
function failures(results) {
  const rejected = results.filter(result => result.status === 'rejected')
  return {
    failed: rejected.length,
    reason: rejected[0] && String(/** @type {PromiseRejectedResult} */ (rejected[0]).reason),
  }
}

/**
 * @template T
 * @param {T | undefined} method
 * @returns {T}
 */
function required(method) {
  if (method === undefined) throw new Error('this library has nothing alike')
  return method
}
