// What two peers with blocks get of each other.

import assert from 'node:assert/strict'

// 3,000,000 bytes by every importer with Helia's layout; see tests/vectors/unixfs.json.
export const LARGE = 3_000_000
export const LARGE_CID = 'bafybeiharfkbv4774z5x44ip47ppibsqpzzyq7j6l67vldteexrsafizle'

// So that both ways have something to get, each file is of its maker.
export const tree = maker => ({
  'readme.md': `# of ${maker}`,
  empty: '',
  images: { 'Ä 日本語 👩‍🚀.png': 300_000 + maker.length, none: {}, deep: { deeper: { 'a.txt': `a of ${maker}`, '.b': `b of ${maker}` } } },
  large: 2_000_000 + maker.length,
})

// `getter` gets a file and a directory of `giver`, and would have made the same.
export async function gets(getter, giver, file) {
  const cid = await giver.add(file)
  assert.equal(cid === LARGE_CID, file === LARGE)
  assert.equal(await getter.has(cid), false)
  const got = await getter.fetch(cid)
  assert.equal(got[0].length, file)
  assert.deepEqual(got, await giver.fetch(cid))
  assert.equal(await getter.add(file), cid)
  const directory = await giver.add(tree(giver.constructor.name))
  const files = await getter.fetch(directory)
  assert.equal(files.length, 7)
  assert.deepEqual(files, await giver.fetch(directory))
  assert.equal(await getter.add(tree(giver.constructor.name)), directory)
}
