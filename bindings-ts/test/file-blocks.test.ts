import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import '../src/platform/node.js'
import { fileBlocks } from '../src/store/blocks-fs.js'
import type { BlockStore } from '../src/store/blocks.js'
import { here } from '../src/wasm.js'
import { Child, bytes, directory } from './store-tools.js'
import { rejectsCode } from './tools.js'

const CID = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
const block = (cid: string, text: string) => ({ cid, data: bytes(text) })

// What the store in a directory keeps, as text; it is closed again.
async function keptIn(path: string): Promise<Record<string, string>> {
  const store = fileBlocks(path)
  try {
    return Object.fromEntries(await Promise.all((await store.list()).map(async ([cid]) => [cid, await textOf(store, cid)])))
  } finally {
    await store.close()
  }
}

async function textOf(store: BlockStore, cid: string): Promise<string | undefined> {
  const data = await store.get(cid)
  return data && new TextDecoder().decode(data)
}

test('the platform of Node.js brings it', () => {
  assert.equal(here()?.fileBlocks, fileBlocks)
})

test('a file for each block, for nobody else to read, in a directory that is made with its parents', async t => {
  const path = join(await directory(t), 'a', 'b')
  const store = fileBlocks(path)
  await store.list()
  await store.put([block(CID, 'hello'), block('x', '1')])
  assert.deepEqual((await readdir(path)).sort(), ['5e', 'lock.1', 'new', 'x'])
  assert.equal(await readFile(join(path, '5e', `${CID}.5`), 'latin1'), 'hello')
  for (const name of ['.', '..', '5e', 'new']) assert.equal((await stat(join(path, name))).mode & 0o777, 0o700)
  assert.equal((await stat(join(path, '5e', `${CID}.5`))).mode & 0o777, 0o600)
  await store.put([block(CID, 'hello world'), block('x', '2')])
  assert.deepEqual([await readdir(join(path, '5e')), await readdir(join(path, 'x'))], [[`${CID}.11`], ['x.1']])
  await store.delete([CID, 'x'])
  assert.deepEqual([await readdir(join(path, '5e')), await readdir(join(path, 'x')), await readdir(join(path, 'new'))], [[], [], []])
  await store.close()
})

test('a file of the wrong length is not given out, at whatever length, and cleared away by the next list', async t => {
  const path = await directory(t)
  const file = join(path, '5e', `${CID}.5`)
  for (const spoiled of ['', 'h', 'hell', 'hello!', 'x'.repeat(3_000_000)]) {
    const store = fileBlocks(path)
    await store.list()
    await store.put([block(CID, 'hello'), block('other', '1')])
    await writeFile(file, spoiled)
    assert.equal(await store.get(CID), undefined)
    await store.put([block(CID, 'hello')])
    assert.equal(await textOf(store, CID), 'hello', 'it is mended by a put')
    await writeFile(file, spoiled)
    await store.close()
    assert.deepEqual(await keptIn(path), { other: '1' })
    await assert.rejects(stat(file), { code: 'ENOENT' })
  }
})

test('a file that is gone is no block, and deleting it no error', async t => {
  const path = await directory(t)
  const store = fileBlocks(path)
  await store.list()
  await store.put([block(CID, 'hello'), block('other', '1')])
  await rm(join(path, '5e'), { recursive: true })
  assert.equal(await store.get(CID), undefined)
  await store.delete([CID])
  await store.put([block(CID, 'again')])
  assert.equal(await textOf(store, CID), 'again')
  await store.close()
})

test('what a crash has left is cleared away, and what is not ours stays', async t => {
  const path = await directory(t)
  const files: Record<string, string> = {
    [`5e/${CID}.5`]: 'hello',
    // Of a machine that crashed: not as long as its name says.
    'aa/bafaa.4': 'hel',
    'aa/bafaaa.4096': '',
    // Of a process that did.
    'new/0123456789abcdef': 'hal',
    // In the wrong shard, too large, with other names, and no files of blocks.
    'zz/bafaa.3': 'abc',
    'aa/bafbaa.3000000': '',
    'aa/bafaa.03': 'abc',
    'aa/Bafaa.3': 'abc',
    'aa/notes': 'mine',
    'mine/bafne.1': 'a',
    'log': 'mine',
    'bb': 'mine',
  }
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(path, name, '..'), { recursive: true })
    await writeFile(join(path, name), content)
  }
  await mkdir(join(path, 'aa', 'bafcaa.4096'))
  await symlink(join(path, 'log'), join(path, 'aa', 'bafdaa.4'))
  assert.deepEqual(await keptIn(path), { [CID]: 'hello' })
  assert.deepEqual((await readdir(join(path, 'aa'))).sort(), ['Bafaa.3', 'bafaa.03', 'bafbaa.3000000', 'bafcaa.4096', 'bafdaa.4', 'notes'])
  assert.deepEqual(await readdir(join(path, 'new')), [])
  for (const name of ['zz/bafaa.3', 'mine/bafne.1', 'log', 'bb']) assert.equal(await readFile(join(path, name), 'latin1'), files[name])
})

test('of two files for one CID one is kept, and there is one afterwards', async t => {
  const path = await directory(t)
  await mkdir(join(path, '5e'))
  for (const content of ['hello', 'hello!']) await writeFile(join(path, '5e', `${CID}.${content.length}`), content)
  const [text, ...more] = Object.values(await keptIn(path))
  assert.ok(more.length === 0 && ['hello', 'hello!'].includes(text!))
  assert.deepEqual(await readdir(join(path, '5e')), [`${CID}.${text!.length}`])
})

test('a directory that this process has open is refused, and free after closing', async t => {
  const path = await directory(t)
  const [first, second] = [fileBlocks(path), fileBlocks(`${path}/../${basename(path)}`)]
  await first.list()
  await rejectsCode('in-use', new RegExp(`${path} is in use by process ${process.pid}`), second.list())
  await first.put([block('a', '1')])
  await first.close()
  assert.deepEqual(await keptIn(path), { a: '1' })
})

test('a directory that another process has open is refused until that one is dead', async t => {
  const path = await directory(t)
  const holder = new Child(t, path, `
    const store = fileBlocks(path)
    await store.list()
    await store.put([{ cid: 'a', data: Buffer.from('1') }])
    console.log('ready')
    process.stdin.resume()`)
  await holder.wrote(1)
  await rejectsCode('in-use', new RegExp(`in use by process ${holder.process.pid}`), keptIn(path))
  await holder.kill()
  assert.deepEqual(await keptIn(path), { a: '1' })
})

test('who was taken for dead cannot go on, and spoils nothing', async t => {
  const path = await directory(t)
  const [first, second] = [fileBlocks(path), fileBlocks(path)]
  await first.list()
  await first.put([block('a', '1')])
  // As from another container, to which our process id means nothing.
  await writeFile(join(path, 'lock.1'), '')
  await second.list()
  for (const call of [first.put([block('b', '2')]), first.delete(['a'])]) {
    await rejectsCode('store-failed', /another process has taken it over/, call)
  }
  await first.close()
  assert.equal(await textOf(second, 'a'), '1')
  await second.close()
  assert.deepEqual(await keptIn(path), { a: '1', b: '2' })
})

test('a directory that goes away fails what is asked for meanwhile, and nothing after it is back', async t => {
  const path = join(await directory(t), 'store')
  const store = fileBlocks(path)
  await store.list()
  await store.put([block('a', '1')])
  await rename(path, `${path}-away`)
  for (const call of [store.put([block('b', '2')]), store.delete(['a'])]) await rejectsCode('store-failed', /ENOENT/, call)
  assert.equal(await store.get('a'), undefined)
  await rename(`${path}-away`, path)
  assert.equal(await textOf(store, 'a'), '1')
  await store.put([block('b', '2')])
  await store.close()
  assert.deepEqual(await keptIn(path), { a: '1', b: '2' })
})

test('a path that cannot be a directory is store-failed', async t => {
  const path = join(await directory(t), 'file')
  await writeFile(path, '')
  await rejectsCode('store-failed', /EEXIST|ENOTDIR/, keptIn(path))
})

test('a file that may not get longer is storage-full; what fits is kept, then and later', async t => {
  const path = await directory(t)
  // No file may get longer than 64 or, in other shells, 128 KiB.
  const child = new Child(t, path, `
    const store = fileBlocks(path)
    await store.list()
    const block = (cid, length) => ({ cid, data: new Uint8Array(length).fill(120) })
    await store.put([block('a', 60_000)])
    await store.put([block('b', 1000), block('c', 200_000)]).catch(error => console.log(error.code, error.cause.code))
    console.log((await store.get('a')).length, await store.get('c'))
    await store.put([block('d', 1000)])
    await store.close()`, { shell: 'ulimit -f 128' })
  await child.exited
  assert.deepEqual(child.lines, ['storage-full EFBIG', '60000 undefined'])
  assert.deepEqual(await readdir(join(path, 'new')), [])
  const kept = await keptIn(path)
  assert.deepEqual([kept['a'], kept['b'], kept['d']], ['x'.repeat(60_000), 'x'.repeat(1000), 'x'.repeat(1000)])
  assert.deepEqual(Object.keys(kept).sort(), ['a', 'b', 'd'])
})

// A disk of its own for one process: root, or a system that lets everybody be it in a namespace.
const mounts = [['unshare', '--mount'], ['unshare', '--mount', '--map-root-user']].find(command => {
  return spawnSync(command[0]!, [...command.slice(1), 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
})

const skip = mounts ? false : 'no disk can be made here'
test('a full disk is storage-full; what was acknowledged stays, and after deleting there is room again', { skip }, async t => {
  const path = await directory(t)
  const child = new Child(t, path, `
    const store = fileBlocks(path)
    await store.list()
    const block = n => ({ cid: 'b' + n, data: new Uint8Array(300_000).fill(n) })
    const whole = async n => (await store.get('b' + n))?.every(byte => byte === n) === true
    let full, count = 0
    while (!full) await store.put([block(count)]).then(() => count++, error => (full = error))
    console.log(full.code, full.cause.code, count, full.message)
    console.log(await store.put([block(count), block(count + 1)]).catch(error => error.code))
    for (let n = 0; n < count; n++) if (!(await whole(n))) console.log('lost', n)
    await store.delete(['b0', 'b1'])
    await store.put([block(count)])
    console.log(await whole(count), await whole(0), await whole(2))
    await store.close()
    const again = fileBlocks(path)
    console.log((await again.list()).map(([cid, bytes]) => cid + '=' + bytes).sort().join())
    await again.close()`, { under: mounts!, shell: `mount -t tmpfs -o size=2m none ${path}` })
  await child.exited
  assert.match(child.lines.shift()!, /^storage-full ENOSPC 6 .* has no room left \(ENOSPC/)
  assert.deepEqual(child.lines, ['storage-full', 'true false true', [2, 3, 4, 5, 6].map(n => `b${n}=300000`).join()])
})

test('reading many blocks at a time takes few of the files that a process may have open', async t => {
  const path = await directory(t)
  const child = new Child(t, path, `
    const store = fileBlocks(path)
    await store.list()
    const blocks = Array.from({ length: 500 }, (_, n) => ({ cid: 'b' + n, data: new Uint8Array(n) }))
    await store.put(blocks)
    const got = await Promise.all(blocks.map(({ cid }) => store.get(cid)))
    console.log(got.every((data, n) => data.length === n))
    await store.close()`, { shell: 'ulimit -n 48' })
  await child.exited
  assert.deepEqual(child.lines, ['true'])
})
