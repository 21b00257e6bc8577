import type { ContentProgress, KnowledgeVersion, Mesh } from 'neural-mesh'
import { explain } from './explain.js'
import { MAX_SAVED, MAX_SHOWN, fileName, isReadable, jsonOf, typed } from './values.js'

/** How far the value that is looked at has come; `aside` when it is only saved, not shown. */
export type Look = 'aside' | 'coming' | { readonly value: unknown } | { readonly failed: string }

/** What is to be saved as a file. */
export interface FileToSave {
  readonly name: string
  readonly data: Uint8Array
}

type Place = Pick<Mesh, 'knowledge'>

/** An entry that is open: all that stands under its key, and the value of the version that is looked at. */
export class Opened {
  readonly domain: string
  readonly key: string
  /** What stands there now, the latest first, none of which replaces another. Empty when nothing does. */
  versions: readonly KnowledgeVersion[] = []
  /** Which of them is looked at. */
  shown: KnowledgeVersion | undefined
  look: Look = 'coming'
  /** How far a value has come that is to be saved. */
  saving: ContentProgress | undefined
  /** Whether it was looked up. */
  known = false
  readonly #mesh: Place
  readonly #changed: () => void
  #reading = new AbortController()

  /** `changed` is called after everything that can be seen. */
  constructor(mesh: Place, domain: string, key: string, changed: () => void) {
    this.#mesh = mesh
    this.domain = domain
    this.key = key
    this.#changed = changed
  }

  /** Looks up what stands there now. What is looked at stays, as long as it is there. */
  async refresh(): Promise<void> {
    this.versions = await live(this.#mesh, this.domain, this.key)
    this.known = true
    const shown = this.versions.find(({ version }) => version === this.shown?.version)
    if (!shown) this.show(this.versions[0])
    this.#changed()
  }

  /** Looks at one of the versions. A value that people can read, and that is not large, is fetched. */
  show(version: KnowledgeVersion | undefined): void {
    this.#reading.abort()
    this.#reading = new AbortController()
    this.shown = version
    const isShown = version !== undefined && isReadable(version.type) && version.size <= MAX_SHOWN
    this.look = isShown ? 'coming' : 'aside'
    this.#changed()
    if (isShown) void this.#read(version, this.#reading.signal)
  }

  /** The value that is looked at, as a file. */
  async file(): Promise<FileToSave | undefined> {
    const version = this.shown
    if (!version) return undefined
    this.#progress({ bytes: 0, total: version.size })
    try {
      const value = await version.value({ ...READ, onProgress: progress => this.#progress(progress) })
      const json = version.type === 'cbor' ? jsonOf(value) : undefined
      const data = json === undefined ? await this.#raw(version, value) : new TextEncoder().encode(json)
      return { name: fileName(version, json !== undefined), data }
    } finally {
      this.#progress(undefined)
    }
  }

  /** Writes one of the versions again, so that it alone stands there. */
  async choose(version: KnowledgeVersion): Promise<void> {
    const value = await version.value(READ)
    const { metadata, replicas, expiresAt, type } = version
    const how = { metadata, replicas, expiresAt, ...(value instanceof Uint8Array && typed(type)) }
    await this.#mesh.knowledge.put(this.key, value, { domain: this.domain, waitMs: 0, ...how })
  }

  /** Ends what is being fetched. */
  close(): void {
    this.#reading.abort()
  }

  async #read(version: KnowledgeVersion, signal: AbortSignal): Promise<void> {
    let look: Look
    try {
      look = { value: await version.value({ maxBytes: MAX_SHOWN, signal }) }
    } catch (error) {
      look = { failed: explain(error).text }
    }
    if (signal.aborted) return
    this.look = look
    this.#changed()
  }

  // The bytes of a value, as its author has put them.
  async #raw({ cid, type }: KnowledgeVersion, value: unknown): Promise<Uint8Array> {
    if (typeof value === 'string') return new TextEncoder().encode(value)
    if (ArrayBuffer.isView(value) && type !== 'cbor') return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    return this.#mesh.knowledge.readFile(cid!, READ)
  }

  #progress(progress: ContentProgress | undefined): void {
    this.saving = progress
    this.#changed()
  }
}

const READ = { maxBytes: MAX_SAVED }

/** What stands under a key now: neither what takes it away, nor what is over. */
export async function live({ knowledge }: Place, domain: string, key: string, now = Date.now()): Promise<KnowledgeVersion[]> {
  const versions = await knowledge.entries(key, { domain })
  return versions.filter(({ change, expiresAt }) => change === 'put' && (expiresAt === undefined || expiresAt > now))
}
