import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { MeshError } from '../src/errors.js'
import { fileBlocks } from '../src/store/blocks-fs.js'
import { indexedDbBlocks } from '../src/store/blocks-indexeddb.js'
import { memoryBlocks } from '../src/store/blocks-memory.js'
import { OrderedBlocks, type BlockKeeper } from '../src/store/blocks-ordered.js'
import type { BlockStore } from '../src/store/blocks.js'
import { storageEstimate } from '../src/store/database.js'
import { Turns, each } from '../src/store/parallel.js'
import { contract } from './block-contract.js'
import { bytes, directory } from './store-tools.js'
import { deferred, rejectsCode, throwsCode } from './tools.js'

keeps('memoryBlocks', async () => {
  const blocks = new Map<string, Uint8Array>()
  return () => memoryBlocks(blocks)
})
keeps('fileBlocks', async t => {
  const path = await directory(t)
  return () => fileBlocks(path)
})

function keeps(name: string, open: (t: TestContext) => Promise<() => BlockStore>): void {
  for (const [what, check] of Object.entries(contract)) test(`${name}: ${what}`, async t => check(await open(t)))
}

// A place that does nothing but what a test says.
const played = (keeper: Partial<BlockKeeper>) => new OrderedBlocks({
  name: 'the test',
  list: async () => [],
  get: async () => undefined,
  put: async () => {},
  delete: async () => {},
  close: async () => {},
  ...keeper,
})
const block = (cid: string) => ({ cid, data: bytes(cid) })

test('no failure is final, and what is full is told from what is broken', async () => {
  const thrown: unknown[] = [
    ...['ENOSPC', 'EDQUOT', 'EFBIG'].map(code => Object.assign(new Error('too much'), { code })),
    new DOMException('', 'QuotaExceededError'),
    ...[new DOMException('gone', 'AbortError'), Object.assign(new Error('gone'), { code: 'EIO' }), 'gone', undefined],
  ]
  let next: [unknown] | undefined
  const fail = async () => {
    if (next) throw next[0]
  }
  const store = played({ put: fail, delete: fail, get: async () => (await fail(), bytes('1')) })
  await store.list()
  const full = ['storage-full', /the test has no room left \((too much|QuotaExceededError)\)/] as const
  const broken = ['store-failed', /the test failed \((gone|undefined)\)/] as const
  for (const [i, cause] of thrown.entries()) {
    next = [cause]
    const [code, message] = i < 4 ? full : broken
    for (const call of [store.put([block('a')]), store.delete(['a']), store.get('a')]) {
      const error = await call.then(() => assert.fail(), (error: MeshError) => error)
      await rejectsCode(code, message, Promise.reject(error))
      assert.equal(error.cause, cause)
    }
    next = undefined
    await Promise.all([store.put([block('a')]), store.delete(['a'])])
    assert.deepEqual(await store.get('a'), bytes('1'))
  }
})

test('changes come one at a time, reads beside them, and closing waits for both', async () => {
  const calls: string[] = []
  const [put, got] = [deferred(), deferred<Uint8Array>()]
  const store = played({
    put: blocks => (calls.push(`put ${[...blocks.keys()].join()}`), put.promise),
    delete: async cids => void calls.push(`delete ${[...cids].join()}`),
    get: cid => (calls.push(`get ${cid}`), got.promise),
    close: async () => void calls.push('close'),
  })
  await store.list()
  const changes = [store.put([block('a'), block('b')]), store.delete(['c', 'c'])]
  const read = store.get('d')
  const closed = store.close().then(() => calls.push('closed'))
  got.resolve(bytes('1'))
  assert.deepEqual(await read, bytes('1'))
  assert.deepEqual([...calls].sort(), ['get d', 'put a,b'])
  put.resolve()
  await Promise.all([...changes, closed])
  assert.deepEqual(calls.slice(2), ['delete c', 'close', 'closed'])
})

test('a store that cannot be listed lets go at once, and is of no more use', async () => {
  let closed = 0
  const list = () => Promise.reject(new Error('unreadable'))
  const store = played({ list, put: () => assert.fail(), get: () => assert.fail(), close: async () => void closed++ })
  const calls = [store.list(), store.put([block('a')]), store.get('a'), store.delete(['a'])]
  for (const call of calls) await rejectsCode('store-failed', /unreadable/, call)
  assert.equal(closed, 1)
  await rejectsCode('store-failed', /unreadable/, store.put([block('a')]))
  await rejectsCode('invalid-argument', /called once/, store.list())
})

test('indexedDbBlocks: where there is none, that is said, and what else there is', async () => {
  await rejectsCode('invalid-argument', /secure pages .* use memoryBlocks\(\)/, indexedDbBlocks('lab').list())
  for (const name of ['', 'n'.repeat(129)]) throwsCode('invalid-argument', /the name of a store has 1 to 128/, () => indexedDbBlocks(name))
  indexedDbBlocks('n'.repeat(128))
  assert.equal(await storageEstimate(), undefined)
})

test('so many at a time, the others in the order in which they came, also after one that threw', async () => {
  const turns = new Turns(2)
  const [begun, gates] = [[] as number[], Array.from({ length: 5 }, () => deferred())]
  const all = gates.map(({ promise }, i) => turns.run(() => (begun.push(i), promise)))
  assert.deepEqual(begun, [0, 1])
  gates[1]!.reject(new Error('no'))
  await assert.rejects(all[1]!, /no/)
  assert.deepEqual(begun, [0, 1, 2])
  gates.forEach(({ resolve }) => resolve())
  await Promise.allSettled(all)
  assert.deepEqual(begun, [0, 1, 2, 3, 4])
})

test('after one that threw no more are begun, and those under way have ended', async () => {
  const [begun, ended, gate] = [[] as number[], [] as number[], deferred()]
  const work = async (i: number) => {
    begun.push(i)
    if (i === 1) throw new Error('no')
    await gate.promise
    ended.push(i)
  }
  const all = each([0, 1, 2, 3, 4], 3, work)
  gate.resolve()
  await assert.rejects(all, /no/)
  assert.deepEqual([begun, ended], [[0, 1, 2], [0, 2]])
  await each([], 3, work)
})
