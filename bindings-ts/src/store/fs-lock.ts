// Who may use a directory: at most one process at a time, and in it one caller.
//
// The directory holds files lock.1, lock.2 and so on, of which only the one with the highest number counts. It holds who
// made it, or nothing once that one has let go. Whoever finds the highest one let go, or its maker dead, makes the next one,
// which succeeds for one of all who try. The highest is never removed, so numbers only rise, and a slow taker cannot remove
// or replace a lock that is newer than the one it has looked at: it makes a number that is taken, or one that was cleared
// away as too old, sees the higher one, and withdraws.
//
// A maker is its process id and, on Linux, when that process began: in a container the process after a crash often has the
// id of the one before. Process ids mean nothing to other machines and containers; `check` after each write keeps a holder
// that was taken for dead from going on, but a directory is not to be shared with those.

import { link, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { MeshError } from '../errors.js'

const NAME = /^lock\.(\d{1,15})$/
// Of a lock that is being made, before it has its name.
const UNFINISHED = /^lock\.[\da-f]+\.new$/

/** @internal A directory that nobody else uses. */
export class DirectoryLock {
  readonly #directory: string
  readonly #number: number

  private constructor(directory: string, number: number) {
    this.#directory = directory
    this.#number = number
  }

  /** @throws MeshError `in-use` */
  static async take(directory: string): Promise<DirectoryLock> {
    for (;;) {
      const highest = await highestIn(directory)
      const holder = highest && (await liveHolder(join(directory, `lock.${highest}`)))
      if (holder) throw inUse(directory, holder, highest)
      const lock = new DirectoryLock(directory, highest + 1)
      if (!(await lock.#make())) continue
      if ((await highestIn(directory)) === lock.#number) {
        await lock.#clear()
        return lock
      }
      await rm(lock.#path)
    }
  }

  /** @throws Error when the directory is gone, or somebody has taken it over */
  async check(): Promise<void> {
    if ((await highestIn(this.#directory)) !== this.#number) throw new Error('another process has taken it over')
  }

  async release(): Promise<void> {
    await truncate(this.#path)
  }

  get #path(): string {
    return join(this.#directory, `lock.${this.#number}`)
  }

  // Makes the file with all that is in it, in one step; false when there is one already.
  async #make(): Promise<boolean> {
    const unfinished = join(this.#directory, `lock.${randomBytes(8).toString('hex')}.new`)
    try {
      await writeFile(unfinished, `${process.pid} ${await birthOf(process.pid)}`, { flag: 'wx', mode: 0o600 })
      await link(unfinished, this.#path)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // ENOENT: whoever got it has cleared ours away.
      if (code !== 'EEXIST' && code !== 'ENOENT') throw error
      return false
    } finally {
      await rm(unfinished, { force: true })
    }
  }

  async #clear(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (numberOf(name) < this.#number && (NAME.test(name) || UNFINISHED.test(name))) await rm(join(this.#directory, name), { force: true })
    }
  }
}

async function highestIn(directory: string): Promise<number> {
  return Math.max(0, ...(await readdir(directory)).map(numberOf))
}

function numberOf(name: string): number {
  return Number(NAME.exec(name)?.[1] ?? 0)
}

// The process id in a lock, if that process lives.
async function liveHolder(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'latin1').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '' // Cleared away by a newer holder, who is found next.
    throw error
  })
  const [, pid, birth] = /^(\d+) (\S*)$/.exec(text) ?? []
  // Let go of; or spoiled by a crash of the machine, which no process has survived.
  if (pid === undefined || !exists(Number(pid))) return undefined
  const now = await birthOf(Number(pid))
  return birth === '' || now === '' || now === birth ? Number(pid) : undefined
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

// When a process began: of this start of the machine, and the clock ticks since then. Empty where there is no telling.
async function birthOf(pid: number): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1')
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    // proc(5): the 22nd field. The second, a name in parentheses, may hold anything; the third comes after its end.
    return `${boot.trim()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return ''
  }
}

function inUse(directory: string, pid: number, number: number): MeshError {
  const message =
    `${directory} is in use by process ${pid}, and a directory is for one store at a time: end that process, or name another directory. ` +
    `If process ${pid} is no user of it, remove lock.${number} in it`
  return new MeshError('in-use', message, { details: { directory, pid } })
}
