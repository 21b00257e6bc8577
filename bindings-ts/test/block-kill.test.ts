import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { watch } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileBlocks } from '../src/store/blocks-fs.js'
import { Child, directory, generator } from './store-tools.js'

// A killed process leaves all that it has written, on disk or not: without fdatasync this passes too.

const ROUNDS = 25
// Bytes of the largest block.
const MAX_BYTES = 300_000
// It dies as soon as so many changes at most have been seen among its unfinished files: a file is some five.
const MAX_CHANGES = 300
// Blocks in a put.
const BATCH = 8
// Puts until a batch is deleted again.
const KEEP = 4

// A block is the number of its batch and its own in that, again and again, to a length that belongs to them.
const dataOf = (batch: number, i: number) => {
  const numbers = Buffer.from(Uint32Array.of(batch, i).buffer)
  return new Uint8Array(Buffer.alloc((batch * 7919 + i * 104729) % MAX_BYTES, numbers))
}
const cidsOf = (batch: number) => Array.from({ length: BATCH }, (_, i) => `b${batch}i${i}`)
const numbersOf = (cid: string) => cid.slice(1).split('i').map(Number) as [batch: number, i: number]
const nextOf = (cids: Iterable<string>) => 1 + Math.max(-1, ...Array.from(cids, cid => numbersOf(cid)[0]))

// Puts batches for ever and deletes old ones, and says so when it has.
const WRITER = `
  const MAX_BYTES = ${MAX_BYTES}, BATCH = ${BATCH}
  const dataOf = ${dataOf}, cidsOf = ${cidsOf}, numbersOf = ${numbersOf}, nextOf = ${nextOf}
  console.log('begins')
  const store = fileBlocks(path)
  const cids = (await store.list()).map(([cid]) => cid)
  console.log('listed')
  for (let batch = nextOf(cids); ; batch++) {
    await store.put(cidsOf(batch).map((cid, i) => ({ cid, data: dataOf(batch, i) })))
    console.log('put', batch)
    if (batch >= ${KEEP}) await store.delete(cidsOf(batch - ${KEEP}))
    console.log('deleted', batch - ${KEEP})
  }`

test('a process that is killed at any moment has kept whole all that it has said is kept, and no half block', { timeout: 120_000 }, async t => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31))
  t.diagnostic(`SEED=${seed}`)
  const random = generator(seed)
  const path = await directory(t)
  // CIDs of blocks that must be there.
  let must = new Set<string>()
  let [puts, unfinished] = [0, 0]
  for (let round = 0; round < ROUNDS; round++) {
    const child = new Child(t, path, WRITER)
    // Now and then while it lists.
    await child.wrote(round % 5 === 4 ? 1 : 2)
    if (round % 5 !== 4) await changes(child, join(path, 'new'), 1 + Math.floor(random() * MAX_CHANGES))
    await child.kill()
    assert.equal(child.process.signalCode, 'SIGKILL', 'it did not end by itself')
    unfinished += (await readdir(join(path, 'new')).catch(() => [])).length

    // What was under way when it died may be there.
    let may = new Set(cidsOf(nextOf(must)))
    for (const line of child.lines.slice(2)) {
      const [done, batch] = [line.split(' ')[0], Number(line.split(' ')[1])]
      if (done === 'put') for (const cid of may) must.add(cid)
      may = new Set(done === 'put' ? cidsOf(batch - KEEP).filter(cid => must.delete(cid)) : cidsOf(batch + KEEP + 1))
      puts += done === 'put' ? 1 : 0
    }

    const store = fileBlocks(path)
    const sizes = new Map(await store.list())
    assert.deepEqual(await readdir(join(path, 'new')), [], 'leftovers are cleared away')
    for (const cid of must) assert.ok(sizes.has(cid), `round ${round}: ${cid} is there`)
    for (const [cid, size] of sizes) {
      assert.ok(must.has(cid) || may.has(cid), `round ${round}: ${cid} was deleted`)
      const data = dataOf(...numbersOf(cid))
      assert.equal(size, data.length)
      assert.deepEqual(await store.get(cid), data, `round ${round}: ${cid} is whole`)
    }
    await store.close()
    must = new Set(sizes.keys())
  }
  assert.ok(puts > ROUNDS, `${puts} puts`)
  assert.ok(unfinished > 0, 'some died in the middle of a file')
  t.diagnostic(`${puts} puts of ${BATCH} blocks, killed ${ROUNDS} times, with ${unfinished} unfinished files`)
})

// Resolves when so many things have happened in a directory, or the child has ended.
async function changes(child: Child, path: string, count: number): Promise<void> {
  const watcher = watch(path)
  await Promise.race([child.exited, new Promise<void>(resolve => watcher.on('change', () => --count === 0 && resolve()))])
  watcher.close()
}
