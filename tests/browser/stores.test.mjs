// indexedDbStore() keeps what it has said it keeps, for one tab at a time. What every store does is in
// bindings-ts/test/stores.test.ts. No mesh is needed: pages/agent.html only brings the package.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crash, reload, start } from './lib/store-tab.mjs'
import { until } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }
const CUTS = 6

test('writes, over and away, are kept when the page is loaded again, and values are copies', LIMIT, async t => {
  const { tab } = await start(t)
  assert.deepEqual(await load(tab), {})
  const kept = await tab.evaluate(async () => {
    const bytes = text => new TextEncoder().encode(text)
    const shared = bytes('-value-')
    const writes = [
      store.write([{ key: 'a', value: bytes('1') }, { key: 'b', value: bytes('1') }, { key: 'empty', value: bytes('') }]),
      store.write([{ key: 'a', value: bytes('2') }, { key: 'a', value: bytes('3') }, { key: 'b' }, { key: 'none' }]),
      store.write([{ key: 'view', value: shared.subarray(1, 6) }]),
    ]
    shared.fill(0)
    await Promise.all(writes)
    return store.write([{ key: 'a', value: bytes('wrong') }, { key: '' }]).catch(error => error.code)
  })
  assert.equal(kept, 'invalid-argument')
  await reload(tab)
  assert.deepEqual(await load(tab), { a: '3', empty: '', view: 'value' })
})

test('one tab has it at a time: until it closes the store, or goes', LIMIT, async t => {
  const { tab, open } = await start(t)
  await load(tab)
  await tab.evaluate(() => (globalThis.first = store))
  const second = await open()
  for (const other of [second, tab]) await assert.rejects(load(other), /in-use: neural-mesh\/store\/voter is open in another tab/)
  assert.deepEqual(await load(second, 'another'), {})
  await tab.evaluate(() => first.close())
  assert.deepEqual(await load(second), {})

  // Who waits gets it as soon as the other has gone.
  const waiting = load(tab)
  await tab.evaluate(async () => {
    while (!(await navigator.locks.query()).pending.length) await new Promise(resolve => setTimeout(resolve))
  })
  await second.close()
  assert.deepEqual(await waiting, {})
})

test('a tab that ends in the middle of writes has kept all that was acknowledged, in order', LIMIT, async t => {
  const { context, open } = await start(t)
  let told = -1
  await context.exposeFunction('tell', number => (told = number))
  for (let cut = 0; cut < CUTS; cut++) {
    const tab = await open()
    const { last, ...votes } = await load(tab)
    const kept = Number(last ?? -1)
    assert.ok(kept >= told, `told ${told}, kept ${kept}`)
    if (kept >= 0) assert.equal(Number(votes[`vote/${kept % 5}`]), kept)
    for (const vote of Object.values(votes)) assert.ok(vote.length === 20_000 && Number(vote) > kept - 5 && Number(vote) <= kept)
    const goal = kept + 5 + cut * 3
    void tab.evaluate(async n => {
      for (; ; n++) {
        const value = new TextEncoder().encode(String(n).padEnd(20_000))
        await store.write([{ key: `vote/${n % 5}`, value }, { key: 'last', value: new TextEncoder().encode(n) }])
        void tell(n)
      }
    }, kept + 1).catch(() => {})
    await until(() => told >= goal, { what: `record ${goal}` })
    await crash(tab)
  }
})

test('a store that is deleted while it is open takes nothing more', LIMIT, async t => {
  const { tab } = await start(t)
  await load(tab)
  await tab.evaluate(() => new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase('neural-mesh/store/voter')
    Object.assign(request, { onsuccess: resolve, onerror: reject })
  }))
  for (let i = 0; i < 2; i++) await assert.rejects(put(tab), /store-failed: .* \(it was deleted\)/)
  await reload(tab)
  assert.deepEqual(await load(tab), {})
})

test('without room a write fails, and all after it', LIMIT, async t => {
  const { context, tab, origin } = await start(t)
  await load(tab)
  const devtools = await context.newCDPSession(tab)
  const quota = quotaSize => devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize })
  await quota(300_000)
  await put(tab, 1)
  await assert.rejects(put(tab, 400_000), /store-failed: .*QuotaExceededError/)
  await quota()
  await assert.rejects(put(tab, 1), /store-failed/)
  await reload(tab)
  assert.deepEqual(await load(tab), { key: 'x' })
})

test('where there are no locks, that is said', LIMIT, async t => {
  const { tab } = await start(t, () => delete Navigator.prototype.locks)
  await assert.rejects(load(tab), /invalid-argument: .* secure pages .* use memoryStore\(\)/)
})

// Opens a store, `store` in the tab, and gives what it keeps, as text.
function load(tab, name = 'voter') {
  return tab.evaluate(async name => {
    globalThis.store = neuralMesh.indexedDbStore(name)
    const kept = await store.load().catch(withCode)
    return Object.fromEntries(kept.map(([key, value]) => [key, new TextDecoder().decode(value)]))
  }, name)
}

function put(tab, length = 1) {
  return tab.evaluate(length => store.write([{ key: 'key', value: new Uint8Array(length).fill(120) }]).catch(withCode), length)
}
