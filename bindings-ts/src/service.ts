/// <reference lib="esnext.disposable" preserve="true" />
import type { AgentCriteria, AgentDescription, AnnouncedAgent, FindOptions, PeerAgent } from './agents.js'
import { bounded, follow } from './bounded.js'
import type { ConsensusResult, CoordinationProposal, ProposeOptions, Vote } from './consensus.js'
import { asyncDispose } from './dispose.js'
import { MeshError } from './errors.js'
import type { MeshEventTarget, MeshEventType, MeshListener } from './events.js'
import type { MeshMetrics, NetworkTopology } from './health.js'
import { EventHub } from './hub.js'
import type { KnowledgeEntry, ReadOptions } from './knowledge-entry.js'
import type { DomainOptions, PutOptions } from './knowledge-put.js'
import { bundleOf, type KnowledgeBundle, type KnowledgeMetadata } from './knowledge-store.js'
import type { KnowledgeSyncResult, SyncOptions } from './knowledge-sync.js'
import type { InviteOptions } from './members.js'
import { entryOf, openMesh, type Mesh } from './mesh.js'
import { openInbox, type InboxOptions, type Message, type SendOptions } from './messages.js'
import { checkCall, type CallOptions, type P2PMeshConfig } from './options.js'
import type { BroadcastOptions } from './swarm.js'
import {
  listenForWeights,
  type OnWeightsOptions,
  type ReceivedWeights,
  type SerializedWeights,
  type ShareOptions,
} from './weights.js'

/**
 * A mesh as a service that is made first and joined later. Listeners, inboxes and handlers can be attached before
 * {@link P2PNeuralMeshService.initialize} and stay attached when it is called again after
 * {@link P2PNeuralMeshService.shutdown}. All other methods reject with code `closed` while there is no mesh.
 *
 * @example
 * ```ts
 * const service = new P2PNeuralMeshService({ mesh: 'lab', relays: '/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…' })
 * service.on('message', ({ from, payload }) => console.log(from, payload))
 * await service.initialize()
 * await service.announceAgent({ id: 'ada', capabilities: ['digits'] })
 * ```
 */
export class P2PNeuralMeshService implements MeshEventTarget {
  readonly #config: P2PMeshConfig
  readonly #hub = new EventHub()
  #mesh: Mesh | undefined
  #joining: { mesh: Promise<Mesh>; abort: AbortController } | undefined

  /**
   * Takes the configuration; nothing happens until {@link P2PNeuralMeshService.initialize}, which also checks it.
   *
   * @example
   * ```ts
   * const service = new P2PNeuralMeshService({ mesh: 'lab', relays, agent: { id: 'ada' } })
   * ```
   */
  constructor(config: P2PMeshConfig) {
    this.#config = config
    // Attached first, so that other listeners for `closed` see a service that knows it.
    this.#hub.on('closed', () => {
      this.#mesh = undefined
    })
  }

  /** The mesh, for everything that this class has no method for; `undefined` while not joined. */
  get mesh(): Mesh | undefined {
    return this.#mesh
  }

  /**
   * Joins the mesh, as {@link joinMesh} does. Calls while it is being joined, or is joined, share one attempt; after a
   * failure it can be called again.
   *
   * @param options override `signal` and `timeoutMs` of the configuration
   * @throws MeshError `relay-unreachable`, `invalid-argument`, `aborted`
   * @example
   * ```ts
   * await service.initialize({ timeoutMs: 5000 })
   * ```
   */
  async initialize(options: CallOptions = {}): Promise<void> {
    checkCall(options)
    if (this.#mesh) return
    this.#joining ??= this.#join(options)
    // Each caller's signal ends its own waiting; the one that began the attempt ends the attempt.
    await bounded({ signal: options.signal }, () => this.#joining!.mesh)
  }

  /**
   * Makes an agent of this node known to the mesh; announcing the same `id` again replaces what was known of it. Any
   * object with an `id` will do, see {@link AnnouncedAgent}.
   *
   * @throws MeshError `invalid-argument`, `too-large`
   * @example
   * ```ts
   * await service.announceAgent({ id: 'ada', type: 'researcher', capabilities: ['digits'] })
   * ```
   */
  async announceAgent<T extends AnnouncedAgent>(agent: T & Partial<AgentDescription>, options?: CallOptions): Promise<void> {
    await this.#joined().agents.announce(agent, options)
  }

  /**
   * Finds agents of the mesh: {@link Agents.find}.
   *
   * @example
   * ```ts
   * const coders = await service.discoverAgents({ type: 'coder' })
   * ```
   */
  async discoverAgents(criteria: AgentCriteria = {}, options?: FindOptions): Promise<PeerAgent[]> {
    return this.#joined().agents.find(criteria, options)
  }

  /**
   * Sends a message and waits until the receiving application has it: {@link Messages.send}.
   *
   * @param targetAgentId an agent's name, its address `name@peerId`, or a peer id
   * @throws MeshError `unknown-agent`, `ambiguous-agent`, `peer-unreachable`, `timeout`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * await service.sendDirectMessage('ada', { task: 'digits' })
   * ```
   */
  async sendDirectMessage(targetAgentId: string, message: unknown, options?: SendOptions): Promise<void> {
    await this.#joined().messages.send(targetAgentId, message, options)
  }

  /**
   * Says something to everybody in the mesh but oneself: {@link Swarm.broadcast}.
   *
   * @example
   * ```ts
   * await service.broadcastToSwarm({ loss: 0.12 }, { topic: 'training' })
   * ```
   */
  async broadcastToSwarm(message: unknown, options?: BroadcastOptions): Promise<void> {
    return this.#joined().swarm.broadcast(message, options)
  }

  /**
   * Sends weights to all targets in parallel: {@link Weights.share}. Waits for all of them, also when some fail.
   *
   * @param targetPeers agents' names or addresses, or peer ids
   * @throws MeshError with the code of the first failure, a message that lists each target that failed, and
   *   `details: { delivered: string[], failures: { target, code, message }[] }`
   * @example
   * ```ts
   * const peers = await service.discoverAgents({ capabilities: ['digits'] })
   * await service.shareNeuralWeights(peers.map(peer => peer.id), { agentId: 'ada', data: safetensors })
   * ```
   */
  async shareNeuralWeights(
    targetPeers: readonly string[],
    weights: SerializedWeights,
    options?: ShareOptions,
  ): Promise<void> {
    await this.#joined().weights.shareAll(targetPeers, weights, options)
  }

  /**
   * Asks all peers that are connected for what they know of a domain, and gathers what is known of it then:
   * {@link Knowledge.sync}, {@link Knowledge.keys}. With nobody there it is what this node knows.
   *
   * @throws MeshError `invalid-argument`, `aborted`
   * @example
   * ```ts
   * const { entries } = await service.requestKnowledgeSync('results')
   * for (const entry of entries) console.log(entry.key, await entry.value())
   * ```
   */
  async requestKnowledgeSync<T = unknown>(domain: string, options?: SyncOptions): Promise<KnowledgeBundle<T>> {
    return bundleOf(this.#joined().knowledge, domain, options)
  }

  /**
   * Puts data under a key of a domain, `'shared'` by default: {@link Knowledge.put}.
   *
   * @returns the CID of the data
   * @throws MeshError `storage-full`, `not-a-writer`, `over-quota`, `not-a-member`, `store-failed`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * const cid = await service.storeKnowledge('digits', { accuracy: 0.95 }, { model: 'mlp' })
   * ```
   */
  async storeKnowledge(key: string, data: unknown, metadata?: KnowledgeMetadata, options?: Omit<PutOptions, 'metadata'>): Promise<string> {
    return (await this.#joined().knowledge.put(key, data, { ...options, metadata })).cid
  }

  /**
   * What a key of a domain stands for, `'shared'` by default; `null` if nothing: {@link Knowledge.get}.
   *
   * @throws MeshError `not-found`, `too-large`, `integrity`, `invalid-argument`
   * @example
   * ```ts
   * const { value, metadata } = (await service.retrieveKnowledge('digits')) ?? {}
   * ```
   */
  async retrieveKnowledge<T = unknown>(key: string, options?: ReadOptions & DomainOptions): Promise<KnowledgeEntry<T> | null> {
    return this.#joined().knowledge.get<T>(key, options)
  }

  /**
   * Compares a domain with peers, all that are connected by default, and exchanges what differs: {@link Knowledge.sync}.
   *
   * @throws MeshError `invalid-argument`, `aborted`; what fails with one peer is in `failures`
   * @example
   * ```ts
   * const { received } = await service.syncKnowledgeDomain('results', [ada.peerId])
   * ```
   */
  async syncKnowledgeDomain(domain: string, peers?: readonly string[], options?: SyncOptions): Promise<KnowledgeSyncResult> {
    return this.#joined().knowledge.sync(domain, peers, options)
  }

  /**
   * Proposes something to the voters, and resolves when it is decided: {@link Consensus.propose}.
   *
   * @throws MeshError `no-quorum`, `not-a-voter`, `over-quota`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * const { approved } = await service.proposeCoordination({ action: 'spawn-agent', type: 'researcher' }, { simple: true })
   * ```
   */
  async proposeCoordination<T extends object>(
    proposal: T & CoordinationProposal,
    options?: ProposeOptions,
  ): Promise<ConsensusResult<T>> {
    return this.#joined().consensus.propose(proposal, options)
  }

  /**
   * Votes on a proposal of others: {@link Consensus.vote}.
   *
   * @throws MeshError `already-voted`, `not-a-voter`, `lapsed`, `already-decided`, `unknown-proposal`
   * @example
   * ```ts
   * service.on('proposal', ({ proposal, asked }) => asked && service.voteOnProposal(proposal.id, 'approve'))
   * ```
   */
  async voteOnProposal(proposalId: string, vote: Vote, options?: CallOptions & { reason?: string | undefined }): Promise<void> {
    return this.#joined().consensus.vote(proposalId, vote, options)
  }

  /**
   * Who is there, and how this node is connected to them: {@link Health.topology}.
   *
   * @example
   * ```ts
   * const { peers } = await service.getNetworkTopology()
   * ```
   */
  async getNetworkTopology(options?: CallOptions): Promise<NetworkTopology> {
    return this.#joined().health.topology(options)
  }

  /**
   * Counters of this node: {@link Health.metrics}.
   *
   * @example
   * ```ts
   * const { messagesSent } = await service.getMeshMetrics()
   * ```
   */
  async getMeshMetrics(options?: CallOptions): Promise<MeshMetrics> {
    return this.#joined().health.metrics(options)
  }

  /**
   * Whether the mesh is joined and there is a connection to a relay or a peer.
   *
   * @example
   * ```ts
   * if (!service.isConnected()) await service.initialize()
   * ```
   */
  isConnected(): boolean {
    return this.#mesh?.connected ?? false
  }

  /**
   * Leaves the mesh: {@link Mesh.close}. Ends an attempt to join, too. Does nothing when there is no mesh.
   *
   * @example
   * ```ts
   * await service.shutdown()
   * ```
   */
  async shutdown(options?: CallOptions): Promise<void> {
    this.#joining?.abort.abort(new MeshError('closed', 'the service was shut down'))
    await this.#mesh?.close(options)
  }

  /**
   * Calls `listener` with each event of a type, until the returned function or {@link P2PNeuralMeshService.off} is called.
   *
   * @example
   * ```ts
   * service.on('agent-joined', ({ agent }) => console.log(agent.id))
   * ```
   */
  on<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void {
    return this.#hub.on(type, listener)
  }

  /**
   * Calls `listener` with the next event of a type only.
   *
   * @example
   * ```ts
   * service.once('joined', ({ agents }) => console.log(agents))
   * ```
   */
  once<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void {
    return this.#hub.once(type, listener)
  }

  /**
   * Takes a listener away again. Nothing happens when it is not there.
   *
   * @example
   * ```ts
   * service.off('agent-joined', show)
   * ```
   */
  off<K extends MeshEventType>(type: K, listener: MeshListener<K>): void {
    this.#hub.off(type, listener)
  }

  /**
   * Makes an invite to this private mesh, for one node: {@link Members.createInvite}.
   *
   * @example
   * ```ts
   * const link = await service.createInvite()
   * ```
   */
  async createInvite(options?: InviteOptions): Promise<string> {
    return this.#joined().createInvite(options)
  }

  /**
   * Messages as they come in: {@link Messages.inbox}. Ends when the mesh is left.
   *
   * @example
   * ```ts
   * for await (const { from, payload } of service.inbox()) console.log(from, payload)
   * ```
   */
  inbox<T = unknown>(options: InboxOptions = {}): AsyncIterableIterator<Message<T>> {
    return openInbox<T>(this.#hub, options)
  }

  /**
   * Calls `handler` with weights of others: {@link Weights.onWeights}.
   *
   * @example
   * ```ts
   * service.onWeights(({ agentId, data }) => merge(agentId, data))
   * ```
   */
  onWeights(handler: (weights: ReceivedWeights) => unknown, options: OnWeightsOptions = {}): () => void {
    return listenForWeights(this.#hub, handler, options)
  }

  /**
   * Leaves the mesh at the end of the block that declares the service.
   *
   * @example
   * ```ts
   * await using service = new P2PNeuralMeshService({ mesh: 'lab', relays })
   * ```
   */
  async [asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  #joined(): Mesh {
    if (this.#mesh) return this.#mesh
    throw new MeshError('closed', 'this P2PNeuralMeshService is not in a mesh: call and await initialize() first')
  }

  #join(options: CallOptions): { mesh: Promise<Mesh>; abort: AbortController } {
    const { mesh: which, ...config } = this.#config ?? {}
    const abort = new AbortController()
    const unlink = follow(abort, options.signal ?? config.signal)
    const timeoutMs = options.timeoutMs ?? config.timeoutMs
    const mesh = entryOf(which)
      .then(entry => openMesh(entry, { ...config, timeoutMs, signal: abort.signal }, this.#hub))
      .then(joined => (this.#mesh = joined))
      .finally(() => {
        unlink()
        this.#joining = undefined
      })
    return { mesh, abort }
  }
}
