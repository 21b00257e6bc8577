import type { Membership, Mesh, MeshEvent, NetworkTopology, PeerAgent } from 'neural-mesh'
import { Decisions } from './decisions.js'
import { enter, type Entered, type Ticket } from './enter.js'
import { explain } from './explain.js'
import { Invites } from './invites.js'
import { Knowledge } from './knowledge.js'
import { Recent } from './recent.js'
import { roster, type Member } from './roster.js'
import { MAX_ITEMS, Talk, type Said } from './talk.js'
import { nextKey, Transfers, type Transfer } from './transfers.js'
import { clip, nameOf, payloadText, peerOf } from './words.js'

/** Milliseconds between looks at the round trips, of which no event tells. */
const REFRESH_MS = 2000
/** Milliseconds in which events are gathered before one look at the topology. */
const GATHER_MS = 50
/** Files that are sent at once when several are dropped; the others are refused. */
const MAX_FILES_AT_ONCE = 16
const LINK_EVENTS = ['peer-connected', 'path-changed', 'peer-disconnected', 'peer-suspected', 'peer-recovered', 'mesh-split', 'mesh-whole'] as const
/** Nodes whose words are counted. Past it, counting begins anew. */
const MAX_PULSES = 1000

/** Joins, and follows what happens until the mesh is closed. `changed` is called after everything that can be seen. */
export async function openSession(ticket: Ticket, changed: () => void, options: { signal: AbortSignal }): Promise<Session> {
  const entered = await enter(ticket, options)
  const session = new Session(entered, ticket, changed)
  await session.begin()
  return session
}

const EXPELLED: Readonly<Record<MeshEvent<'expelled'>['reason'], string>> = {
  revoked: 'You were removed from this mesh. To come in again, ask for a new invite.',
  expired: 'You are not in this mesh any more: your time in it is over, and nobody was there to renew it. Ask for a new invite.',
}

// The last part of a relay's address.
const relayId = (address: string) => address.slice(address.lastIndexOf('/') + 1)

/** A mesh as this page knows it. Everything is bounded: here, or by the package. */
export class Session {
  readonly mesh: Mesh
  readonly ticket: Ticket
  readonly talk = new Talk()
  readonly broadcasts = new Recent<Said>(MAX_ITEMS)
  /** All agents that are known, this page's included, by address. */
  readonly agents = new Map<string, PeerAgent>()
  /** Relays that are connected. */
  readonly relays = new Set<string>()
  /** How often each node has said something: what changes is shown in the picture. */
  readonly pulses = new Map<string, number>()
  /** What is decided, in a mesh with a charter. */
  readonly decisions: Decisions | undefined
  /** What is known together. */
  readonly knowledge: Knowledge
  /** What this page is in a private mesh; undefined in one where everybody may come in. */
  membership: Membership | undefined
  /** Whom this page lets into a private mesh. */
  readonly invites: Invites
  /** Peer ids of the relays that this page wants. */
  readonly wanted: readonly string[]
  /** Told to those who do not look. */
  news = ''
  /** Set when it is over; `error` when that was no wish of ours, and `expelled` when we may not come back. */
  over: { readonly error?: string; readonly expelled?: true } | undefined
  readonly #transfers: Transfers
  readonly #changed: () => void
  #topology: NetworkTopology | undefined
  #members: readonly Member[] | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #due = Infinity

  constructor({ mesh, keeps }: Entered, ticket: Ticket, changed: () => void) {
    this.mesh = mesh
    this.ticket = ticket
    this.#changed = changed
    this.#transfers = new Transfers(mesh, transfer => this.#arriving(transfer), changed)
    const isChartered = ticket.charter ?? ticket.invite ?? ticket.founding
    this.decisions = isChartered && new Decisions(mesh, news => this.#tell(news))
    this.knowledge = new Knowledge(mesh, keeps, news => this.#tell(news))
    this.invites = new Invites(mesh, news => this.#tell(news), peerId => this.whoIs(peerId))
    // Who invites and can be reached itself is no relay.
    this.wanted = ticket.relays.map(relayId).filter(peerId => peerId !== ticket.invite?.invitedBy)
    mesh.on('relay-connected', ({ peerId }) => this.#relay(peerId, true))
    mesh.on('relay-disconnected', ({ peerId }) => this.#relay(peerId, false))
    for (const type of LINK_EVENTS) {
      mesh.on(type, () => this.#lookSoon())
    }
    mesh.on('agent-joined', ({ agent }) => this.#agent(agent, `${agent.name} has joined`))
    mesh.on('agent-updated', ({ agent }) => this.#agent(agent))
    mesh.on('agent-left', ({ id }) => this.#left(id))
    mesh.on('message', message => this.#message(message))
    mesh.on('broadcast', broadcast => this.#broadcast(broadcast))
    mesh.on('membership', () => void this.#own())
    mesh.on('expelled', ({ reason }) => this.#expelled(reason))
    mesh.on('closed', ({ error }) => this.#closed(error))
  }

  async begin(): Promise<void> {
    for (const agent of await this.mesh.agents.list()) this.agents.set(agent.id, agent)
    await this.#survey()
    for (const link of this.#topology?.links ?? []) if (link.relay) this.relays.add(link.peerId)
    await this.#own()
    await this.decisions?.begin()
    this.knowledge.begin()
    this.#lookSoon(REFRESH_MS)
  }

  /** Everybody who is there. */
  get members(): readonly Member[] {
    return (this.#members ??= this.#topology ? roster(this.#topology, this.agents.values(), this.wanted, this.relays) : [])
  }

  /** Whether no relay is connected, so that nobody new can reach this page. */
  get lost(): boolean {
    return this.relays.size === 0 && this.#topology?.health.parts.relays === 0
  }

  /** What is not at its best, the worst first. */
  get lacks(): readonly string[] {
    return this.#topology?.health.reasons ?? []
  }

  /** Whether this page may let in others. */
  get mayInvite(): boolean {
    return this.membership !== undefined && (this.membership.founder || this.membership.invitesPerDay > 0)
  }

  /** Whether this page only listens, in a private mesh: it says nothing and writes nothing. */
  get listens(): boolean {
    return this.membership?.role === 'observer'
  }

  /** This page's agent. */
  get self(): string {
    return `${this.ticket.name}@${this.mesh.peerId}`
  }

  /** What a node is called: its first agent, or the end of its peer id. */
  whoIs(peerId: string): string {
    if (peerId === this.mesh.peerId) return this.ticket.name
    return this.members.find(member => member.peerId === peerId)?.name ?? nameOf(peerId)
  }

  /** Where a conversation with this agent is kept: with the agent if it is known, else with its node. */
  conversationOf(address: string): string {
    return this.agents.has(address) ? address : peerOf(address)
  }

  /** Sends a message. What becomes of it stands in the conversation. */
  async send(id: string, text: string): Promise<void> {
    const said = this.#mine(text)
    this.talk.add(id, said)
    this.#changed()
    try {
      const { roundTripMs } = await this.mesh.send(id, text, { from: this.ticket.name })
      said.state = 'sent'
      said.roundTripMs = roundTripMs
    } catch (error) {
      said.state = { failed: explain(error).text }
    }
    this.#changed()
  }

  /** Says something to everybody. */
  async broadcast(text: string): Promise<void> {
    const said = this.#mine(text)
    this.broadcasts.push(said)
    this.#changed()
    try {
      await this.mesh.broadcast(text)
      said.state = 'sent'
    } catch (error) {
      said.state = { failed: explain(error).text }
    }
    this.#changed()
  }

  /** Begins to send files to an agent or node; returns how many were too many. */
  sendFiles(id: string, files: readonly File[]): number {
    const some = files.slice(0, MAX_FILES_AT_ONCE)
    const to = { id, peerId: peerOf(id) }
    for (const file of some) void this.#transfers.send(file, to, this.ticket.name, transfer => this.talk.add(id, transfer))
    return files.length - some.length
  }

  /** Asks the mesh for agents that can do all of this. */
  async find(capabilities: readonly string[]): Promise<string[]> {
    const found = await this.mesh.agents.find({ capabilities })
    for (const agent of found) this.agents.set(agent.id, agent)
    this.#lookSoon()
    return found.map(({ id }) => id)
  }

  /** Shuts a node out of a private mesh, with all that it has let in. */
  async remove(peerId: string): Promise<void> {
    await this.mesh.members.revoke(peerId)
  }

  /** Says goodbye. A page that is being closed has no time to wait for it. */
  async close(): Promise<void> {
    await this.mesh.close()
  }

  #mine(text: string): Said {
    const { name: who } = this.ticket
    return { kind: 'said', key: nextKey(), mine: true, who, peerId: this.mesh.peerId, text, at: Date.now(), state: 'sending' }
  }

  #relay(peerId: string, connected: boolean): void {
    if (peerId === this.ticket.invite?.invitedBy) return this.#lookSoon()
    if (connected) this.relays.add(peerId)
    else this.relays.delete(peerId)
    this.news = this.relays.size > 0 ? 'Connected to a relay' : 'The relay is lost'
    this.#lookSoon()
  }

  #agent(agent: PeerAgent, news?: string): void {
    this.agents.set(agent.id, agent)
    if (news !== undefined) this.news = news
    this.#lookSoon()
  }

  #left(id: string): void {
    this.agents.delete(id)
    this.news = `${nameOf(id)} has left`
    this.#lookSoon()
  }

  #message({ from, payload }: MeshEvent<'message'>): void {
    const [who, peerId] = [nameOf(from), peerOf(from)]
    const said: Said = { kind: 'said', key: nextKey(), mine: false, who, peerId, text: payloadText(payload), at: Date.now() }
    this.talk.add(this.conversationOf(from), said)
    this.#pulse(peerId)
    this.news = `Message from ${who}: ${clip(said.text, 200)}`
    this.#changed()
  }

  #broadcast({ from, topic, payload, sentAt }: MeshEvent<'broadcast'>): void {
    const said: Said = { kind: 'said', key: nextKey(), mine: false, who: this.whoIs(from), peerId: from, text: payloadText(payload), at: sentAt }
    this.broadcasts.push(topic === '' ? said : { ...said, topic })
    this.#pulse(from)
    this.#changed()
  }

  // Of a file that comes in only the node is known: it goes to the one agent that lives there, if it is one.
  #arriving(transfer: Transfer): void {
    const agents = [...this.agents.values()].filter(({ peerId }) => peerId === transfer.peerId)
    this.talk.add(agents.length === 1 ? agents[0]!.id : transfer.peerId, transfer)
    this.#pulse(transfer.peerId)
    this.news = `A file from ${agents[0]?.name ?? nameOf(transfer.peerId)}`
    this.#changed()
  }

  async #own(): Promise<void> {
    try {
      const membership = await this.mesh.members.own()
      this.membership = membership.open ? undefined : membership
    } catch {
      // Only while it is being closed.
    }
    this.#changed()
  }

  #expelled(reason: MeshEvent<'expelled'>['reason']): void {
    this.over = { error: EXPELLED[reason], expelled: true }
    void this.close()
    this.#changed()
  }

  #tell(news?: string): void {
    if (news !== undefined) this.news = news
    this.#changed()
  }

  #pulse(peerId: string): void {
    if (this.pulses.size >= MAX_PULSES) this.pulses.clear()
    this.pulses.set(peerId, (this.pulses.get(peerId) ?? 0) + 1)
  }

  #closed(error: unknown): void {
    clearTimeout(this.#timer)
    this.#transfers.close()
    this.decisions?.close()
    this.knowledge.close()
    this.over ??= error === undefined ? {} : { error: explain(error).text }
    this.#changed()
  }

  // Who has invited this node is one of its relays to the package, as somebody who is always dialled, and no relay to people. Of
  // a relay that carries connections without being in the mesh, only the state of all relays tells.
  async #survey(): Promise<void> {
    const topology = await this.mesh.health.topology()
    const inviter = this.ticket.invite?.invitedBy
    const links = topology.links.map(link => (link.peerId === inviter ? { ...link, relay: false } : link))
    this.#topology = { ...topology, links }
    const { relays } = topology.health.parts
    const onlyOne = relays > 0 && this.wanted.length === 1 && !links.some(({ peerId }) => peerId === inviter)
    if (relays === 100 || onlyOne) for (const peerId of this.wanted) this.relays.add(peerId)
  }

  // One look at the topology for all events of a moment; without any, one from time to time while somebody sees it.
  #lookSoon(ms = GATHER_MS): void {
    this.#members = undefined
    this.#changed()
    const due = performance.now() + ms
    if (due >= this.#due || this.over) return
    this.#due = due
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), ms)
  }

  async #look(): Promise<void> {
    try {
      if (!document.hidden) await this.#survey()
    } catch {
      // Only while it is being closed.
    }
    this.#due = Infinity
    this.#lookSoon(REFRESH_MS)
  }
}
