// Helia as it is on npm and ours, each in a process of its own: files, directories and single blocks, both ways.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { until } from '../e2e/lib/until.mjs'
import { Helia, Ours } from './lib/block-peers.mjs'
import { LARGE, gets } from './lib/block-suite.mjs'

const LIMIT = { timeout: 90_000 }
const SOON_MS = 4000
const SILENCE_MS = 300
const TCP = /\/tcp\/\d+\/p2p\//
const WEBSOCKET = /\/ws\//

const entries = count => Object.fromEntries(Array.from({ length: count }, (_, n) => [`entry ${n}`, `file ${n}`]))

const cidOf = async text => CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(text))).toString()
const cidsOf = texts => Promise.all(texts.map(cidOf))
const counted = (count, what) => Array.from({ length: count }, (_, n) => `${what} ${n}`)

// What nobody may be left with.
async function nothingIsLeft(ours) {
  const { bad, wanted } = await ours.figures()
  assert.deepEqual({ bad, wanted }, { bad: [], wanted: 0 })
}

test('Helia dials ours over TCP', LIMIT, async t => {
  const [helia, ours] = await Promise.all([Helia.start(t), Ours.start(t)])
  await helia.meet(ours, TCP)
  await t.test('Helia gets a file of 3 MB and a directory', () => gets(helia, ours, LARGE))
  await t.test('ours gets a file of 3 MB and a directory', () => gets(ours, helia, LARGE + 1))

  await t.test('a file in a thousand blocks, both ways', async () => {
    const small = { chunk: 1000, width: 40 }
    for (const [giver, getter, size] of [[ours, helia, 1_000_000], [helia, ours, 1_000_001]]) {
      const cid = await giver.add(size, small)
      assert.deepEqual(await getter.fetch(cid), await giver.fetch(cid))
    }
  })

  await t.test('ours lists and gets a directory that Helia has made a HAMT of', async () => {
    const cid = await helia.add(entries(60), { shards: true })
    const files = await ours.fetch(cid)
    assert.equal(files.length, 60)
    assert.deepEqual(files, await helia.fetch(cid))
  })

  await t.test('Helia asks whether a block is here, and is told at once', async () => {
    const [large, small, absent] = [await ours.add(5000), await ours.add('small'), await cidOf('absent')]
    for (const [cid, is] of [[large, true], [small, true], [absent, false]]) {
      const { has, ms } = await helia.presence(cid, ours.peerId)
      assert.equal(has, is)
      assert.ok(ms < SOON_MS, `${ms} ms`)
    }
  })

  await t.test('Helia says at once that it has not a block, and what is cancelled it forgets', async () => {
    const absent = await cidOf('absent too')
    const began = performance.now()
    await ours.want([absent])
    await ours.searched(absent)
    assert.ok(performance.now() - began < SOON_MS)
    assert.deepEqual(await helia.wantsOf(ours.peerId), [absent])
    await ours.cancel([absent])
    await until(async () => (await helia.wantsOf(ours.peerId)).length === 0, { what: 'the want to be cancelled' })
  })

  await t.test('Helia gets a block that comes to be here while it waits', async () => {
    const late = await cidOf('late')
    const before = (await ours.figures()).wantedByOthers
    const got = helia.block(late)
    await until(async () => (await ours.figures()).wantedByOthers > before, { what: 'Helia to want it' })
    assert.equal(await ours.add('late'), late)
    assert.equal((await got).length, 4)
  })

  await t.test('ours takes a message of 4 MiB, which is the most that Helia sends', async () => {
    // With what is around them, 4,194,304 bytes.
    const cids = []
    for (const size of [1_048_576, 1_048_575, 1_048_574, 1_048_519]) cids.push(await helia.add(size))
    await ours.want(cids)
    await Promise.all(cids.map(cid => ours.got(cid)))
  })

  await t.test('Helia gets hundreds of blocks at once, each asked for with a message of its own', async () => {
    const cids = []
    for (let n = 0; n < 200; n++) cids.push(await ours.add(20_000 + n))
    assert.equal(await helia.session(cids, ours.peerId), cids.length)
  })

  await t.test('Helia, which cancels nothing, gets blocks after a thousand wants that were given up', async () => {
    await helia.want(await cidsOf(counted(1500, 'given up')))
    // As many as are remembered of a peer.
    await until(async () => (await ours.figures()).wantedByOthers === 1024, { what: 'all wants to be there' })
    await helia.giveUp()
    assert.equal((await helia.block(await ours.add('after all'))).length, 9)
  })

  await t.test('nothing is left of it', () => nothingIsLeft(ours))
})

test('ours dials Helia over WebSocket', LIMIT, async t => {
  const [helia, ours] = await Promise.all([Helia.start(t), Ours.start(t)])
  await ours.meet(helia, WEBSOCKET)
  await t.test('ours gets a file of 3 MB and a directory', () => gets(ours, helia, LARGE))
  await t.test('Helia gets a file of 3 MB and a directory', () => gets(helia, ours, LARGE + 1))
  await t.test('nothing is left of it', () => nothingIsLeft(ours))
})

test('Helia resets streams that are silent, and blocks come all the same', LIMIT, async t => {
  // After 10 s by default.
  const bitswap = { messageReceiveTimeout: SILENCE_MS }
  const [helia, ours] = await Promise.all([Helia.start(t, { bitswap }), Ours.start(t)])
  await helia.meet(ours, TCP)
  for (const [getter, giver] of [[helia, ours], [ours, helia]]) {
    for (const text of counted(3, 'after silence')) {
      const cid = await giver.add(`${text} of ${giver.constructor.name}`)
      assert.ok((await getter.block(cid, SOON_MS)).length > 0)
      await until(async () => (await helia.streams(ours.peerId)) === 0, { what: 'Helia to reset the stream' })
    }
  }
  await nothingIsLeft(ours)
})
