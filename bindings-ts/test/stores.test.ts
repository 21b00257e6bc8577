import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ErrorCode } from '../src/errors.js'
import { fileStore } from '../src/store/fs.js'
import { indexedDbStore } from '../src/store/indexeddb.js'
import { memoryStore } from '../src/store/memory.js'
import { MAX_KEY, MAX_VALUE, MAX_WRITE, QueuedStore } from '../src/store/queued.js'
import type { MeshStore, StoreChange } from '../src/store/store.js'
import { bytes, contents, directory, put } from './store-tools.js'
import { deferred, rejectsCode, throwsCode } from './tools.js'

// What every store does; indexedDbStore() shows it in tests/browser/stores.test.mjs. `open` gives what opens the store of a
// test, again and again.
type Open = (t: TestContext) => Promise<() => MeshStore>

contract('memoryStore', async () => {
  const records = new Map<string, Uint8Array>()
  return () => memoryStore(records)
})
contract('fileStore', async t => {
  const path = await directory(t)
  return () => fileStore(path)
})

function contract(name: string, open: Open): void {
  // What is kept after a new store was written to and closed.
  async function after(t: TestContext, use: (store: MeshStore) => Promise<unknown>): Promise<Record<string, string>> {
    const again = await open(t)
    const store = again()
    assert.deepEqual(await store.load(), [])
    await use(store)
    await store.close()
    const next = again()
    try {
      return await contents(next)
    } finally {
      await next.close()
    }
  }

  test(`${name}: empty at first, and of nothing after nothing`, async t => {
    assert.deepEqual(await after(t, store => store.write([])), {})
  })

  test(`${name}: load() comes first, and once`, async t => {
    const store = (await open(t))()
    t.after(() => store.close())
    await rejectsCode('invalid-argument', /call load\(\) before write\(\)/, store.write([put('a', '1')]))
    await store.load()
    await rejectsCode('invalid-argument', /called once/, store.load())
    await store.write([put('a', '1')])
  })

  test(`${name}: closing is idempotent, lets writes end, and is the end`, async t => {
    const store = (await open(t))()
    await store.load()
    const written = store.write([put('a', '1')])
    await Promise.all([store.close(), store.close(), written])
    await store.close()
    await rejectsCode('closed', /is closed/, store.write([put('b', '2')]))
    await rejectsCode('closed', /is closed/, store.load())
  })

  test(`${name}: a store that was never loaded can be closed`, async t => {
    await (await open(t))().close()
  })

  test(`${name}: keys and values at the limit are taken, and one more is refused and changes nothing`, async t => {
    const [longest, largest] = ['k'.repeat(MAX_KEY), 'v'.repeat(MAX_VALUE)]
    const many = Array.from({ length: Math.ceil(MAX_WRITE / MAX_VALUE) }, () => put('many', largest))
    const kept = await after(t, async store => {
      await store.write([put(longest, '1'), put('~ !', largest)])
      await store.write(many.slice(1))
      const refuse = (code: ErrorCode, message: RegExp, ...changes: StoreChange[]) => {
        return rejectsCode(code, message, store.write([put('first', 'x'), ...changes]))
      }
      for (const key of ['', `${longest}k`, 'é', 'a\n', 7 as never]) {
        await refuse('invalid-argument', /a key of a store is 1 to 128 characters/, put(key, '1'))
      }
      await refuse('invalid-argument', /must be a Uint8Array/, { key: 'a', value: 'text' as never })
      await refuse('too-large', /409601 bytes; at most 409600/, put('a', `${largest}v`))
      await refuse('too-large', /one write to a store/, ...many)
    })
    assert.deepEqual(kept, { [longest]: '1', '~ !': largest, many: largest })
  })

  test(`${name}: what is written is kept; later changes go over earlier ones, also within a write`, async t => {
    const kept = await after(t, async store => {
      await store.write([put('a', '1'), put('b', '1'), put('c', '1'), put('empty', '')])
      await store.write([put('a', '2'), put('a', '3'), { key: 'b' }, { key: 'none' }, put('d', '1'), { key: 'd' }])
      await store.write([{ key: 'c', value: undefined }, put('c', '4')])
    })
    assert.deepEqual(kept, { a: '3', c: '4', empty: '' })
  })

  test(`${name}: what is kept is a copy, of a view what it shows, and so is what is loaded`, async t => {
    const again = await open(t)
    const [first, shared] = [again(), bytes('-value-')]
    await first.load()
    const writes = [first.write([{ key: 'view', value: shared.subarray(1, 6) }]), first.write([{ key: 'later', value: shared }])]
    shared.fill(0)
    await Promise.all(writes)
    await first.close()

    const second = again()
    for (const [, value] of await second.load()) {
      assert.equal(value.constructor, Uint8Array)
      value.fill(0)
    }
    // Written anew from what the store has in memory.
    await second.write([put('more', '1')])
    await second.close()
    const third = again()
    assert.deepEqual(await contents(third), { view: 'value', later: '-value-', more: '1' })
    await third.close()
  })

  test(`${name}: writes that overlap are made in the order of the calls`, async t => {
    const order: number[] = []
    const kept = await after(t, store => Promise.all(Array.from({ length: 20 }, async (_, i) => {
      await store.write(i % 3 === 2 ? [{ key: 'a' }] : [put('a', `${i}`), put(`${i % 3}`, `${i}`)])
      order.push(i)
    })))
    assert.deepEqual(kept, { a: '19', 0: '18', 1: '19' })
    assert.deepEqual(order, [...order.keys()])
  })
}

test('a store that failed refuses all later writes, also those that waited, and is closed once', async () => {
  const failure = deferred()
  const calls: string[] = []
  const store = new QueuedStore({
    name: 'the test',
    load: async () => [],
    write: ([change]) => (calls.push(change!.key), failure.promise),
    close: async () => void calls.push('closed'),
  })
  await store.load()
  const writes = ['a', 'b'].map(key => rejectsCode('store-failed', /the test failed \(no room\)/, store.write([put(key, '1')])))
  failure.reject(new Error('no room'))
  await Promise.all(writes)
  await rejectsCode('store-failed', /no room/, store.write([]))
  await Promise.all([store.close(), store.close()])
  assert.deepEqual(calls, ['a', 'closed'])
})

test('a store that cannot be loaded lets go at once', async () => {
  let closed = 0
  const load = () => Promise.reject(new Error('unreadable'))
  const store = new QueuedStore({ name: 'the test', load, write: async () => {}, close: async () => void closed++ })
  await rejectsCode('store-failed', /unreadable/, store.load())
  assert.equal(closed, 1)
  await rejectsCode('store-failed', /unreadable/, store.write([put('a', '1')]))
})

test('indexedDbStore: where there is none, that is said, and what else there is', async () => {
  await rejectsCode('invalid-argument', /secure pages .* use memoryStore\(\)/, indexedDbStore('voter').load())
  for (const name of ['', 'n'.repeat(129)]) throwsCode('invalid-argument', /the name of a store has 1 to 128/, () => indexedDbStore(name))
})
