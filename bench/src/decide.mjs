import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCharter, generateIdentity, peerIdOf, verifyRecord } from 'neural-mesh'
import { now } from './clock.mjs'
import { quantile } from './stats.mjs'

const PROCESSES = 7
const PAGES = 3
const PROPOSALS = 20
const LEASES = 10
const CHECKS = 50
const LIMIT_MS = 60_000
const VECTORS = new URL('../../tests/vectors/decisions.json', import.meta.url)

/**
 * Agents in processes, with stores on the disk, and in pages of one Chromium, all of them voters, decide one thing after the
 * other. All of them approve at once.
 *
 * @param {import('./world.mjs').World} world
 */
export async function decide(world) {
  const folder = await mkdtemp(join(tmpdir(), 'mesh-bench-votes-'))
  try {
    const identities = Array.from({ length: PROCESSES + PAGES }, generateIdentity)
    const peers = await Promise.all(identities.map(peerIdOf))
    const charter = await createCharter({ name: 'bench', founders: /** @type {string} */ (peers[0]) })
    const relay = await world.startRelay({ charter })
    const voters = identities.map((identity, i) => ({
      relay,
      name: `voter-${i}`,
      voter: { charter: [...charter], identity: [...identity], store: join(folder, String(i)) },
    }))
    const processes = await Promise.all(voters.slice(0, PROCESSES).map(async voter => (await world.join(voter)).process))
    const pages = await world.pages(PAGES)
    await Promise.all(pages.map((page, i) => page.call('join', voters[PROCESSES + i])))
    const all = [...processes, ...pages]
    const founder = /** @type {import('./processes.mjs').Agent} */ (processes[0])
    await founder.call('knows', { count: all.length - 1, limitMs: LIMIT_MS })
    await founder.call('elect', { peers })
    await Promise.all(all.map(agent => agent.call('approve', { voters: all.length })))
    const proposed = []
    for (let i = 0; i < PROPOSALS; i++) {
      const { ms, approved } = await /** @type {any} */ (all[i % all.length]).call('propose', { number: i })
      if (!approved) throw new Error(`proposal ${i} was not approved`)
      proposed.push(ms)
    }
    const acquired = []
    for (let i = 0; i < LEASES; i++) acquired.push(await founder.call('acquire', { resource: `bench/${i}` }))
    return { half: quantile(proposed, 0.5), most: quantile(proposed, 0.95), lease: quantile(acquired, 0.5) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A certificate of a hundred voters, with its charter, checked in wasm. */
export async function check() {
  const { largeRecord } = JSON.parse(await readFile(VECTORS, 'utf8'))
  const record = Buffer.from(largeRecord.hex, 'hex')
  const times = []
  for (let i = 0; i < CHECKS; i++) {
    const startedAt = now()
    const { voters, signers } = await verifyRecord(record)
    times.push(now() - startedAt)
    if (voters !== 100 || signers !== 67) throw new Error(`${signers} of ${voters}`)
  }
  return { check: quantile(times, 0.5) }
}
