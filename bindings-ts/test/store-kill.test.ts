import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { fileStore } from '../src/store/fs.js'
import { Child, directory, generator } from './store-tools.js'

// A killed process leaves all that it has written, on disk or not: without fdatasync this passes too. What a crash of the
// machine leaves is tried byte by byte in file-store.test.ts.

const ROUNDS = 25
const VOTES = 5
// Bytes of the largest value: with it a log is written anew after some 80 writes.
const MAX_BYTES = 25_000

// Writes numbered records for ever, and says each number when that write has resolved. A record is its number, again and
// again. 'last' comes after the vote in a write, so it must not be there without it.
const WRITER = `
  console.log('begins')
  const store = fileStore(path)
  const kept = new Map(await store.load())
  const last = kept.get('last')
  for (let n = last ? Buffer.from(last).readUInt32BE() + 1 : 0; ; n++) {
    const number = Buffer.alloc(4)
    number.writeUInt32BE(n)
    const value = Buffer.alloc(4 + (n * 7919) % ${MAX_BYTES}, number)
    await store.write([{ key: 'vote/' + n % ${VOTES}, value }, { key: 'last', value: number }])
    console.log(n)
  }`

test('a process that is killed at any moment has kept all that it has been told is kept', { timeout: 120_000 }, async t => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31))
  t.diagnostic(`SEED=${seed}`)
  const random = generator(seed)
  const path = await directory(t)
  let written = -1
  for (let round = 0; round < ROUNDS; round++) {
    const child = new Child(t, path, WRITER)
    await child.wrote(1 + Math.floor(random() * 60))
    await child.kill()
    assert.equal(child.process.signalCode, 'SIGKILL', 'it did not end by itself')
    if (child.lines.length > 1) written = Number(child.lines.at(-1))
    const store = fileStore(path)
    const kept = new Map(await store.load())
    const last = numberOf(kept.get('last'))
    assert.ok(last === written || last === written + 1, `round ${round}: told ${written}, kept ${last}`)
    for (let n = Math.max(0, last - VOTES + 1); n <= last; n++) {
      const vote = kept.get(`vote/${n % VOTES}`)
      assert.ok(vote)
      assert.equal(numberOf(vote), n, `round ${round}`)
      assert.equal(vote.length, 4 + (n * 7919) % MAX_BYTES)
      assert.deepEqual(vote, new Uint8Array(Buffer.alloc(vote.length, vote.subarray(0, 4))))
    }
    await store.close()
    written = last
  }
  assert.ok(written > ROUNDS, `${written} writes`)
  t.diagnostic(`${written + 1} writes, killed ${ROUNDS} times`)
})

function numberOf(value: Uint8Array | undefined): number {
  return value ? Buffer.from(value).readUInt32BE() : -1
}
