import type { Role } from 'neural-mesh'
import type { Decisions } from './decisions.js'
import { isForSecurePages, relayDefaults } from './defaults.js'
import { canKeep, type Ticket } from './enter.js'
import { explain, type Explanation } from './explain.js'
import { openLink } from './invitations.js'
import { readLink, writeLink, type Invitation, type Invite } from './link.js'
import { openSession, type Session } from './session.js'
import { joinedAs, loadSettings, rememberJoined, saveSettings } from './settings.js'
import { count, peerOf, wordsOf } from './words.js'

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
  /** The invite that the link is: mesh and relay are then given. */
  invite: Invite | undefined
  /** Whether the relay that serves this page is of a private mesh, so that one needs an invite. */
  closed = false
  /** Whether the link is being read: nothing can be joined until then. */
  reading = false
  /** Whether a private mesh is to be founded. */
  founding = false
  session: Session | undefined
  trouble: Explanation | undefined
  selected: string | undefined
  search: Search = { text: '', found: undefined, busy: false }
  view: 'picture' | 'table' = 'picture'
  theme: 'light' | 'dark'
  /** The text that was copied a moment ago. */
  copied: string | undefined
  /** What stands in front of everything else: the invites, or the question whether to remove an agent's node, or a key. */
  dialog: 'invite' | { readonly remove: string } | { readonly domain: string; readonly key: string } | undefined
  /** Set when the next drawing should bring the user to where messages are written. */
  toMessage = false
  readonly webrtc = globalThis.RTCPeerConnection !== undefined
  /** Whether this browser can keep who a tab is. */
  readonly keeps = canKeep()
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
    const before = joinedAs()
    if (before && this.source === 'link') {
      // Other tabs may have joined under other names since.
      this.form.name = before.name
      await this.join()
      const meshId = this.session?.mesh.meshId
      if (this.founding && meshId !== undefined && meshId !== before.meshId) this.#tell(FOUNDED_ANEW)
      return
    }
    if (this.source !== undefined) return
    const defaults = await relayDefaults(new URL(document.baseURI))
    if (defaults === undefined || this.phase !== 'form' || this.form.mesh !== '' || this.form.relays !== '') return
    this.#fill(defaults, 'relay', defaults.closed)
  }

  /** Reads the link in the address bar. */
  async readLink(): Promise<void> {
    const { hash } = location
    const opening = openLink(readLink(hash))
    this.reading = true
    const reading = await opening
    this.reading = false
    this.#changed()
    if (reading === undefined || this.phase !== 'form' || location.hash !== hash) return
    if ('invitation' in reading) return this.#fill(reading.invitation, 'link')
    this.#tell(explanation(`This is no working invitation: ${reading.error}.`, 'Ask for a new link, or fill in the form.'))
  }

  async join(): Promise<void> {
    const { mesh, relays, name, capabilities } = this.form
    const { stun, charter, invite } = this
    const how = { ...(charter && { charter }), ...(invite && { invite }), ...(this.founding && { founding: true as const }) }
    const where: Invitation = { mesh, relays: wordsOf(relays), stun, ...how }
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
      rememberJoined({ name: ticket.name, meshId: this.session.mesh.meshId })
    } catch (error) {
      this.phase = 'form'
      if (!joining.signal.aborted) this.trouble = this.#hinted(explain(error), ticket)
    }
    // It may be over already.
    this.#followed()
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
    this.#tell(explanation(`${count(refused, 'file')} of ${files.length} were left out: too many at once.`, 'Send them afterwards.'))
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

  /** Makes an invite into this private mesh. */
  async makeInvite(role: Role, lifetimeMs: number): Promise<void> {
    this.trouble = undefined
    try {
      const made = this.session?.invites.make(new URL(document.baseURI).href.replace(/#.*/s, ''), role, lifetimeMs)
      this.#changed()
      await made
    } catch (error) {
      this.trouble = explain(error)
    }
    this.#changed()
  }

  /** Shuts the node of an agent out of this private mesh. */
  async remove(id: string): Promise<void> {
    try {
      await this.session?.remove(peerOf(id))
    } catch (error) {
      this.trouble = explain(error)
    }
    this.#changed()
  }

  /** Whether the mesh of the form is to be founded as a private one. */
  found(founding: boolean): void {
    this.founding = founding
    this.#changed()
  }

  ask(dialog: App['dialog']): void {
    this.dialog = dialog
    this.#changed()
  }

  async copy(link: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(link)
      this.copied = link
      setTimeout(() => {
        this.copied = undefined
        this.#changed()
      }, 2000)
    } catch {
      this.trouble = explanation('The browser did not let this page copy.', `Copy it from here: ${link}`)
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

  #fill({ mesh, relays, stun, charter, invite, founding }: Invitation, source: 'link' | 'relay', closed = false): void {
    Object.assign(this, { stun, charter, invite, founding: founding === true, closed })
    Object.assign(this.form, { mesh, relays: relays.join(' ') })
    this.source = source
    this.trouble = undefined
    this.#changed()
  }

  #tell(trouble: Explanation): void {
    this.trouble = trouble
    this.#changed()
  }

  #followed(): void {
    const over = this.session?.over
    if (over && this.phase === 'joined') {
      this.phase = 'form'
      this.session = undefined
      this.selected = undefined
      this.dialog = undefined
      this.search = { text: '', found: undefined, busy: false }
      // A reload would only be told the same.
      if (over.expelled) rememberJoined(undefined)
      const { error, expelled } = over
      if (error !== undefined) this.trouble = { message: error, next: '', text: expelled ? error : `The mesh is lost. ${error}` }
    }
    this.#changed()
  }

  #hinted(trouble: Explanation, { relays, invite }: Ticket): Explanation {
    if (invite && trouble.code === 'peer-unreachable') return { ...trouble, ...INVITER_AWAY }
    if (location.protocol !== 'https:' || relays.some(isForSecurePages)) return trouble
    const next = 'This page came by https, so it needs a relay with a /wss or /webrtc-direct address.'
    return { ...trouble, next, text: `${trouble.text} ${next}` }
  }
}

const explanation = (message: string, next: string): Explanation => ({ message, next, text: `${message} ${next}` })

const INVITER_AWAY = explanation(
  'Whoever has made this invite cannot be reached, and has to be in the mesh when it is used for the first time.',
  'Ask them to open the mesh, then try again.',
)
// Of two tabs with one address, the second is another node.
const FOUNDED_ANEW = explanation(
  'This is another mesh of that name: another tab, or a browser that has forgotten, has the one that was here before.',
  'Leave this one and go back to that tab.',
)

const someName = () => `${NAMES[Math.floor(Math.random() * NAMES.length)]}-${Math.floor(Math.random() * 90) + 10}`
