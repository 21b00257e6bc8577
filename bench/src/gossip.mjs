import { sleep } from './clock.mjs'

export const GOSSIP_BYTES = 256
/** js-libp2p's gossip mesh is built at heartbeats, one a second. */
export const SETTLE_MS = 2000
const OPEN_MS = 30_000
const PROBE_MS = 100

/** @typedef {import('./world.mjs').Joined} Joined */

/**
 * Publishes probes until every receiver had one, then lets the gossip mesh settle.
 *
 * @param {Joined} publisher
 * @param {Joined[]} receivers
 */
export async function openGossip(publisher, receivers) {
  let open = false
  const probed = Promise.all(receivers.map(({ process }) => process.call('probed', { limitMs: OPEN_MS }))).then(all => {
    open = true
    if (!all.every(Boolean)) throw new Error('gossip does not reach all receivers')
  })
  probed.catch(() => {})
  while (!open) {
    await publisher.process.call('probe', { size: GOSSIP_BYTES })
    await sleep(PROBE_MS)
  }
  await probed
  await sleep(SETTLE_MS)
}
