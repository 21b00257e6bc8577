import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Incoming, head } from '../pages/bulk.mjs'
import { randomBody } from '../src/bodies.mjs'

test('bytes are put together however they are cut, and checked', async () => {
  const body = randomBody(200_000)
  const all = Buffer.concat([await head(body), body])
  for (const size of [1, 36, 37, 16_384, all.length]) {
    const incoming = new Incoming()
    for (let at = 0; at < all.length; at += size) {
      assert.equal(incoming.add(all.subarray(at, at + size)), at + size >= all.length)
    }
    assert.equal(await incoming.right(), true)
  }
})

test('a byte that is another one is found', async () => {
  const body = randomBody(1000)
  const incoming = new Incoming()
  incoming.add(await head(body))
  body[500] ^= 1
  assert.equal(incoming.add(body), true)
  assert.equal(await incoming.right(), false)
})
