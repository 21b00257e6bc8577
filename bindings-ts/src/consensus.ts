import { decodeValue, encodeValue } from './codec.js'
import type { Core } from './core.js'
import { MeshError, invalid } from './errors.js'
import type { EventHub } from './hub.js'
import { Lease, checkLease, type AcquireOptions, type LeaseState } from './leases.js'
import { checkCall, checkCallback, checkMs, checkName, checkText, type CallOptions } from './options.js'
import { mapped } from './stream.js'
import type { DecisionInfo, OpenProposal } from './generated/mesh_wasm.js'

/** What a voter thinks of a proposal. */
export type Vote = 'approve' | 'reject' | 'abstain'

/** What is to be decided: any object. All of it goes to the voters. */
export interface CoordinationProposal {
  /** What sort of proposal it is, for voters to decide by, at most 64 bytes. Default: `action` or `type` if that is a text, else `'proposal'`. */
  readonly kind?: string | undefined
  /** One line for people, at most 256 bytes. Default: the kind. */
  readonly title?: string | undefined
  readonly [key: string]: unknown
}

/** How to propose. */
export interface ProposeOptions extends CallOptions {
  /** Milliseconds that voters have, from when they hear of it: 500 to a day. Default 30,000, or 5,000 when it is `simple`. */
  windowMs?: number | undefined
  /** Whether voters can decide at once, as policies do. */
  simple?: boolean | undefined
}

/** A proposal that voters decide about. */
export interface Proposal<T = CoordinationProposal> {
  /** Its id: the hash of the slot that it is decided in, in hex. */
  readonly id: string
  /** The peer id of whoever made it. */
  readonly author: string
  /** What sort of proposal it is. */
  readonly kind: string
  /** One line for people. */
  readonly title: string
  /** What was proposed. Comes from somebody else: check it before you rely on its shape. */
  readonly proposal: T
  /** Milliseconds that voters have, from when they hear of it. */
  readonly windowMs: number
  /** When it was made, by its author's clock: unix milliseconds. */
  readonly proposedAt: number
}

/** What one voter has said. */
export interface Ballot {
  /** The peer id of the voter. */
  readonly peerId: string
  /** What it thinks. */
  readonly vote: Vote
  /** Why, as far as it has said so. */
  readonly reason: string
}

/** Ballots, counted. */
export interface VoteCount {
  /** For the proposal. */
  readonly approve: number
  /** Against it. */
  readonly reject: number
  /** Neither. */
  readonly abstain: number
  /** Voters that were not heard. */
  readonly missing: number
}

/** How a proposal has ended: the same at every node. */
export interface ConsensusResult<T = CoordinationProposal> {
  /** The proposal's id. */
  readonly id: string
  /** Whether a quorum is for it: more than two thirds of all voters. */
  readonly approved: boolean
  /** `rejected` when so many are against it that no quorum is left, `lapsed` when time was over. */
  readonly outcome: 'approved' | 'rejected' | 'lapsed'
  /** What was proposed, if this node has heard it. */
  readonly proposal?: Proposal<T>
  /** The ballots that this node had heard by then, counted. */
  readonly votes: VoteCount
  /** Each of them. */
  readonly ballots: readonly Ballot[]
  /** Proves the outcome to anybody, without the network: {@link verifyDecision}. */
  readonly certificate: Uint8Array
  /** The epoch whose voters decided. */
  readonly epoch: number
  /** Voters who have signed. */
  readonly signers: number
}

/** A proposal that is open, and the votes so far. */
export interface PendingProposal extends Proposal {
  /** Whether this node is expected to vote. */
  readonly asked: boolean
  /** What was heard so far. */
  readonly ballots: readonly Ballot[]
}

/** Who votes in this mesh. */
export interface Electorate {
  /** Which list of voters it is: 0 is that of the charter. */
  readonly epoch: number
  /** The peer ids of the voters. */
  readonly voters: readonly string[]
  /** Whether this node votes. */
  readonly votes: boolean
  /** Whether this node may say who votes: {@link Consensus.elect}. */
  readonly founder: boolean
  /** The key that signs this node's votes; absent without a store. */
  readonly votingKey?: string
}

/** What a policy says of a proposal; nothing leaves it to others who vote for this node. */
export type PolicyVote = Vote | { readonly vote: Vote; readonly reason?: string | undefined } | undefined | void

/** Votes for this node: called with every proposal that it is expected to vote on. */
export type Policy = (proposal: Proposal) => PolicyVote | Promise<PolicyVote>

const WINDOW_MS = 30_000
const SIMPLE_WINDOW_MS = 5_000
const MIN_WINDOW_MS = 500
const MAX_WINDOW_MS = 24 * 60 * 60 * 1000
// Bounds of the wire format, checked here too so that the message can name what is too long.
const MAX_PROPOSAL = 32 * 1024
const MAX_KIND = 64
const MAX_TITLE = 256
const MAX_REASON = 256
// As many as a hundred voters may have open.
const MAX_PENDING = 400

/** Deciding together: {@link Mesh.consensus}. Only in a mesh with a charter anybody has a vote. */
export class Consensus {
  readonly #core: Core
  readonly #hub: EventHub
  readonly #pending = new Map<string, PendingProposal>()
  #policy: Policy | undefined

  /** @internal */
  constructor(core: Core, hub: EventHub) {
    this.#core = core
    this.#hub = hub
  }

  /**
   * Proposes something, and resolves when it is decided: {@link ConsensusResult} says how. More than two thirds of *all* voters
   * have to be for it, whoever is online. This node approves its own proposals.
   *
   * @throws MeshError `no-quorum` when too few voters can be reached within the window; the proposal stays open, and
   * {@link Consensus.result} waits on with `details.id`. `not-a-voter`, `over-quota` when too many of this node's proposals
   * are open, `too-large`, `invalid-argument`, `store-failed`
   * @example
   * ```ts
   * const { approved, votes } = await mesh.consensus.propose({ action: 'spawn-agent', type: 'researcher' }, { simple: true })
   * ```
   */
  async propose<T extends object>(proposal: T & CoordinationProposal, options: ProposeOptions = {}): Promise<ConsensusResult<T>> {
    checkCall(options)
    const prepared = prepare(proposal, options)
    const id = await this.#core.call(options, node => node.propose(prepared))
    return this.result<T>(id, options)
  }

  /**
   * How a proposal ends, or has ended: at once if that is known, else when it is. After this node was restarted, or with a
   * proposal of somebody else, as well.
   *
   * @param id the proposal's id
   * @throws MeshError `no-quorum` when too few voters can be reached within the window, `timeout`
   * @example
   * ```ts
   * const { outcome } = await mesh.consensus.result(proposal.id, { timeoutMs: 60_000 })
   * ```
   */
  async result<T = CoordinationProposal>(id: string, options: CallOptions = {}): Promise<ConsensusResult<T>> {
    checkCall(options)
    const decision = await this.#ending(id, options)
    return toResult<T>(decision)
  }

  /**
   * Votes on a proposal that is open, once. Resolves when this node has taken the vote, which leaves when the store has it.
   *
   * @param id the proposal's id
   * @throws MeshError `not-a-voter`, `already-voted`, `lapsed`, `already-decided`, `unknown-proposal`, `store-failed`
   * @example
   * ```ts
   * mesh.on('proposal', ({ proposal, asked }) => asked && mesh.consensus.vote(proposal.id, 'approve', { reason: 'cheap' }))
   * ```
   */
  async vote(id: string, vote: Vote, options: CallOptions & { reason?: string | undefined } = {}): Promise<void> {
    checkCall(options)
    const { reason = '' } = options
    checkVote(vote)
    checkText('reason', reason, MAX_REASON)
    await this.#core.call(options, node => node.vote(id, vote, reason))
    const pending = this.#pending.get(id)
    if (pending) this.#pending.set(id, { ...pending, asked: false })
  }

  /**
   * Proposals on which this node is expected to vote, as they come in, from now on: first those that are open already.
   *
   * @example
   * ```ts
   * for await (const { id, kind } of mesh.consensus.proposals()) {
   *   await mesh.consensus.vote(id, kind === 'spawn-agent' ? 'approve' : 'abstain')
   * }
   * ```
   */
  proposals(options: { signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<Proposal> {
    this.#core.checkOpen()
    checkCall({ signal: options.signal })
    const stream = this.#hub.stream('proposal', { accepts: event => event.asked, signal: options.signal })
    for (const { asked, ballots: _, ...proposal } of this.#pending.values()) {
      if (asked) stream.push({ type: 'proposal', proposal, asked })
    }
    return mapped(stream, event => event.proposal)
  }

  /** Proposals that are open, and their votes so far, oldest first. */
  get pending(): readonly PendingProposal[] {
    return [...this.#pending.values()]
  }

  /**
   * Lets a function vote for this node, also on what is open already. What it throws becomes an `error` event, and it has
   * then not voted; a vote that comes too late does nothing. `undefined` takes it away.
   *
   * @example
   * ```ts
   * mesh.consensus.setPolicy(({ kind }) => (kind === 'spawn-agent' ? 'approve' : { vote: 'reject', reason: 'unknown kind' }))
   * ```
   */
  setPolicy(policy: Policy | undefined): void {
    checkCallback('policy', policy)
    this.#policy = policy
    for (const pending of this.pending) if (pending.asked) this.#consult(pending)
  }

  /**
   * Who votes.
   *
   * @throws MeshError `not-a-voter` in a mesh without a charter, where nobody does
   * @example
   * ```ts
   * const { voters, votes } = await mesh.consensus.electorate()
   * ```
   */
  async electorate(options: CallOptions = {}): Promise<Electorate> {
    checkCall(options)
    const info = await this.#core.call(options, node => node.electorate())
    if (!info) throw new MeshError('not-a-voter', 'this mesh is an open one without a charter: nobody in it has a vote. createCharter() makes one')
    const { epoch, voters, votes, founder, votingKey } = info
    return { epoch, voters: voters.map(voter => voter.peerId), votes, founder, ...(votingKey !== undefined && { votingKey }) }
  }

  /**
   * Says who votes from now on: begins the next epoch. For the founder that the charter names, if it is the only one that has
   * to sign. Proposals that are open are still decided by those who voted before.
   *
   * @param peerIds at most 100 nodes; each must be in the mesh with a store, or vote already
   * @returns the new epoch
   * @throws MeshError `not-a-founder`, `invalid-argument` when a node has announced no voting key
   * @example
   * ```ts
   * const { peers } = await mesh.health.topology()
   * await mesh.consensus.elect([mesh.peerId, ...peers.map(peer => peer.peerId)])
   * ```
   */
  async elect(peerIds: readonly string[], options: CallOptions = {}): Promise<number> {
    checkCall(options)
    if (!Array.isArray(peerIds) || peerIds.length === 0) throw invalid('peerIds must be a list of at least one peer id')
    return Number(await this.#core.call(options, node => node.elect([...new Set(peerIds as string[])])))
  }

  /**
   * A file that proves how a proposal or claim has ended to anybody: {@link verifyRecord}, or `mesh-relay verify`.
   *
   * @throws MeshError `unknown-proposal` when that is not remembered here
   * @example
   * ```ts
   * await writeFile('decision.cbor', await mesh.consensus.proof(result.id))
   * ```
   */
  async proof(id: string, options: CallOptions = {}): Promise<Uint8Array> {
    checkCall(options)
    const record = await this.#core.call(options, node => node.record(id))
    if (!record) throw new MeshError('unknown-proposal', `this node does not know how '${id}' has ended, or not any more`)
    return record
  }

  /**
   * The records of all electorates after the charter's, as {@link verifyDecision} takes them.
   *
   * @example
   * ```ts
   * const decision = await verifyDecision(result.certificate, charter, await mesh.consensus.chain())
   * ```
   */
  async chain(options: CallOptions = {}): Promise<Uint8Array[]> {
    checkCall(options)
    return this.#core.call(options, node => node.epochs())
  }

  /**
   * Gets something for this node alone, for a while: voters agree on who has it. What the lease protects must check its
   * {@link Lease.token}, see {@link FencingGuard}.
   *
   * @param resource its name, at most 256 bytes
   * @throws MeshError `held` by somebody else: `details.holder` has it for `details.leftMs` more. `no-quorum`, `lapsed` when voters
   * could not agree in time, `not-a-voter`
   * @example
   * ```ts
   * await using lease = await mesh.consensus.acquire('gpu/0', { lengthMs: 60_000 })
   * await train({ token: lease.token, signal: lease.signal })
   * ```
   */
  async acquire(resource: string, options: AcquireOptions): Promise<Lease> {
    checkName('resource', resource, MAX_TITLE)
    const lengthMs = checkLease(options)
    const claim = async (options: CallOptions) => {
      const id = await this.#core.call(options, node => node.claim(resource, lengthMs))
      const { grant } = await this.#ending(id, options, 'Try again then')
      if (grant?.holder === undefined) throw new MeshError('lapsed', `voters could not agree on who gets '${resource}': try again`, { details: { id } })
      const state = await this.holder(resource, options)
      if (grant.holder !== this.#core.peerId) {
        const leftMs = state?.leftMs ?? 0
        throw new MeshError('held', `${grant.holder} holds '${resource}' for ${leftMs} ms more`, { details: { holder: grant.holder, leftMs } })
      }
      if (state?.holder !== this.#core.peerId) throw new MeshError('lapsed', `the lease of '${resource}' was over before it was granted`)
      return state
    }
    const release = () => this.#core.call({}, node => node.release(resource))
    return new Lease(resource, await claim(options), claim, release)
  }

  /**
   * Who holds a resource, by this node's clock; `undefined` if nobody does.
   *
   * @example
   * ```ts
   * const { holder, leftMs } = (await mesh.consensus.holder('gpu/0')) ?? {}
   * ```
   */
  async holder(resource: string, options: CallOptions = {}): Promise<LeaseState | undefined> {
    checkCall(options)
    checkName('resource', resource, MAX_TITLE)
    const lease = await this.#core.call(options, node => node.lease(resource))
    if (!lease) return undefined
    const { holder, epoch, seq, leftMs, stopInMs } = lease
    return { holder, token: { epoch, seq }, leftMs, stopInMs }
  }

  /** @internal A proposal is open. */
  opened(info: OpenProposal, isAsked: boolean): void {
    const proposal = toProposal(info)
    if (!proposal) return
    const pending = { ...proposal, asked: isAsked, ballots: [] }
    if (this.#pending.size === MAX_PENDING) this.#pending.delete(this.#pending.keys().next().value!)
    this.#pending.set(proposal.id, pending)
    this.#hub.emit({ type: 'proposal', proposal, asked: isAsked })
    if (isAsked) this.#consult(pending)
  }

  /** @internal A voter was heard. */
  voted(id: string, ballot: Ballot): void {
    const pending = this.#pending.get(id)
    if (pending) {
      const asked = pending.asked && ballot.peerId !== this.#core.peerId
      this.#pending.set(id, { ...pending, asked, ballots: [...pending.ballots, ballot] })
    }
    this.#hub.emit({ type: 'vote', id, ...ballot })
  }

  /** @internal A proposal or claim has ended. */
  ended(decision: DecisionInfo): void {
    this.#pending.delete(decision.id)
    if (decision.grant) {
      const { resource, holder, lengthMs } = decision.grant
      return this.#hub.emit({ type: 'granted', resource, ...(holder !== undefined && { holder }), lengthMs })
    }
    this.#hub.emit({ type: 'decided', result: toResult(decision) })
  }

  async #ending(id: string, options: CallOptions, next = `result('${id}') waits on`): Promise<DecisionInfo> {
    const decision = await this.#core.call(options, (node, signal) => node.ending(id, signal))
    if (decision) return decision
    const heard = this.#pending.get(id)?.ballots.length
    const voices = heard === undefined ? '' : ` (${heard} have been heard)`
    const message = `too few voters can be reached to decide${voices}. It stays open until they are back. ${next}`
    throw new MeshError('no-quorum', message, { details: { id } })
  }

  #consult(pending: PendingProposal): void {
    const policy = this.#policy
    if (!policy) return
    this.#hub.guard(async () => {
      const said = await policy(pending)
      if (said === undefined) return
      const { vote, reason } = typeof said === 'string' ? { vote: said, reason: undefined } : said
      await this.vote(pending.id, vote, { reason }).catch(error => {
        if (!isLate(error)) throw error
      })
    })
  }
}

// Others were faster than the policy, which is no mistake of it.
function isLate(error: unknown): boolean {
  return MeshError.isInstance(error) && ['already-decided', 'lapsed', 'already-voted', 'closed'].includes(error.code)
}

function prepare(proposal: CoordinationProposal, options: ProposeOptions) {
  if (typeof proposal !== 'object' || proposal === null || Array.isArray(proposal)) throw invalid('a proposal must be an object')
  const { simple = false, windowMs = simple ? SIMPLE_WINDOW_MS : WINDOW_MS } = options
  if (typeof simple !== 'boolean') throw invalid('simple must be true or false')
  checkMs('windowMs', windowMs)
  if (windowMs < MIN_WINDOW_MS || windowMs > MAX_WINDOW_MS) throw invalid(`windowMs must be from ${MIN_WINDOW_MS} to ${MAX_WINDOW_MS}`)
  const { action, type } = proposal
  const kind = proposal.kind ?? [action, type].find(text => typeof text === 'string') ?? 'proposal'
  const title = proposal.title ?? kind
  checkText('kind', kind, MAX_KIND)
  checkText('title', title, MAX_TITLE)
  return { kind, title, body: encodeValue('the proposal', proposal, MAX_PROPOSAL), windowMs }
}

function checkVote(vote: unknown): void {
  if (vote !== 'approve' && vote !== 'reject' && vote !== 'abstain') throw invalid("a vote must be 'approve', 'reject' or 'abstain'")
}

/** @internal What another node has proposed; nothing when its bytes are no value. */
export function toProposal<T = CoordinationProposal>(info: OpenProposal): Proposal<T> | undefined {
  const { id, author, kind, title, body, windowMs, proposedAt } = info
  try {
    const proposal = decodeValue(body, MAX_PROPOSAL) as T
    if (typeof proposal !== 'object' || proposal === null) return undefined
    return { id, author, kind, title, proposal, windowMs, proposedAt }
  } catch {
    return undefined
  }
}

function toResult<T>(decision: DecisionInfo): ConsensusResult<T> {
  const { id, outcome, certificate, epoch, signers, votes, ballots } = decision
  if (outcome === 'granted') throw invalid(`'${id}' is a claim, not a proposal`)
  const proposal = decision.proposal && toProposal<T>(decision.proposal)
  const approved = outcome === 'approved'
  return { id, approved, outcome, ...(proposal && { proposal }), votes, ballots, certificate, epoch, signers }
}
