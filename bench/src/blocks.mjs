import { row } from './row.mjs'

/** @typedef {import('./scenarios.mjs').Scenario} Scenario */

const TEN_MB = 10 * 2 ** 20

/**
 * A file that one adds and another gets by its CID, each block checked.
 *
 * @type {Scenario}
 */
export const blocks = {
  id: 'blocks',
  rows: [
    row('first', '10 MB added by one and fetched by another, first file', 'ms'),
    row('warm', 'the same, third file', 'ms'),
    row('add', 'of these, adding it', 'ms'),
  ],
  limitMs: 60_000,
  sides: ['ours', 'helia'],
  async run(world) {
    const {
      first,
      others: [other],
    } = await world.group(1, { listen: true })
    const pass = async () => {
      const { cid, startedAt, addedAt, sha256 } = await first.process.call('add', { bytes: TEN_MB })
      const fetched = await other.process.call('fetch', { cid, from: first.address })
      if (fetched.sha256 !== sha256) throw new Error('other bytes arrived')
      return { took: fetched.fetchedAt - startedAt, add: addedAt - startedAt }
    }
    const { took } = await pass()
    await pass()
    const warm = await pass()
    return { first: took, warm: warm.took, add: warm.add }
  },
}

/**
 * The same between two pages that are connected directly, by WebRTC. What the test takes to hand the CID over is not in it.
 *
 * @type {Scenario}
 */
export const directBlocks = {
  id: 'direct-blocks',
  rows: [
    row('first', '10 MB added by one page and fetched by another, first file', 'ms'),
    row('warm', 'the same, third file', 'ms'),
    row('add', 'of these, adding it', 'ms'),
  ],
  limitMs: 90_000,
  sides: ['ours', 'helia'],
  async run(world) {
    const relay = await world.startRelay()
    const [giver, getter] = await world.pages(2)
    const { address } = await giver.call('join', { relay, name: 'giver' })
    await getter.call('join', { relay, name: 'getter' })
    await getter.call('connect', { to: address })
    const pass = async () => {
      const { cid, ms, sha256 } = await giver.call('add', { bytes: TEN_MB })
      const fetched = await getter.call('fetch', { cid })
      if (fetched.sha256 !== sha256) throw new Error('other bytes arrived')
      return { took: ms + fetched.ms, add: ms }
    }
    const { took } = await pass()
    await pass()
    const warm = await pass()
    return { first: took, warm: warm.took, add: warm.add }
  },
}
