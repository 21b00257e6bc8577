import { sleep } from './clock.mjs'
import { GOSSIP_BYTES, openGossip } from './gossip.mjs'
import { Proxy } from './proxy.mjs'
import { row } from './row.mjs'

const BEACON_MS = 20
/** What had left before the cut may arrive until then. */
const GRACE_MS = 300
const HEAL_MS = 60_000

/** @typedef {import('./world.mjs').World} World */

/**
 * One agent's TCP link to the relay is reset and refused for some seconds; it publishes all the time, and nothing but the
 * library itself dials again.
 *
 * @param {{ id: string, seconds: number, slow?: boolean, maxRounds?: number }} options
 * @returns {import('./scenarios.mjs').Scenario}
 */
export function cut({ id, seconds, slow, maxRounds }) {
  return {
    id,
    rows: [row('heal', `link cut for ${seconds} s: heal to first message`, 'ms')],
    limitMs: (seconds + 90) * 1000,
    slow,
    maxRounds,
    async run(world) {
      const proxy = new Proxy()
      try {
        return { heal: await healTime(world, proxy, seconds) }
      } finally {
        proxy.close()
      }
    },
  }
}

/**
 * @param {World} world
 * @param {Proxy} proxy
 * @param {number} seconds
 * @returns {Promise<number>}
 */
async function healTime(world, proxy, seconds) {
  const proxyAddress = `/ip4/127.0.0.1/tcp/${await proxy.listen()}/ws`
  const relay = await world.startRelay({ announce: proxyAddress })
  const port = Number(/** @type {RegExpExecArray} */ (/\/tcp\/(\d+)\//.exec(relay))[1])
  proxy.forwardTo(port)
  const listener = await world.join({ relay, name: 'listener' })
  const peerId = relay.slice(relay.lastIndexOf('/') + 1)
  const speaker = await world.join({ relay: `${proxyAddress}/p2p/${peerId}`, name: 'speaker' }, { blockedPort: port })
  await speaker.process.call('connect', { to: listener.address })
  await openGossip(speaker, [listener])
  const beacon = speaker.process.call('startBeacon', { size: GOSSIP_BYTES, everyMs: BEACON_MS })
  await listener.process.call('nextArrival', { limitMs: 10_000 })

  proxy.cut()
  await sleep(GRACE_MS)
  const arrival = listener.process.call('nextArrival', { limitMs: seconds * 1000 + HEAL_MS })
  await sleep(seconds * 1000 - GRACE_MS)
  const healedAt = proxy.heal()
  const arrivedAt = await arrival
  await speaker.process.call('stopBeacon')
  await beacon
  if (arrivedAt === undefined) throw new Error(`no message within ${HEAL_MS / 1000} s of the heal`)
  if (arrivedAt < healedAt) throw new Error('a message arrived while the link was cut')
  return arrivedAt - healedAt
}
