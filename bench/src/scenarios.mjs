import { blocks, directBlocks } from './blocks.mjs'
import { sleep } from './clock.mjs'
import { cut } from './cut.mjs'
import { check, decide } from './decide.mjs'
import { direct } from './direct.mjs'
import { GOSSIP_BYTES, SETTLE_MS, openGossip } from './gossip.mjs'
import { knowledge } from './knowledge.mjs'
import { row } from './row.mjs'
import { quantile } from './stats.mjs'

/** @typedef {import('./world.mjs').World} World */

/**
 * @typedef {object} Scenario
 * @property {string} id
 * @property {import('./row.mjs').Row[]} rows
 * @property {number} limitMs a run that takes longer has failed
 * @property {boolean} [slow] left out by --quick
 * @property {number} [maxRounds]
 * @property {string} [oursOnly] why there is nothing to compare with
 * @property {import('./sides.mjs').Side['id'][]} [sides] who is measured, by default ours and theirs
 * @property {(world: World) => Promise<Record<string, number>>} run resolves to one value a row
 */

const ROUND_TRIPS = 1000
const LOAD_TRANSFERS = 4
const MESSAGES = 5000
const BURST = 10_000
const TEN_MB = 10 * 2 ** 20
const SMALL = 100
const IN_FLIGHT = 64
const IDLE_MS = 3000
/**
 * Nothing new for so long counts as nothing more to come. A receiver of js-libp2p gossip was seen to pause for more than 5 s
 * in a burst, and then to receive the rest.
 */
const QUIET_MS = 30_000
const BURST_RECEIVERS = 3
const NODES = 10
const AGENTS_PER_NODE = 10
const KNOWN_SHARE = 0.95

/** @type {Scenario[]} */
export const scenarios = [
  {
    id: 'bulk',
    rows: [
      row('first', '10 MB through the relay, first transfer', 'ms'),
      row('warm', '10 MB through the relay, third transfer', 'ms'),
    ],
    limitMs: 60_000,
    async run(world) {
      const {
        first,
        others: [other],
      } = await world.group(1)
      const transfer = () => first.process.call('transfer', { to: other.address, bytes: TEN_MB })
      const values = { first: await transfer(), warm: 0 }
      await transfer()
      values.warm = await transfer()
      return values
    },
  },
  {
    id: 'rtt',
    rows: [
      row('p50', 'direct message of 100 B, round trip p50', 'ms'),
      row('p99', 'direct message of 100 B, round trip p99', 'ms'),
    ],
    limitMs: 60_000,
    async run(world) {
      const {
        first,
        others: [other],
      } = await world.group(1)
      const samples = await first.process.call('roundTrips', {
        to: other.address,
        size: SMALL,
        warmUp: 200,
        count: ROUND_TRIPS,
      })
      return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) }
    },
  },
  {
    id: 'load',
    rows: [
      row('p50', 'the same while 10 MB transfers flow, p50', 'ms'),
      row('p99', 'the same while 10 MB transfers flow, p99', 'ms'),
    ],
    limitMs: 60_000,
    async run(world) {
      const {
        first,
        others: [other],
      } = await world.group(1)
      const samples = await first.process.call('roundTripsUnderLoad', {
        to: other.address,
        size: SMALL,
        everyMs: 5,
        transfers: LOAD_TRANSFERS,
        bytes: TEN_MB,
      })
      return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) }
    },
  },
  {
    id: 'gossip',
    rows: [
      row('rate', 'gossip of 256 B, signed: received', 'msg/s', 'higher'),
      row('lost', 'of these messages lost', '%'),
    ],
    limitMs: 120_000,
    async run(world) {
      const { first, others } = await world.group(1)
      await openGossip(first, others)
      const published = first.process.call('publish', { size: GOSSIP_BYTES, count: MESSAGES, inFlight: IN_FLIGHT })
      const { count, lastAt } = await others[0].process.call('arrived', {
        count: MESSAGES,
        idleMs: QUIET_MS,
        limitMs: 100_000,
      })
      const { startedAt, ...refused } = await published
      noteRefused(world, refused)
      if (count === 0) throw new Error('nothing arrived')
      return { rate: (count / (lastAt - startedAt)) * 1000, lost: (100 * (MESSAGES - count)) / MESSAGES }
    },
  },
  {
    id: 'burst',
    rows: [
      row('lost', 'burst of 10,000 broadcasts in a mesh of 4: lost', '%'),
      row('time', 'the same: until the last one arrived', 'ms'),
      row('outOfOrder', 'the same: arrived out of order', '%'),
      row('drops', 'the same: connections lost, counted at both ends', ''),
    ],
    limitMs: 200_000,
    async run(world) {
      const { first, others } = await world.group(BURST_RECEIVERS)
      await openGossip(first, others)
      const agents = [first, ...others]
      const drops = await countDrops(agents)
      const published = first.process.call('publish', { size: GOSSIP_BYTES, count: BURST, inFlight: BURST })
      const results = await Promise.all(
        others.map(({ process }) => process.call('arrived', { count: BURST, idleMs: QUIET_MS, limitMs: 180_000 })),
      )
      const { startedAt, ...refused } = await published
      noteRefused(world, refused)
      const count = sum(results.map(result => result.count))
      return {
        lost: 100 * (1 - count / (BURST * others.length)),
        time: Math.max(...results.map(result => result.lastAt)) - startedAt,
        outOfOrder: (100 * sum(results.map(result => result.outOfOrder))) / (BURST * others.length),
        drops: (await countDrops(agents)) - drops,
      }
    },
  },
  {
    id: 'burst-direct',
    rows: [
      row('lost', 'burst of 10,000 direct messages of 100 B: lost', '%'),
      row('time', 'the same: until the last was acknowledged', 'ms'),
      row('wrong', 'the same: arrived twice or out of order', '%'),
    ],
    limitMs: 90_000,
    async run(world) {
      const {
        first,
        others: [other],
      } = await world.group(1)
      const { startedAt, endedAt, ...refused } = await first.process.call('burstOfMessages', {
        to: other.address,
        size: SMALL,
        count: BURST,
      })
      noteRefused(world, refused)
      const { count, duplicates, outOfOrder } = await other.process.call('messagesArrived', {
        count: BURST,
        idleMs: QUIET_MS,
        limitMs: 10_000,
      })
      return {
        lost: (100 * (BURST - count)) / BURST,
        time: endedAt - startedAt,
        wrong: (100 * (duplicates + outOfOrder)) / BURST,
      }
    },
  },
  cut({ id: 'cut-1s', seconds: 1 }),
  cut({ id: 'cut-5s', seconds: 5 }),
  cut({ id: 'cut-20s', seconds: 20, slow: true, maxRounds: 3 }),
  {
    id: 'start',
    rows: [row('start', 'start of the process to joined', 'ms'), row('join', 'of these, from the call to join', 'ms')],
    limitMs: 30_000,
    async run(world) {
      const relay = await world.startRelay()
      const { startMs, joinMs } = await world.join({ relay, name: 'agent' })
      return { start: startMs, join: joinMs }
    },
  },
  {
    id: 'memory',
    rows: [
      row('idle', 'RSS joined and idle for 3 s', 'MiB'),
      row('sender', 'RSS of the sender after 10 MB', 'MiB'),
      row('receiver', 'RSS of the receiver after 10 MB', 'MiB'),
      row('bare', 'RSS of Node.js alone, for orientation', 'MiB'),
    ],
    limitMs: 60_000,
    async run(world) {
      const bare = await world.bareMemory()
      const {
        first,
        others: [other],
      } = await world.group(1)
      await sleep(IDLE_MS)
      const idle = await first.process.call('memory')
      await first.process.call('transfer', { to: other.address, bytes: TEN_MB })
      return { idle, sender: await first.process.call('memory'), receiver: await other.process.call('memory'), bare }
    },
  },
  {
    id: 'decide',
    rows: [
      row('half', '10 agents in Node.js and Chromium approve a proposal, half of 20', 'ms'),
      row('most', 'the same, 95 %', 'ms'),
      row('lease', 'one of them acquires a resource and gives it back', 'ms'),
    ],
    limitMs: 120_000,
    maxRounds: 3,
    oursOnly: 'js-libp2p decides nothing',
    run: decide,
  },
  {
    id: 'certificate',
    rows: [row('check', 'a certificate of 100 voters is checked in wasm', 'ms')],
    limitMs: 30_000,
    maxRounds: 3,
    oursOnly: 'js-libp2p decides nothing',
    run: check,
  },
  {
    id: 'newcomer',
    rows: [row('known', 'newcomer knows 95 % of 100 agents on 10 nodes, from the call to join', 'ms')],
    limitMs: 120_000,
    oursOnly: 'js-libp2p has no directory of agents',
    async run(world) {
      const relay = await world.startRelay()
      const nodes = await Promise.all(
        Array.from({ length: NODES }, (_, i) => world.join({ relay, name: `agent-${i}-0` })),
      )
      await Promise.all(
        nodes.map(({ process }, i) =>
          process.call('announce', {
            names: Array.from({ length: AGENTS_PER_NODE - 1 }, (_, j) => `agent-${i}-${j + 1}`),
          }),
        ),
      )
      const others = (NODES - 1) * AGENTS_PER_NODE
      await Promise.all(nodes.map(({ process }) => process.call('knows', { count: others, limitMs: 60_000 })))
      await sleep(SETTLE_MS)
      const newcomer = world.processes.fork(world.node, world.side.agentFile)
      const joined = await newcomer.call('join', { relay, name: 'newcomer' })
      const knownAt = await newcomer.call('knows', { count: NODES * AGENTS_PER_NODE * KNOWN_SHARE, limitMs: 30_000 })
      return { known: knownAt - joined.joinedAt + joined.joinMs }
    },
  },
  ...direct,
  blocks,
  directBlocks,
  ...knowledge,
]

/**
 * @param {World} world
 * @param {{ failed: number, reason?: string }} refused
 */
function noteRefused(world, { failed, reason }) {
  if (failed > 0) world.notes.push(`${failed} of the messages were refused or given up: ${reason}`)
}

/**
 * @param {import('./world.mjs').Joined[]} agents
 * @returns {Promise<number>}
 */
async function countDrops(agents) {
  return sum(await Promise.all(agents.map(({ process }) => process.call('drops'))))
}

/**
 * @param {number[]} values
 */
function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}
