// Blocks in a directory, a file for each: `<last two characters of the CID>/<CID>.<length in bytes>`, which holds the block's
// bytes and nothing else. So a file that is not as long as its name says is no block, and is not given out as one.
//
// A file is written under a name of its own in `new/`, and gets its name when it is whole. What is in `new/` when the
// directory is opened is of a process that has died.
//
// What is on disk: the bytes of a file are before it has its name, by fdatasync. Many systems find room only when they write,
// some over a network, and forget what they could not; without it such a failure would come after the acknowledgement,
// and to nobody. The name itself is not waited for: it survives the process, and after a crash of the machine within some
// seconds the block is missing, and is fetched again from others. With the directories synced too, each block would cost
// a second wait for the disk.

import { randomBytes } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { MAX_BLOCK, MAX_CID, OrderedBlocks, type BlockKeeper } from './blocks-ordered.js'
import type { BlockStore } from './blocks.js'
import { DirectoryLock } from './fs-lock.js'
import { Turns, each } from './parallel.js'

// Files that are written, or removed, at a time: Node.js has four threads for all files, and waiting for the disk must leave
// one to those who read.
const WRITES = 3
// Files that are open for reading at a time, of the few hundred that a process may have open.
const READS = 8
// Blocks may be of a private mesh.
const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600

// Three characters, which no name of a shard has.
const UNFINISHED = 'new'
const SHARD = /^[a-z0-9]{1,2}$/
const FILE = new RegExp(`^([a-z0-9]{1,${MAX_CID}})\\.(0|[1-9]\\d{0,6})$`)

/**
 * @internal A block store in a directory of its own, which is made if it is missing, for one process at a time. It remembers
 * CID and size of each block.
 */
export function fileBlocks(directory: string): BlockStore {
  return new OrderedBlocks(new FileBlocks(resolve(directory)))
}

class FileBlocks implements BlockKeeper {
  readonly name: string
  readonly #unfinished: string
  readonly #sizes = new Map<string, number>()
  readonly #reads = new Turns(READS)
  #lock: DirectoryLock | undefined

  constructor(directory: string) {
    this.name = directory
    this.#unfinished = join(directory, UNFINISHED)
  }

  async list(): Promise<[cid: string, bytes: number][]> {
    await mkdir(this.name, { recursive: true, mode: PRIVATE_DIRECTORY })
    this.#lock = await DirectoryLock.take(this.name)
    await rm(this.#unfinished, { recursive: true, force: true })
    await mkdir(this.#unfinished, { mode: PRIVATE_DIRECTORY })
    for (const entry of await readdir(this.name, { withFileTypes: true })) {
      if (entry.isDirectory() && SHARD.test(entry.name)) await this.#listShard(entry.name)
    }
    return [...this.#sizes]
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    return this.#reads.run(async () => {
      const bytes = this.#sizes.get(cid)
      return bytes === undefined ? undefined : read(this.#path(cid, bytes), bytes)
    })
  }

  async put(blocks: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await each(blocks, WRITES, ([cid, data]) => this.#putOne(cid, data))
    // Whoever has taken over after this has listed them.
    await this.#lock!.check()
  }

  async delete(cids: ReadonlySet<string>): Promise<void> {
    // Whoever has taken over has listed them.
    await this.#lock!.check()
    await each(cids, WRITES, async cid => {
      const bytes = this.#sizes.get(cid)
      if (bytes !== undefined) await this.#remove(cid, bytes)
    })
  }

  async close(): Promise<void> {
    const lock = this.#lock
    this.#lock = undefined
    await lock?.release()
  }

  #path(cid: string, bytes: number): string {
    return join(this.name, cid.slice(-2), `${cid}.${bytes}`)
  }

  // Files that are none of ours stay as they are.
  async #listShard(shard: string): Promise<void> {
    const names = await readdir(join(this.name, shard))
    await Promise.all(names.map(async name => {
      const [, cid, length] = FILE.exec(name) ?? []
      const bytes = Number(length)
      if (cid?.slice(-2) !== shard || bytes > MAX_BLOCK) return
      const file = await lstat(join(this.name, shard, name))
      if (!file.isFile()) return
      // Of two lengths one is wrong, and the reader will see whether it is the one that is kept: a crash of the machine
      // may have brought back a file that another one had replaced.
      const whole = file.size === bytes && !this.#sizes.has(cid)
      if (whole) this.#sizes.set(cid, bytes)
      else await rm(join(this.name, shard, name))
    }))
  }

  async #putOne(cid: string, data: Uint8Array): Promise<void> {
    const unfinished = join(this.#unfinished, randomBytes(8).toString('hex'))
    try {
      await write(unfinished, data)
      const before = this.#sizes.get(cid)
      if (before !== undefined && before !== data.length) await this.#remove(cid, before)
      await place(unfinished, this.#path(cid, data.length))
      this.#sizes.set(cid, data.length)
    } catch (error) {
      // It takes room, which may be what was missing.
      await rm(unfinished, { force: true }).catch(() => {})
      throw error
    }
  }

  async #remove(cid: string, bytes: number): Promise<void> {
    await rm(this.#path(cid, bytes), { force: true })
    this.#sizes.delete(cid)
  }
}

// A file's bytes; undefined when there are not so many, or none.
async function read(path: string, bytes: number): Promise<Uint8Array | undefined> {
  const file = await open(path, 'r').catch(unlessMissing)
  if (!file) return undefined
  try {
    if ((await file.stat()).size !== bytes) return undefined
    const data = new Uint8Array(bytes)
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await file.read(data, at)
      if (bytesRead === 0) return undefined
      at += bytesRead
    }
    return data
  } finally {
    await file.close()
  }
}

async function write(path: string, data: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', PRIVATE_FILE)
  try {
    await file.writeFile(data)
    await file.datasync()
  } finally {
    await file.close()
  }
}

// Gives a file its name, in a directory that is made when it is the first in it.
async function place(from: string, to: string): Promise<void> {
  if ((await rename(from, to).then(() => true, unlessMissing)) === true) return
  await mkdir(dirname(to), { mode: PRIVATE_DIRECTORY }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error // Another one was the first.
  })
  await rename(from, to)
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
