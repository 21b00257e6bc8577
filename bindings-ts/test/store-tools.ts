import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileStore } from '../src/store/fs.js'
import type { MeshStore, StoreChange } from '../src/store/store.js'

export const bytes = (text: string) => new TextEncoder().encode(text)
export const put = (key: string, text: string): StoreChange => ({ key, value: bytes(text) })

// A directory for a test, which goes with it.
export async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'neural-mesh-store-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

// What a store that is not loaded yet keeps, as text.
export async function contents(store: MeshStore): Promise<Record<string, string>> {
  const kept = await store.load()
  return Object.fromEntries(kept.map(([key, value]) => [key, new TextDecoder().decode(value)]))
}

// What the store in a directory keeps; it is closed again.
export async function keptIn(path: string): Promise<Record<string, string>> {
  const store = fileStore(path)
  try {
    return await contents(store)
  } finally {
    await store.close()
  }
}

// The bytes of a log after these writes, not sealed by closing, and where the last frame begins.
export async function logOf(t: TestContext, ...writes: StoreChange[][]): Promise<{ log: Buffer; lastFrame: number }> {
  const path = await directory(t)
  const store = fileStore(path)
  await store.load()
  let lastFrame = 0
  for (const changes of writes) {
    lastFrame = (await readFile(join(path, 'log'))).length
    await store.write(changes)
  }
  const log = await readFile(join(path, 'log'))
  await store.close()
  return { log, lastFrame }
}

export async function withLog(t: TestContext, log: Uint8Array): Promise<string> {
  const path = await directory(t)
  await writeFile(join(path, 'log'), log)
  return path
}

// A process that runs `script`, where `fileStore` and `fileBlocks` are at hand and `path` a directory. `shell`: what `sh` is to
// do before; `under`: the command that is to run it all.
export class Child {
  readonly process: ChildProcess
  readonly lines: string[] = []
  readonly exited: Promise<unknown>
  #heard: () => void = () => {}

  constructor(t: TestContext, path: string, script: string, { shell = ':', under = [] as string[] } = {}) {
    const source = `
      import { fileStore } from ${JSON.stringify(new URL('../src/store/fs.js', import.meta.url).href)}
      import { fileBlocks } from ${JSON.stringify(new URL('../src/store/blocks-fs.js', import.meta.url).href)}
      const path = ${JSON.stringify(path)}
      ${script}`
    const [command, ...args] = [...under, 'sh', '-c', `${shell}; exec "$0" --input-type=module -e "$1"`, process.execPath, source]
    this.process = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    t.after(() => this.process.kill('SIGKILL'))
    // 'close': everything that it wrote has been read.
    this.exited = once(this.process, 'close').then(() => this.#heard())
    createInterface(this.process.stdout!).on('line', line => {
      this.lines.push(line)
      this.#heard()
    })
  }

  // Resolves when it has written so many lines, or has ended.
  async wrote(count: number): Promise<void> {
    while (this.lines.length < count && this.process.exitCode === null && this.process.signalCode === null) {
      await new Promise<void>(resolve => (this.#heard = resolve))
    }
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.exited
  }
}

// Numbers from 0 to 1: mulberry32.
export function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
