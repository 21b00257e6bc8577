import { sleep } from './clock.mjs'
import { row } from './row.mjs'
import { quantile } from './stats.mjs'

const TEN_MB = 10 * 2 ** 20
const SMALL = 100
const EVERY_MS = 5
const FIRST_TRANSFERS = 2
const LOAD_TRANSFERS = 4
/** Ours keeps the relayed connection, and messages on it, for 3 s more: the other end may still be using it. */
const SETTLE_MS = 4000
/** Messages that do not count: they open the streams. */
const WARM_UP = 50
/** @type {import('./sides.mjs').Side['id'][]} */
const sides = ['ours', 'raw', 'theirs']
/** The marks between which ours waits for its send buffer (crates/webrtc/src/rtc.rs), bytes. */
const OUR_MARKS = { high: 48 * 1024, low: 16 * 1024 }

/**
 * Between two pages that are connected directly, by WebRTC.
 *
 * @type {import('./scenarios.mjs').Scenario[]}
 */
export const direct = [
  {
    id: 'direct-bulk',
    rows: [
      row('first', '10 MB page to page, first transfer', 'ms'),
      row('warm', '10 MB page to page, third transfer', 'ms'),
      row('aim', 'first transfer; raw channel: third transfer', 'ms'),
    ],
    limitMs: 90_000,
    sides,
    async run(world) {
      const { page, to } = await world.pair()
      const { first, warm } = await firstAndThird(page, to)
      return { first, warm, aim: world.side.id === 'raw' ? warm : first }
    },
  },
  {
    id: 'direct-marks',
    rows: [
      row('first', 'raw channel with the send buffer of ours: first transfer', 'ms'),
      row('warm', 'the same: third transfer', 'ms'),
      row('p99', 'the same: message of 100 B while the next four flow, p99', 'ms'),
    ],
    limitMs: 90_000,
    sides: ['ours', 'raw'],
    async run(world) {
      const { page, to } = await world.pair({ marks: OUR_MARKS })
      const { first, warm } = await firstAndThird(page, to)
      await page.call('roundTrips', { to, size: SMALL, warmUp: WARM_UP, count: 0 })
      return { first, warm, p99: quantile(await underLoad(page, to, LOAD_TRANSFERS), 0.99) }
    },
  },
  {
    id: 'direct-connect',
    rows: [
      row('direct', 'second page joined to connected directly', 'ms'),
      row('echo', 'second page joined to the first message answered', 'ms'),
      row('fromJoin', "second page's call to join to connected directly", 'ms'),
    ],
    limitMs: 60_000,
    sides,
    async run(world) {
      const { met } = await world.pair()
      return { ...met }
    },
  },
  {
    id: 'direct-load',
    rows: [
      row('p50', 'message of 100 B page to page while the first two 10 MB flow, p50', 'ms'),
      row('p99', 'message of 100 B page to page while the first two 10 MB flow, p99', 'ms'),
      row('warm50', 'the same while the next four flow, p50', 'ms'),
      row('warm99', 'the same while the next four flow, p99', 'ms'),
    ],
    limitMs: 90_000,
    sides,
    async run(world) {
      const { page, to } = await world.pair()
      await sleep(SETTLE_MS)
      await page.call('roundTrips', { to, size: SMALL, warmUp: WARM_UP, count: 0 })
      const first = await underLoad(page, to, FIRST_TRANSFERS)
      const warm = await underLoad(page, to, LOAD_TRANSFERS)
      return {
        p50: quantile(first, 0.5),
        p99: quantile(first, 0.99),
        warm50: quantile(warm, 0.5),
        warm99: quantile(warm, 0.99),
      }
    },
  },
]

/**
 * @param {import('./pages.mjs').Page} page
 * @param {string} to
 * @returns {Promise<{ first: number, warm: number }>} milliseconds of the first transfer of 10 MB, and of the third
 */
async function firstAndThird(page, to) {
  const transfer = () => page.call('transfer', { to, bytes: TEN_MB })
  const first = await transfer()
  await transfer()
  return { first, warm: await transfer() }
}

/**
 * @param {import('./pages.mjs').Page} page
 * @param {string} to
 * @param {number} transfers of 10 MB, one after the other
 * @returns {Promise<number[]>} milliseconds of each message meanwhile
 */
function underLoad(page, to, transfers) {
  return page.call('roundTripsUnderLoad', { to, size: SMALL, everyMs: EVERY_MS, transfers, bytes: TEN_MB })
}
