import type { KnowledgeDomain, KnowledgeStorage, KnowledgeVersion, Mesh } from 'neural-mesh'
import { explain, type Explanation } from './explain.js'
import { Holders } from './holders.js'
import { Opened, live, type FileToSave } from './opened.js'
import { givenBy, type Draft } from './values.js'
import { isHidden } from './visible.js'

/** A key, as the list shows it. */
export interface Row {
  /** What it stands for. */
  readonly version: KnowledgeVersion
  /** How many others stand beside that. */
  readonly siblings: number
}

/** Keys that are shown, the latest. */
export const MAX_ROWS = 100
/** Contents whose places are remembered, of those that this page has put. */
export const MAX_PLACED = 100
const SHARED = 'shared'
/** Milliseconds in which changes are gathered before one look at the domain. */
const GATHER_MS = 50
/** How many times as long as a look took there is a pause after it, so that a large domain that changes all the time leaves the page usable. */
const PAUSE = 5
/** Milliseconds between looks at what no event tells of: how much is kept here, and whether somebody sees the page again. */
const TICK_MS = 5000

/** What is known together: the domains, the keys of the one that was chosen, and the entry that is open. */
export class Knowledge {
  /** `shared`, the one that was chosen, and all others of which something is known. */
  domains: readonly KnowledgeDomain[] = [nothingIn(SHARED)]
  /** The one that was chosen. */
  domain = SHARED
  /** What the keys that are listed begin with. */
  prefix = ''
  /** The latest keys, the latest first, and how many there are in all. */
  rows: readonly Row[] = []
  total = 0
  /** Whether the keys were listed: until then, none may mean nothing. */
  listed = false
  storage: KnowledgeStorage | undefined
  /** Whether what is known outlives this page. */
  keeps: boolean
  opened: Opened | undefined
  readonly draft: Draft = { domain: SHARED, key: '', kind: 'text', text: '', file: undefined, ttlMs: 0 }
  /** Whether something is being written. */
  busy = false
  /** What went wrong last. */
  trouble: Explanation | undefined
  /** The id of what the next drawing should bring the user to. */
  goal: string | undefined
  readonly holders: Holders
  readonly #mesh: Mesh
  readonly #changed: (news?: string) => void
  readonly #placed = new Map<string, readonly string[]>()
  #listing = new AbortController()
  #looking = false
  #again = false
  #due: ReturnType<typeof setTimeout> | undefined
  #pauseMs = GATHER_MS
  #ticking: ReturnType<typeof setInterval> | undefined

  /** `changed` is called after everything that can be seen, with a sentence for those who do not look. */
  constructor(mesh: Mesh, keeps: boolean, changed: (news?: string) => void) {
    this.#mesh = mesh
    this.keeps = keeps
    this.#changed = changed
    this.holders = new Holders(mesh, changed)
    for (const type of ['knowledge-changed', 'knowledge-expired', 'knowledge-compared', 'lagged'] as const) mesh.on(type, () => this.#soon())
    mesh.on('content-held', ({ cid, holders }) => this.holders.told(cid, holders))
    mesh.on('content-repaired', ({ cid }) => this.holders.doubt({ cid }))
    mesh.on('peer-disconnected', ({ peerId }) => this.holders.doubt({ peerId }))
    mesh.on('store-failed', () => {
      this.keeps = false
      changed()
    })
  }

  begin(): void {
    this.#ticking = setInterval(() => void this.#measure(), TICK_MS)
    this.#soon()
  }

  /** Looks at nothing any more. */
  close(): void {
    clearInterval(this.#ticking)
    clearTimeout(this.#due)
    this.#listing.abort()
    this.holders.close()
    this.opened?.close()
  }

  /** Shows another domain, and puts there what is put next. */
  choose(domain: string): void {
    this.draft.domain = domain
    this.#list(domain, '')
  }

  /** Lists the keys that begin with this. */
  search(prefix: string): void {
    this.#list(this.domain, prefix)
  }

  /** Opens an entry; `goal`, an id, is where that should bring the user. */
  open(domain: string, key: string, goal?: string): void {
    this.opened?.close()
    const opened = new Opened(this.#mesh, domain, key, () => this.#changed())
    this.opened = opened
    this.goal = goal
    this.#changed()
    void this.#refresh()
  }

  closeEntry(): void {
    this.opened?.close()
    this.opened = undefined
    this.#lookAtHolders()
    this.#changed()
  }

  /** Puts what is in the form under its key, and opens that. */
  async put(): Promise<void> {
    const { draft } = this
    const [domain, key] = [draft.domain.trim() || SHARED, draft.key.trim()]
    await this.#attempt(`Put: ${key}`, async () => {
      const { value, ...how } = await givenBy(draft, this.storage?.max ?? Infinity)
      const { cid, placed } = await this.#mesh.knowledge.put(key, value, { domain, ...how, ttlMs: draft.ttlMs || undefined, waitMs: 0 })
      this.#place(cid, placed)
      Object.assign(draft, { key: '', text: '', file: undefined })
      if (domain !== this.domain) this.choose(domain)
      this.open(domain, key)
    })
  }

  /** Puts a file into the form; it has its name as a key until the user says otherwise. */
  take(file: File): void {
    const { draft } = this
    if (draft.key === '' || draft.key === draft.file?.name) draft.key = file.name
    Object.assign(draft, { kind: 'file', file })
    this.#changed()
  }

  /** Changes what is in the form. */
  fill(part: Partial<Draft>): void {
    Object.assign(this.draft, part)
    this.#changed()
  }

  async delete(domain: string, key: string): Promise<void> {
    await this.#attempt(`Deleted: ${key}`, async () => {
      await this.#mesh.knowledge.delete(key, { domain })
      if (this.opened?.key === key && this.opened.domain === domain) this.closeEntry()
    })
  }

  /** Of versions that stand beside each other, leaves only this one. */
  async keepOnly(version: KnowledgeVersion): Promise<void> {
    await this.#attempt(`Kept one version: ${version.key}`, async () => this.opened?.choose(version))
  }

  /** The value that is looked at, as a file. */
  async file(): Promise<FileToSave | undefined> {
    try {
      return await this.opened?.file()
    } catch (error) {
      this.#tell(explain(error))
      return undefined
    }
  }

  dismiss(): void {
    this.#tell(undefined)
  }

  /** With whom a content was placed when this page has put it. */
  placed({ cid }: KnowledgeVersion): readonly string[] | undefined {
    return cid === undefined ? undefined : this.#placed.get(cid)
  }

  #list(domain: string, prefix: string): void {
    if (domain !== this.domain) Object.assign(this, { rows: [], total: 0, listed: false })
    Object.assign(this, { domain, prefix })
    this.#listing.abort()
    this.#pauseMs = 0
    this.#soon()
    this.#changed()
  }

  async #attempt(done: string, work: () => Promise<unknown>): Promise<void> {
    if (this.busy) return
    Object.assign(this, { busy: true, trouble: undefined })
    this.#changed()
    let news: string | undefined
    try {
      await work()
      news = done
    } catch (error) {
      this.trouble = explain(error)
    }
    this.busy = false
    this.#changed(news)
  }

  #tell(trouble: Explanation | undefined): void {
    this.trouble = trouble
    this.#changed()
  }

  #place(cid: string, placed: readonly string[]): void {
    this.#placed.delete(cid)
    this.#placed.set(cid, placed)
    if (this.#placed.size > MAX_PLACED) this.#placed.delete(this.#placed.keys().next().value!)
  }

  // One look for all changes of a moment.
  #soon(): void {
    if (this.#looking) this.#again = true
    else this.#due ??= setTimeout(() => void this.#look(), this.#pauseMs)
  }

  async #look(): Promise<void> {
    this.#due = undefined
    this.#again = isHidden()
    if (this.#again) return
    this.#looking = true
    this.#listing = new AbortController()
    const { signal } = this.#listing
    const began = performance.now()
    try {
      await this.#read(signal)
      await Promise.all([this.#refresh(), this.#measure()])
    } catch {
      // Something else is wanted now, or the mesh is being closed.
    }
    this.#looking = false
    this.#pauseMs = signal.aborted ? 0 : Math.max(GATHER_MS, PAUSE * (performance.now() - began))
    if (this.#again) this.#soon()
    this.#changed()
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { domain, prefix } = this
    const known = await this.#mesh.knowledge.domains({ signal })
    const others = [SHARED, domain].filter(name => !known.some(one => one.domain === name))
    const domains = [...known, ...[...new Set(others)].map(nothingIn)].sort(byName)
    const newest: KnowledgeVersion[] = []
    let total = 0
    for await (const version of this.#mesh.knowledge.keys(domain, { prefix, signal })) {
      total++
      newest.push(version)
      if (newest.length >= 2 * MAX_ROWS) keepNewest(newest)
    }
    keepNewest(newest)
    const siblings = await Promise.all(newest.map(({ key }) => live(this.#mesh, domain, key)))
    if (signal.aborted) return
    const rows = newest.map((version, i) => ({ version, siblings: Math.max(0, siblings[i]!.length - 1) }))
    Object.assign(this, { domains, rows, total, listed: true })
    this.#lookAtHolders()
  }

  async #refresh(): Promise<void> {
    try {
      await this.opened?.refresh()
    } catch {
      // Only while the mesh is being closed.
    }
    this.#lookAtHolders()
  }

  #lookAtHolders(): void {
    this.holders.look([...(this.opened?.versions ?? []), ...this.rows.map(({ version }) => version)])
  }

  async #measure(): Promise<void> {
    if (isHidden()) return
    if (this.#again) this.#soon()
    try {
      this.storage = await this.#mesh.knowledge.storage()
    } catch {
      // Only while the mesh is being closed.
    }
    this.#changed()
  }
}

const nothingIn = (domain: string): KnowledgeDomain => ({ domain, entries: 0, digest: '' })

const byName = (a: KnowledgeDomain, b: KnowledgeDomain) =>
  Number(b.domain === SHARED) - Number(a.domain === SHARED) || (a.domain < b.domain ? -1 : 1)

function keepNewest(versions: KnowledgeVersion[]): void {
  versions.sort((a, b) => b.writtenAt - a.writtenAt || (a.key < b.key ? -1 : 1))
  versions.length = Math.min(versions.length, MAX_ROWS)
}
