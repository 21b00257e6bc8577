import { MeshError, type Ballot, type ConsensusResult, type Electorate, type Mesh, type PendingProposal, type Vote } from 'neural-mesh'
import { check, checkFile, type Verdict } from './certificates.js'
import { decidedBefore, rememberDecided, type Seen } from './recall.js'
import { Recent } from './recent.js'
import { clip } from './words.js'

/** A proposal that is open, as this page shows it. */
export interface Open extends PendingProposal {
  /** Milliseconds until voters have no more time, 0 when it is over. */
  readonly leftMs: number
  /** Whether too few voters can be reached to decide. */
  readonly stalled: boolean
  /** Whether this page's vote is on its way. */
  readonly voting: boolean
}

/** A proposal that was decided. */
export interface Ended extends Seen {
  readonly outcome: ConsensusResult['outcome']
  readonly signers: number
  readonly ballots: readonly Ballot[]
  /** What a look at its certificate gave. */
  verdict?: Verdict
}

/** What the mesh does not say of an open proposal. */
interface Notes {
  readonly heardAt: number
  stalled: boolean
  voting: boolean
}

/** Decided proposals that are shown; the oldest go. Open ones are bounded by the package. */
export const MAX_ENDED = 20
const TICK_MS = 1000
/** Milliseconds in which what was decided before this page was loaded is shown, or not at all. */
const RECALL_MS = 10_000

/** What is being decided in a mesh with a charter, and what was. */
export class Decisions {
  /** Who votes; undefined until that is known. */
  electorate: Electorate | undefined
  /** Set when votes cannot be kept any more, so that none is given. */
  silenced = false
  readonly ended = new Recent<Ended>(MAX_ENDED)
  /** The file that was checked last. */
  checked: { readonly name: string; readonly verdict: Verdict } | undefined
  readonly #mesh: Mesh
  readonly #changed: (news?: string) => void
  readonly #notes = new Map<string, Notes>()
  #timer: ReturnType<typeof setInterval> | undefined

  /** `changed` is called after everything that can be seen, with a sentence for those who do not look. */
  constructor(mesh: Mesh, changed: (news?: string) => void) {
    this.#mesh = mesh
    this.#changed = changed
    mesh.on('proposal', ({ proposal, asked }) => {
      this.#note(proposal.id)
      this.#changed(asked ? `You are asked to vote: ${proposal.title}` : `Proposed: ${proposal.title}`)
    })
    mesh.on('vote', () => changed())
    mesh.on('decided', ({ result }) => this.#decided(result))
    mesh.on('no-quorum', ({ id }) => {
      this.#note(id).stalled = true
      this.#changed('Too few voters can be reached to decide')
    })
    mesh.on('electorate', () => void this.#count())
    mesh.on('store-failed', () => {
      this.silenced = true
      this.#changed('This page votes no more')
    })
  }

  async begin(): Promise<void> {
    for (const { id } of this.#mesh.consensus.pending) this.#note(id)
    await this.#count()
    void this.#recall()
  }

  /** Stops looking at the clock. */
  close(): void {
    clearInterval(this.#timer)
  }

  /** What is open, the latest first. */
  open(now = Date.now()): Open[] {
    const pending = [...this.#mesh.consensus.pending].reverse()
    return pending.map(proposal => {
      const { heardAt, stalled, voting } = this.#note(proposal.id)
      return { ...proposal, stalled, voting, leftMs: Math.max(0, beginning(proposal, heardAt) + proposal.windowMs - now) }
    })
  }

  /** How many proposals wait for this page's vote. */
  get asked(): number {
    return this.#mesh.consensus.pending.filter(({ asked }) => asked).length
  }

  /** Proposes something. Resolves when it is decided, or known to be open for long. */
  async propose(title: string, windowMs: number): Promise<void> {
    try {
      await this.#mesh.consensus.propose({ kind: 'question', title }, { windowMs })
    } catch (error) {
      // Both are seen otherwise: at the proposal, and by the page being left.
      if (!MeshError.isInstance(error) || !['no-quorum', 'closed'].includes(error.code)) throw error
    }
  }

  async vote(id: string, vote: Vote, reason: string): Promise<void> {
    const notes = this.#note(id)
    notes.voting = true
    this.#changed()
    try {
      await this.#mesh.consensus.vote(id, vote, { reason })
    } finally {
      notes.voting = false
    }
  }

  /** Makes voters of these nodes, and of nobody else. */
  async elect(peerIds: readonly string[]): Promise<void> {
    await this.#mesh.consensus.elect(peerIds)
    await this.#count()
  }

  /** The file that proves a decision to anybody. */
  certificate({ id }: Ended): Promise<Uint8Array> {
    return this.#mesh.consensus.proof(id)
  }

  async check(ended: Ended): Promise<void> {
    ended.verdict = await check(await this.certificate(ended), this.#mesh.meshId, ended.id)
    this.#changed(ended.verdict.text)
  }

  async checkFile(file: File): Promise<void> {
    const verdict = await checkFile(file, this.#mesh.meshId)
    this.checked = { name: clip(file.name, 100), verdict }
    this.#changed(verdict.text)
  }

  async #count(): Promise<void> {
    try {
      this.electorate = await this.#mesh.consensus.electorate()
    } catch {
      // Only while the mesh is being closed.
    }
    this.#changed()
  }

  #decided(result: ConsensusResult): void {
    this.#notes.delete(result.id)
    const ended = toEnded(result)
    if (!this.#add(ended)) return
    const { outcome, signers: _, ballots: __, ...seen } = ended
    rememberDecided(this.#mesh.meshId, seen, MAX_ENDED)
    this.#changed(`${outcome}: ${ended.title}`)
  }

  // What was decided before this page was loaded, as far as it is known here.
  async #recall(): Promise<void> {
    const seen = decidedBefore(this.#mesh.meshId, MAX_ENDED)
    const known = await Promise.allSettled(seen.map(({ id }) => this.#mesh.consensus.result(id, { timeoutMs: RECALL_MS })))
    const later = [...this.ended]
    this.ended.clear()
    known.forEach((one, i) => one.status === 'fulfilled' && this.#add({ ...toEnded(one.value), ...seen[i]! }))
    for (const ended of later) this.#add(ended)
    this.#changed()
  }

  // Whether it is new.
  #add(ended: Ended): boolean {
    const known = [...this.ended].some(({ id }) => id === ended.id)
    if (!known) this.ended.push(ended)
    return !known
  }

  // Notes of what is not open any more are given up here, so that there are never more than proposals and one.
  #note(id: string): Notes {
    const known = this.#notes.get(id)
    if (known) return known
    const open = new Set(this.#mesh.consensus.pending.map(pending => pending.id))
    for (const other of this.#notes.keys()) if (!open.has(other)) this.#notes.delete(other)
    const notes: Notes = { heardAt: Date.now(), stalled: false, voting: false }
    this.#notes.set(id, notes)
    this.#timer ??= setInterval(() => this.#notes.size > 0 && this.#changed(), TICK_MS)
    return notes
  }
}

// Who has not heard the proposal itself knows no more than its id.
function toEnded({ id, outcome, signers, ballots, votes, proposal }: ConsensusResult): Ended {
  const { title = `Proposal ${id.slice(0, 8)}…`, kind = '', author = '' } = proposal ?? {}
  return { id, outcome, signers, ballots, votes, title, kind, author, at: Date.now() }
}

// A page that comes in later has less time. Its author's clock is believed as far as it can be right.
function beginning({ proposedAt, windowMs }: PendingProposal, heardAt: number): number {
  return proposedAt > heardAt - windowMs && proposedAt < heardAt ? proposedAt : heardAt
}
