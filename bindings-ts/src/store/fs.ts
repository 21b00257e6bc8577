import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { MeshError } from '../errors.js'
import { DirectoryLock } from './fs-lock.js'
import { encodeFrame, encodeLog, liveBytes, replay, type LogEnd } from './fs-log.js'
import { QueuedStore, apply, type Keeper, type Live } from './queued.js'
import type { MeshStore, StoreChange } from './store.js'

// A log is written anew when it is longer than this, and than so many times what is live: each byte that is kept is then
// written about twice.
const COMPACT_BYTES = 1024 * 1024
const COMPACT_TIMES = 4
// A voting key is for nobody else's eyes.
const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600

/**
 * @internal A store in a directory of its own, which is made if it is missing. What one `write` brings is there wholly or not
 * at all. Never put an older copy of the directory in its place: the votes since then would be forgotten.
 */
export function fileStore(directory: string): MeshStore {
  return new QueuedStore(new FileKeeper(resolve(directory)))
}

class FileKeeper implements Keeper {
  readonly name: string
  readonly #path: string
  #lock: DirectoryLock | undefined
  #file: FileHandle | undefined
  #end: LogEnd | undefined
  #live: Live = new Map()
  /** How long the log was when it was put in its place. Undefined while something is under way, and when that has failed. */
  #sealed: number | undefined

  constructor(directory: string) {
    this.name = directory
    this.#path = join(directory, 'log')
  }

  async load(): Promise<Live> {
    await makeDirectory(this.name)
    this.#lock = await DirectoryLock.take(this.name)
    const file = await readFile(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (file) this.#live = this.#replay(file)
    // Not only without what was torn: what has been read may be in no more than this machine's memory.
    await this.#compact()
    return this.#live
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    const { salt, number, length } = this.#end!
    const sealed = this.#sealed
    this.#sealed = undefined
    const frame = encodeFrame(salt, number + 1, changes)
    await this.#file!.appendFile(frame)
    // When this fails, the system forgets which bytes it has not written, and a second try would succeed without them.
    await this.#file!.datasync()
    // Whoever has taken over after this has read it.
    await this.#lock!.check()
    apply(this.#live, changes)
    this.#end = { salt, number: number + 1, length: length + frame.length }
    this.#sealed = sealed
    if (this.#end.length > Math.max(COMPACT_BYTES, COMPACT_TIMES * liveBytes(this.#live))) await this.#compact()
  }

  async close(): Promise<void> {
    try {
      if (this.#sealed !== undefined && this.#sealed < this.#end!.length) await this.#compact()
    } finally {
      await this.#file?.close()
      this.#file = undefined
      const lock = this.#lock
      this.#lock = undefined
      await lock?.release()
    }
  }

  #replay(file: Buffer): Live {
    const log = replay(file)
    if ('live' in log) return log.live
    const message =
      `${this.#path} is damaged at byte ${log.lostAt}, so votes may be forgotten, and this voter must not vote any more: ` +
      `move ${this.name} away to begin anew with a new voting key`
    throw new MeshError('integrity', message, { details: { path: this.#path, offset: log.lostAt } })
  }

  // Puts a new log in the place of the old one. It is on disk before it has its name, and its name before this resolves.
  async #compact(): Promise<void> {
    this.#sealed = undefined
    const { bytes, end } = encodeLog(this.#live)
    const path = `${this.#path}.new`
    await rm(path, { force: true })
    const file = await open(path, 'ax', PRIVATE_FILE)
    try {
      await file.appendFile(bytes)
      await file.sync()
      await this.#lock!.check()
      await this.#file?.close()
    } catch (error) {
      await file.close()
      throw error
    }
    this.#file = file
    await rename(path, this.#path)
    await syncDirectory(this.name)
    this.#end = end
    this.#sealed = end.length
  }
}

// Makes what is missing of a path, so that it survives a crash of the machine.
async function makeDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: PRIVATE_DIRECTORY })
  if (first === undefined) return
  for (let parent = dirname(directory); ; parent = dirname(parent)) {
    await syncDirectory(parent)
    if (parent === dirname(first)) return
  }
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows opens no directories, and keeps names by itself.
  if (process.platform === 'win32') return
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
