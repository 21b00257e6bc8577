import { PROBE, makeBody, randomBody } from './bodies.mjs'
import { sleep } from './clock.mjs'

/**
 * What is measured at one end alone, in processes and in pages: these loops are the same for everybody.
 *
 * @typedef {Pick<import('./driver.mjs').Driver, 'send' | 'transfer'>} Way
 */

/**
 * @param {Way} way
 * @param {{ to: string, bytes: number }} args
 * @returns {Promise<number>} milliseconds
 */
export async function transfer(way, { to, bytes }) {
  const body = randomBody(bytes)
  const start = performance.now()
  await way.transfer(to, body)
  return performance.now() - start
}

/**
 * One message after the other.
 *
 * @param {Way} way
 * @param {{ to: string, size: number, warmUp: number, count: number }} args warmUp: messages before those that count
 * @returns {Promise<number[]>} milliseconds
 */
export async function roundTrips(way, { to, size, warmUp, count }) {
  const samples = []
  for (let i = 0; i < warmUp + count; i++) {
    const took = await timedSend(way, to, makeBody(size, PROBE, i))
    if (i >= warmUp) samples.push(took)
  }
  return samples
}

/**
 * Small messages at a fixed pace, late or not, while `transfers` transfers follow each other.
 *
 * @param {Way} way
 * @param {{ to: string, size: number, everyMs: number, transfers: number, bytes: number }} args
 * @returns {Promise<number[]>} milliseconds
 */
export async function roundTripsUnderLoad(way, { to, size, everyMs, transfers, bytes }) {
  /** @type {Promise<number>[]} */
  const sends = []
  let flowing = true
  const bulk = (async () => {
    for (let i = 0; i < transfers; i++) await way.transfer(to, randomBody(bytes))
  })().finally(() => {
    flowing = false
  })
  bulk.catch(() => {})
  while (flowing) {
    const send = timedSend(way, to, makeBody(size, PROBE, sends.length))
    send.catch(() => {})
    sends.push(send)
    await sleep(everyMs)
  }
  await bulk
  return Promise.all(sends)
}

/**
 * @param {Way} way
 * @param {string} to
 * @param {Uint8Array} body
 * @returns {Promise<number>}
 */
async function timedSend(way, to, body) {
  const start = performance.now()
  await way.send(to, body)
  return performance.now() - start
}
