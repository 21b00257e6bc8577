import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { MeshError } from '../src/errors.js'
import '../src/platform/node.js'
import { fileStore } from '../src/store/fs.js'
import { here } from '../src/wasm.js'
import { Child, contents, directory, keptIn, logOf, put, withLog } from './store-tools.js'
import { rejectsCode } from './tools.js'

const WRITES = [[put('key', 'secret')], [put('vote/1', 'yes'), put('old', 'x')], [put('vote/2', 'no'), { key: 'old' }]]
const BEFORE_LAST = { key: 'secret', 'vote/1': 'yes', old: 'x' }
const ALL = { key: 'secret', 'vote/1': 'yes', 'vote/2': 'no' }
const LOST = /log is damaged at byte \d+, .* move .* away to begin anew with a new voting key/

test('the platform of Node.js brings it', () => {
  assert.equal(here()?.fileStore, fileStore)
})

test('a last write that is torn, at whatever length, was never made; what follows is kept', async t => {
  const { log, lastFrame } = await logOf(t, ...WRITES)
  assert.deepEqual(await keptIn(await withLog(t, log)), ALL)
  for (let length = lastFrame; length < log.length; length++) {
    const torn = Buffer.from(log)
    torn.fill(0, length)
    // As a crash of the process leaves it, and of the machine, which may have written the new length and not the bytes.
    for (const tail of [log.subarray(0, length), torn]) {
      const path = await withLog(t, tail)
      const store = fileStore(path)
      assert.deepEqual(await contents(store), BEFORE_LAST, `cut at ${length}`)
      await store.write([put('next', '1')])
      await store.close()
      assert.deepEqual(await keptIn(path), { ...BEFORE_LAST, next: '1' })
    }
  }
})

test('one bit that is wrong loses the last write, and before that it is an error', async t => {
  const { log, lastFrame } = await logOf(t, ...WRITES)
  for (let at = 0; at < log.length; at++) {
    const damaged = Buffer.from(log)
    damaged[at]! ^= 1 << at % 8
    const path = await withLog(t, damaged)
    if (at >= lastFrame) assert.deepEqual(await keptIn(path), BEFORE_LAST, `byte ${at}`)
    else await rejectsCode('integrity', LOST, keptIn(path))
    if (at === lastFrame - 1) {
      await rejectsCode('integrity', LOST, keptIn(path))
      assert.deepEqual(await readFile(join(path, 'log')), damaged, 'what is damaged is left as it is')
    }
  }
})

test('after it was closed nothing may be missing or wrong', async t => {
  const path = await directory(t)
  const store = fileStore(path)
  await store.load()
  for (const changes of WRITES) await store.write(changes)
  await store.close()
  const log = await readFile(join(path, 'log'))
  for (let at = 0; at < log.length; at++) {
    const damaged = Buffer.from(log)
    damaged[at]! ^= 0x80
    for (const bytes of [damaged, log.subarray(0, at)]) await rejectsCode('integrity', LOST, keptIn(await withLog(t, bytes)))
  }
})

test('a value that holds a log is no damage when it is torn', async t => {
  const { log } = await logOf(t, ...WRITES)
  const holding = await logOf(t, ...WRITES, [{ key: 'log', value: log }])
  for (let length = holding.lastFrame; length < holding.log.length; length++) {
    assert.deepEqual(await keptIn(await withLog(t, holding.log.subarray(0, length))), ALL)
  }
})

test('directory and files are for nobody else, and a missing directory is made with its parents', async t => {
  const path = join(await directory(t), 'a', 'b')
  const store = fileStore(path)
  await store.load()
  await store.write(WRITES[0]!)
  for (const name of ['.', '..']) assert.equal((await stat(join(path, name))).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(path), ['lock.1', 'log'])
  for (const name of ['lock.1', 'log']) assert.equal((await stat(join(path, name))).mode & 0o777, 0o600)
  await store.close()
})

test('a log much longer than what it keeps is written anew, and keeps it', async t => {
  const path = await directory(t)
  const store = fileStore(path)
  await store.load()
  await store.write([put('key', 'secret'), put('gone', 'x')])
  await store.write([{ key: 'gone' }])
  const sizes: number[] = []
  for (let i = 0; i < 30; i++) {
    await store.write([put('large', `${i}`.padEnd(100_000))])
    sizes.push((await stat(join(path, 'log'))).size)
  }
  assert.ok(Math.max(...sizes) <= 1024 * 1024, `it grows to ${Math.max(...sizes)}`)
  assert.ok(Math.max(...sizes) > 900_000, 'it is not written anew each time')
  assert.equal(sizes.filter((size, i) => size < (sizes[i - 1] ?? 0)).length, 2, 'it shrinks twice')
  // The log as it is, without what closing does.
  const copy = await withLog(t, await readFile(join(path, 'log')))
  const kept = { key: 'secret', large: '29'.padEnd(100_000) }
  assert.deepEqual(await keptIn(copy), kept)
  await store.close()
  assert.deepEqual(await keptIn(path), kept)
})

test('a directory that this process has open is refused, and free after closing', async t => {
  const path = await directory(t)
  const first = fileStore(path)
  await first.load()
  const second = fileStore(`${path}/../${basename(path)}`)
  await assert.rejects(second.load(), error => {
    assert.ok(MeshError.isInstance(error))
    assert.equal(error.code, 'in-use')
    assert.match(error.message, new RegExp(`${path} is in use by process ${process.pid}`))
    return true
  })
  await second.close()
  await first.write([put('a', '1')])
  await first.close()
  assert.deepEqual(await keptIn(path), { a: '1' })
})

test('a directory that another process has open is refused until that one is dead', async t => {
  const path = await directory(t)
  const holder = new Child(t, path, `
    const store = fileStore(path)
    await store.load()
    await store.write([{ key: 'a', value: Buffer.from('1') }])
    console.log('ready')
    process.stdin.resume()`)
  await holder.wrote(1)
  await rejectsCode('in-use', new RegExp(`in use by process ${holder.process.pid}`), keptIn(path))
  await holder.kill()
  assert.deepEqual(await keptIn(path), { a: '1' })
})

test('locks of the dead are taken over, also when their number is somebody else\'s now', async t => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const locks = [`${pid} `, `${pid} boot/1`, '', '\0\0\0\0']
  if (process.platform === 'linux') locks.push(`${process.pid} other-boot/1`)
  for (const lock of locks) {
    const path = await directory(t)
    await writeFile(join(path, 'lock.7'), lock)
    await writeFile(join(path, 'lock.0123456789abcdef.new'), lock)
    assert.deepEqual(await keptIn(path), {})
    assert.deepEqual(await readdir(path), ['lock.8', 'log'])
  }
})

test('of all who find a lock of the dead, one gets it', async t => {
  for (let round = 0; round < 20; round++) {
    const path = await directory(t)
    const { pid } = spawnSync('true')
    await writeFile(join(path, 'lock.3'), `${pid} `)
    const stores = Array.from({ length: 8 }, () => fileStore(path))
    const results = await Promise.allSettled(stores.map(store => store.load()))
    const won = stores.filter((_, i) => results[i]!.status === 'fulfilled')
    const codes = results.flatMap(result => (result.status === 'rejected' ? [(result.reason as MeshError).code] : []))
    assert.deepEqual([won.length, codes], [1, Array(7).fill('in-use')])
    await won[0]!.write([put('a', '1')])
    await Promise.all(stores.map(store => store.close()))
    assert.deepEqual(await keptIn(path), { a: '1' })
  }
})

test('who was slow to find a lock free withdraws from a newer one', async t => {
  const path = await directory(t)
  // Whoever reads this lock waits until somebody has written it.
  spawnSync('mkfifo', [join(path, 'lock.7')])
  const slow = keptIn(path)
  const lock = await open(join(path, 'lock.7'), 'w')
  // Two others have had it since, and the second has cleared the first one's lock away.
  await writeFile(join(path, 'lock.9'), `${process.pid} `)
  await lock.close()
  await rejectsCode('in-use', /remove lock\.9 /, slow)
  assert.deepEqual(await readdir(path), ['lock.7', 'lock.9'])
})

test('who was taken for dead cannot go on', async t => {
  const path = await directory(t)
  const [first, second] = [fileStore(path), fileStore(path)]
  await first.load()
  await first.write([put('vote/1', 'yes')])
  // As from another container, to which our process id means nothing.
  await writeFile(join(path, 'lock.1'), '')
  assert.deepEqual(await contents(second), { 'vote/1': 'yes' })
  await rejectsCode('store-failed', /another process has taken it over/, first.write([put('vote/1', 'no')]))
  await first.close()
  await second.write([put('vote/2', 'yes')])
  await second.close()
  assert.deepEqual(await keptIn(path), { 'vote/1': 'yes', 'vote/2': 'yes' })
})

test('a directory that goes away under it fails the write, and nothing is written after that', async t => {
  const path = join(await directory(t), 'store')
  const store = fileStore(path)
  await store.load()
  await store.write([put('before', '1')])
  await rename(path, `${path}-away`)
  await rejectsCode('store-failed', /ENOENT/, store.write([put('a', '1')]))
  await rename(`${path}-away`, path)
  const log = await readFile(join(path, 'log'))
  await rejectsCode('store-failed', /ENOENT/, store.write([put('b', '2')]))
  await store.close()
  assert.deepEqual(await readFile(join(path, 'log')), log)
})

test('a full disk fails the write and all after it, and what was written before is kept', async t => {
  const path = await directory(t)
  // No file may get longer than 64 or, in other shells, 128 KiB: the write that would is cut short there.
  const child = new Child(t, path, `
    const store = fileStore(path)
    await store.load()
    const write = i => store.write([{ key: 'large', value: Buffer.alloc(10_000, i) }, { key: 'last', value: Buffer.from([i]) }])
    let i = 0
    while (await write(++i).then(() => true, error => console.log(error.code, error.cause.code))) console.log(i)
    await store.write([{ key: 'last' }]).catch(error => console.log(error.code))
    await store.close()`, { shell: 'ulimit -f 128' })
  await child.exited
  const acknowledged = child.lines.length - 2
  assert.ok(acknowledged >= 6, child.lines.join())
  assert.deepEqual(child.lines.slice(acknowledged), ['store-failed EFBIG', 'store-failed'])
  const kept = await keptIn(path)
  assert.deepEqual(kept, { large: String.fromCharCode(acknowledged).repeat(10_000), last: String.fromCharCode(acknowledged) })
})

test('a path that cannot be a directory is store-failed', async t => {
  const path = join(await directory(t), 'file')
  await writeFile(path, '')
  await rejectsCode('store-failed', /EEXIST|ENOTDIR/, keptIn(path))
  await rm(path)
  await mkdir(join(path, 'log'), { recursive: true })
  await rejectsCode('store-failed', /EISDIR/, keptIn(path))
})
