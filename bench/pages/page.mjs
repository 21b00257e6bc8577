import { PROBE, makeBody, randomBody } from '../src/bodies.mjs'
import { roundTrips, roundTripsUnderLoad, transfer } from '../src/measure.mjs'
import { sha256 } from './bulk.mjs'

/**
 * What a side must be able to do in a page; see `Driver` in ../src/driver.mjs, whose meaning this has.
 *
 * @typedef {object} PageDriver
 * @property {(options: import('../src/driver.mjs').JoinOptions) => Promise<string>} join
 * @property {(to: string) => Promise<void>} connect resolves when there is a direct connection, and everything takes it
 * @property {(to: string, body: Uint8Array) => Promise<void>} [send]
 * @property {(to: string, body: Uint8Array<ArrayBuffer>) => Promise<void>} [transfer]
 * @property {(bytes: Uint8Array) => Promise<string>} [add]
 * @property {(cid: string) => Promise<Uint8Array<ArrayBuffer>>} [fetch]
 * @property {(to: string) => Promise<void>} [reach]
 *   Resolves when a message was answered, on whatever way. Where it is missing there is none but the direct one.
 * @property {(voters: number) => Promise<void>} [approve]
 * @property {(number: number) => Promise<boolean>} [propose]
 * @property {(signal: any) => Promise<void>} [hear] what the other page has told by `benchSignal`
 */

const SMALL = 100

/** @type {Record<string, () => Promise<{ create: () => PageDriver }>>} */
const sides = {
  ours: () => import('./ours.mjs'),
  raw: () => import('./raw.mjs'),
  helia: () => import('./helia.mjs'),
  theirs: () => import('./theirs.mjs'),
}

const { create } = await sides[new URLSearchParams(location.search).get('side') ?? '']()
const driver = create()
let joinCalledAt = 0
let joinedAt = 0

/** @type {Record<string, (args: any) => unknown>} */
const commands = {
  async join(options) {
    joinCalledAt = performance.now()
    const address = await driver.join(options)
    joinedAt = performance.now()
    return { address }
  },

  /** Right after `join`: milliseconds from having joined, or from the call to join, to what happened. */
  async meet({ to }) {
    const connected = driver.connect(to)
    const reached = driver.reach?.(to) ?? connected.then(() => driver.send(to, makeBody(SMALL, PROBE, 0)))
    const [directAt, echoAt] = await Promise.all([connected, reached].map(done => done.then(() => performance.now())))
    return { direct: directAt - joinedAt, echo: echoAt - joinedAt, fromJoin: directAt - joinCalledAt }
  },

  connect: ({ to }) => driver.connect(to),
  async add({ bytes }) {
    const body = randomBody(bytes)
    const startedAt = performance.now()
    const cid = await driver.add?.(body)
    return { cid, ms: performance.now() - startedAt, sha256: hex(await sha256(body)) }
  },
  async fetch({ cid }) {
    const startedAt = performance.now()
    const body = await driver.fetch?.(cid)
    return { ms: performance.now() - startedAt, sha256: body && hex(await sha256(body)) }
  },
  transfer: args => transfer(driver, args),
  roundTrips: args => roundTrips(driver, args),
  roundTripsUnderLoad: args => roundTripsUnderLoad(driver, args),
  hear: signal => driver.hear?.(signal),
  approve: ({ voters }) => driver.approve?.(voters),
  async propose({ number }) {
    const startedAt = performance.now()
    const approved = await driver.propose?.(number)
    return { approved, ms: performance.now() - startedAt }
  },
}

/**
 * @param {Uint8Array} bytes
 */
function hex(bytes) {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}

Object.assign(globalThis, {
  bench: { call: (/** @type {string} */ command, /** @type {any} */ args) => commands[command](args) },
})
