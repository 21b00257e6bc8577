import { withCharter } from './charters.js'
import type { Decisions } from './decisions.js'
import { isForSecurePages, relayDefaults } from './defaults.js'
import { explain, type Explanation } from './explain.js'
import { readLink, writeLink, type Invitation } from './link.js'
import { openSession, type Session, type Ticket } from './session.js'
import { joinedAs, loadSettings, rememberJoined, saveSettings } from './settings.js'
import { count, wordsOf } from './words.js'

/** What stands in the form. */
export interface Form {
  mesh: string
  relays: string
  name: string
  capabilities: string
}

/** What is looked for in the list of agents. */
export interface Search {
  text: string
  /** What the mesh has answered, and to which words. */
  found: { readonly words: readonly string[]; readonly ids: readonly string[] } | undefined
  busy: boolean
}

const NAMES = ['ada', 'alan', 'barbara', 'claude', 'dennis', 'edsger', 'emmy', 'frances', 'grace', 'hedy', 'karen', 'radia']

/** Everything that the page shows, and everything that can be done on it. */
export class App {
  readonly form: Form
  phase: 'form' | 'joining' | 'joined' = 'form'
  /** Where the form's mesh and relay come from. */
  source: 'link' | 'relay' | undefined
  /** STUN servers of that link or relay. */
  stun: readonly string[] = []
  /** The charter that came with them, when the mesh has one: its name is then given. */
  charter: Uint8Array | undefined
  session: Session | undefined
  trouble: Explanation | undefined
  selected: string | undefined
  search: Search = { text: '', found: undefined, busy: false }
  view: 'picture' | 'table' = 'picture'
  theme: 'light' | 'dark'
  copied = false
  /** Set when the next drawing should bring the user to where messages are written. */
  toMessage = false
  readonly webrtc = globalThis.RTCPeerConnection !== undefined
  readonly #changed: () => void
  #joining: AbortController | undefined

  constructor(changed: () => void) {
    const { name, capabilities = '', theme } = loadSettings()
    this.#changed = changed
    this.form = { mesh: '', relays: '', name: name ?? someName(), capabilities }
    this.theme = theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
    if (theme !== undefined) document.documentElement.dataset['theme'] = theme
  }

  /**
   * Fills in the form: from the link that was followed, else from the relay that serves this page. A tab that was joined
   * when it was reloaded joins again.
   */
  async prepare(): Promise<void> {
    await this.readLink()
    const name = joinedAs()
    if (name !== undefined && this.source === 'link') {
      // Other tabs may have joined under other names since.
      this.form.name = name
      return this.join()
    }
    if (this.source !== undefined) return
    const defaults = await relayDefaults(new URL(document.baseURI))
    if (defaults === undefined || this.phase !== 'form' || this.form.mesh !== '' || this.form.relays !== '') return
    this.#fill(defaults, 'relay')
  }

  /** Reads the link in the address bar. */
  async readLink(): Promise<void> {
    const { hash } = location
    const reading = await withCharter(readLink(hash))
    if (reading === undefined || this.phase !== 'form' || location.hash !== hash) return
    if ('invitation' in reading) return this.#fill(reading.invitation, 'link')
    const next = 'Ask for a new link, or fill in the form.'
    this.trouble = { message: reading.error, next, text: `This is no working invitation: ${reading.error}. ${next}` }
    this.#changed()
  }

  async join(): Promise<void> {
    const { mesh, relays, name, capabilities } = this.form
    const { stun, charter } = this
    const where: Invitation = { mesh, relays: wordsOf(relays), stun, ...(charter && { charter }) }
    const ticket: Ticket = { ...where, name: name.trim(), capabilities: wordsOf(capabilities) }
    const joining = (this.#joining = new AbortController())
    this.phase = 'joining'
    this.trouble = undefined
    this.#changed()
    try {
      this.session = await openSession(ticket, () => this.#followed(), { signal: joining.signal })
      this.phase = 'joined'
      saveSettings({ name: ticket.name, capabilities })
      history.replaceState(undefined, '', writeLink(ticket))
      rememberJoined(ticket.name)
    } catch (error) {
      this.phase = 'form'
      if (!joining.signal.aborted) this.trouble = this.#hinted(explain(error), ticket)
    }
    this.#changed()
  }

  cancel(): void {
    this.#joining?.abort()
  }

  async leave(): Promise<void> {
    rememberJoined(undefined)
    await this.session?.close()
  }

  select(id: string): void {
    this.selected = id
    this.toMessage = true
    this.session?.talk.read(id)
    this.#changed()
  }

  type(text: string): void {
    this.search = { text, found: undefined, busy: false }
    this.#changed()
  }

  /** Asks the mesh who can do what stands in the search box. */
  async find(): Promise<void> {
    const words = wordsOf(this.search.text)
    if (words.length === 0 || !this.session) return
    const search: Search = (this.search = { ...this.search, busy: true })
    this.#changed()
    try {
      const ids = await this.session.find(words)
      search.found = { words, ids }
      this.session.news = `${count(ids.length, 'agent')} with ${words.join(', ')}`
    } catch (error) {
      this.trouble = explain(error)
    }
    search.busy = false
    this.#changed()
  }

  async send(id: string, text: string): Promise<void> {
    await this.session?.send(id, text)
  }

  async broadcast(text: string): Promise<void> {
    await this.session?.broadcast(text)
  }

  sendFiles(id: string, files: readonly File[]): void {
    if (files.length === 0) return
    this.select(id)
    const refused = this.session?.sendFiles(id, files) ?? 0
    if (refused === 0) return
    const message = `${count(refused, 'file')} of ${files.length} were left out: too many at once.`
    this.trouble = { message, next: 'Send them afterwards.', text: `${message} Send them afterwards.` }
    this.#changed()
  }

  /** Does something that has to do with decisions; what goes wrong is told. */
  async decide(work: (decisions: Decisions) => Promise<void>): Promise<void> {
    const decisions = this.session?.decisions
    if (!decisions) return
    try {
      await work(decisions)
    } catch (error) {
      this.trouble = explain(error)
    }
    this.#changed()
  }

  async copyLink(): Promise<void> {
    const link = this.link
    if (link === undefined) return
    try {
      await navigator.clipboard.writeText(link)
      this.copied = true
      setTimeout(() => {
        this.copied = false
        this.#changed()
      }, 2000)
    } catch {
      const message = 'The browser did not let this page copy.'
      this.trouble = { message, next: `Copy it from here: ${link}`, text: `${message} Copy it from here: ${link}` }
    }
    this.#changed()
  }

  /** The address that brings others here. */
  get link(): string | undefined {
    return this.session && new URL(writeLink(this.session.ticket), document.baseURI).href
  }

  show(view: 'picture' | 'table'): void {
    this.view = view
    this.#changed()
  }

  switchTheme(): void {
    this.theme = this.theme === 'dark' ? 'light' : 'dark'
    document.documentElement.dataset['theme'] = this.theme
    saveSettings({ theme: this.theme })
    this.#changed()
  }

  dismiss(): void {
    this.trouble = undefined
    this.#changed()
  }

  #fill({ mesh, relays, stun, charter }: Invitation, source: 'link' | 'relay'): void {
    this.stun = stun
    this.charter = charter
    Object.assign(this.form, { mesh, relays: relays.join(' ') })
    this.source = source
    this.trouble = undefined
    this.#changed()
  }

  #followed(): void {
    const over = this.session?.over
    if (over && this.phase === 'joined') {
      this.phase = 'form'
      this.session = undefined
      this.selected = undefined
      this.search = { text: '', found: undefined, busy: false }
      if (over.error !== undefined) this.trouble = { message: over.error, next: '', text: `The mesh is lost. ${over.error}` }
    }
    this.#changed()
  }

  #hinted(trouble: Explanation, { relays }: Ticket): Explanation {
    if (location.protocol !== 'https:' || relays.some(isForSecurePages)) return trouble
    const next = 'This page came by https, so it needs a relay with a /wss or /webrtc-direct address.'
    return { ...trouble, next, text: `${trouble.text} ${next}` }
  }
}

const someName = () => `${NAMES[Math.floor(Math.random() * NAMES.length)]}-${Math.floor(Math.random() * 90) + 10}`
