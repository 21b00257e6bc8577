// indexedDbBlocks() does what every block store does, by the very checks of bindings-ts/test/block-stores.test.ts, and what
// only a browser does to it: tabs, tabs that crash, room that is taken away, data that is cleared.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contract } from '../../bindings-ts/test/block-contract.js'
import { crash, reload, start } from './lib/store-tab.mjs'
import { until } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }
const CUTS = 6

test('what every block store does', { timeout: 120_000 }, async t => {
  const { tab } = await start(t)
  for (const what of Object.keys(contract)) {
    await t.test(what, () => tab.evaluate(async what => {
      const { contract } = await import('/npm/neural-mesh/test/block-contract.js')
      await contract[what](() => neuralMesh.indexedDbBlocks(what))
    }, what))
  }
})

test('blocks are kept when the page is loaded again', LIMIT, async t => {
  const { tab } = await start(t)
  assert.deepEqual(await list(tab), {})
  await put(tab, { a: 3, b: 100_000 })
  await reload(tab)
  assert.deepEqual(await list(tab), { a: 3, b: 100_000 })
  assert.equal(await whole(tab, 'b'), 100_000)
})

test('one tab has it at a time: until it closes the store, or goes', LIMIT, async t => {
  const { tab, open } = await start(t)
  await list(tab)
  await tab.evaluate(() => (globalThis.first = store))
  const second = await open()
  for (const other of [second, tab]) await assert.rejects(list(other), /in-use: neural-mesh\/blocks\/lab is open in another tab/)
  assert.deepEqual(await list(second, 'another'), {})
  await tab.evaluate(() => first.close())
  assert.deepEqual(await list(second), {})
  const waiting = list(tab)
  await tab.evaluate(async () => {
    while (!(await navigator.locks.query()).pending.length) await new Promise(resolve => setTimeout(resolve))
  })
  await second.close()
  assert.deepEqual(await waiting, {})
})

test('a tab that ends in the middle of puts has kept whole all that was acknowledged, and no part of a put', LIMIT, async t => {
  const { context, open } = await start(t)
  let told = -1
  await context.exposeFunction('tell', number => (told = number))
  for (let cut = 0; cut < CUTS; cut++) {
    const tab = await open()
    const sizes = await list(tab)
    const numbers = Object.keys(sizes).map(cid => Number(cid.slice(1)))
    const kept = Math.max(-1, ...numbers)
    assert.ok(kept >= told, `told ${told}, kept ${kept}`)
    // Of three in a put it has all or none, and what may have been deleted is older than nine.
    for (let n = Math.max(0, told - 8); n <= told; n++) assert.ok(numbers.includes(n), `told ${told}, ${n} is not among ${numbers}`)
    for (const n of numbers) assert.ok([0, 1, 2].every(i => numbers.includes(n - (n % 3) + i)), `${n} is one of ${numbers}`)
    for (const [cid, size] of Object.entries(sizes)) {
      assert.equal(size, 90_000 + Number(cid.slice(1)))
      assert.equal(await whole(tab, cid), size)
    }
    const goal = kept + 15 + cut * 9
    void tab.evaluate(async n => {
      for (; ; n += 3) {
        await store.put([n, n + 1, n + 2].map(n => ({ cid: `b${n}`, data: new Uint8Array(90_000 + n).fill(n) })))
        await store.delete([n - 12, n - 11, n - 10].filter(n => n >= 0).map(n => `b${n}`))
        void tell(n + 2)
      }
    }, kept + 1).catch(() => {})
    await until(() => told >= goal, { what: `block ${goal}` })
    await crash(tab)
  }
})

test('a store that is deleted, or cleared by the browser, while it is open says so, and can be opened anew', LIMIT, async t => {
  const { context, tab, origin } = await start(t)
  const devtools = await context.newCDPSession(tab)
  const ends = {
    'it was deleted': () => tab.evaluate(() => new Promise((resolve, reject) => {
      Object.assign(indexedDB.deleteDatabase('neural-mesh/blocks/lab'), { onsuccess: resolve, onerror: reject })
    })),
    'the browser has closed it': () => devtools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' }),
  }
  for (const [why, end] of Object.entries(ends)) {
    assert.deepEqual(await list(tab), {})
    await put(tab, { a: 100_000 })
    await end()
    const lost = new RegExp(`store-failed: .* \\(${why}\\)`)
    await until(() => put(tab, { b: 1 }).then(() => false, error => lost.test(error.message)), { what: why })
    for (const call of [put(tab, { b: 1 }), whole(tab, 'a'), remove(tab, 'a')]) await assert.rejects(call, lost)
    // Without closing that one, on the same page.
    assert.deepEqual(await list(tab), {})
    await put(tab, { c: 1 })
    assert.equal(await whole(tab, 'c'), 1)
    await remove(tab, 'c')
    await tab.evaluate(() => store.close())
  }
})

test('without room a put is storage-full; what was acknowledged stays, and with room again puts work', LIMIT, async t => {
  const { context, tab, origin } = await start(t)
  await list(tab)
  const devtools = await context.newCDPSession(tab)
  const quota = quotaSize => devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize })
  await quota(600_000)
  await put(tab, { a: 100_000 })
  for (let i = 0; i < 3; i++) {
    await assert.rejects(put(tab, { b: 10, c: 1_000_000 }), /storage-full: neural-mesh\/blocks\/lab has no room left .*QuotaExceededError/)
    assert.equal(await whole(tab, 'a'), 100_000)
    assert.equal(await whole(tab, 'b'), undefined)
  }
  await put(tab, { d: 10 })
  await quota()
  await put(tab, { c: 1_000_000 })
  await reload(tab)
  assert.deepEqual(await list(tab), { a: 100_000, c: 1_000_000, d: 10 })
  assert.equal(await whole(tab, 'c'), 1_000_000)
})

test('what the package has not written is no block', LIMIT, async t => {
  const { tab } = await start(t)
  await list(tab)
  await put(tab, { a: 10 })
  await tab.evaluate(() => new Promise((resolve, reject) => {
    indexedDB.open('neural-mesh/blocks/lab').onsuccess = ({ target }) => {
      const database = target.result
      const transaction = database.transaction(['blocks', 'sizes'], 'readwrite')
      Object.assign(transaction, { oncomplete: () => resolve(database.close()), onabort: reject })
      transaction.objectStore('sizes').put(1, 7)
      transaction.objectStore('sizes').put('many', 'b')
      transaction.objectStore('blocks').put('text', 'b')
    }
  }))
  assert.equal(await whole(tab, 'b'), undefined)
  await tab.evaluate(() => store.close())
  assert.deepEqual(await list(tab), { a: 10 })
})

test('the browser tells how much this origin takes, and of how much', LIMIT, async t => {
  const { tab } = await start(t)
  const before = await estimated(tab)
  await list(tab)
  await put(tab, { a: 2_000_000, b: 2_000_000 })
  const { usage, quota } = await estimated(tab)
  assert.ok(usage > before.usage && quota > usage, `${before.usage}, ${usage} of ${quota}`)
})

test('where there are no locks, that is said', LIMIT, async t => {
  const { tab } = await start(t, () => delete Navigator.prototype.locks)
  await assert.rejects(list(tab), /invalid-argument: .* secure pages .* use memoryBlocks\(\)/)
})

// Opens a store, `store` in the tab, and gives the sizes of what it keeps, by CID.
function list(tab, name = 'lab') {
  return tab.evaluate(async name => {
    globalThis.store = neuralMesh.indexedDbBlocks(name)
    return Object.fromEntries(await store.list().catch(withCode))
  }, name)
}

// Puts blocks of these sizes by CID, in one put. They are full of their size.
function put(tab, sizes) {
  return tab.evaluate(async sizes => {
    const blocks = Object.entries(sizes).map(([cid, size]) => ({ cid, data: new Uint8Array(size).fill(size) }))
    await store.put(blocks).catch(withCode)
  }, sizes)
}

// The size of a block, when it is whole: all its bytes are the same.
function whole(tab, cid) {
  return tab.evaluate(async cid => {
    const data = await store.get(cid).catch(withCode)
    if (data && !data.every(byte => byte === data[0])) throw new Error(`${cid} is not whole`)
    return data?.length
  }, cid)
}

function remove(tab, cid) {
  return tab.evaluate(cid => store.delete([cid]).catch(withCode), cid)
}

function estimated(tab) {
  return tab.evaluate(async () => (await import('/npm/neural-mesh/dist/store/database.js')).storageEstimate())
}
