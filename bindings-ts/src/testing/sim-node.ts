import type { AgentCriteria, AgentDescription, AnnouncedAgent, FindOptions, PeerAgent } from '../agents.js'
import { Core } from '../core.js'
import { MeshError } from '../errors.js'
import type { MeshEventTarget, MeshEventType, MeshListener } from '../events.js'
import type { MeshNode } from '../generated/mesh_wasm.js'
import type { SimWhat } from '../generated/mesh_sim.js'
import type { MeshMetrics, NetworkTopology } from '../health.js'
import { EventHub } from '../hub.js'
import { Mesh } from '../mesh.js'
import { openInbox, type InboxOptions, type Message, type SendOptions } from '../messages.js'
import type { CallOptions } from '../options.js'
import type { Broadcast, BroadcastOptions } from '../swarm.js'
import type { Engine } from './engine.js'
import { SimProcess } from './process.js'

/** What a node of a simulation was told, oldest first: at most the last 10,000 of each. */
export interface Received {
  /** Direct messages. */
  readonly messages: readonly Message[]
  /** Broadcasts of others. */
  readonly broadcasts: readonly Broadcast[]
}

const MAX_RECEIVED = 10_000
// What the goodbye needs to be on its way before the process ends.
const GOODBYE_MS = 150

/**
 * A node of a simulation: the methods of {@link P2PNeuralMeshService}, with the same results and errors, on the core that
 * real meshes run on.
 *
 * What takes time takes virtual time: such a promise resolves while {@link SimMesh.run} or {@link SimMesh.runUntil} runs,
 * and never before. `await sim.runUntil(node.discoverAgents())` does both. What a node is told is kept in
 * {@link SimNode.received}, so messages are acknowledged at once, whether or not anybody listens.
 */
export class SimNode implements MeshEventTarget {
  /** Its name in the simulation, `node1` for example. It keeps it for ever. */
  readonly id: string
  /** Whether it is a relay. */
  readonly relay: boolean
  /** @internal */
  readonly host: number
  readonly #engine: Engine
  readonly #hub = new EventHub()
  readonly #messages: Message[] = []
  readonly #broadcasts: Broadcast[] = []
  #process: SimProcess | undefined
  #core: Core | undefined
  #mesh: Mesh | undefined

  /** @internal */
  constructor(engine: Engine, host: number, id: string, relay: boolean) {
    this.#engine = engine
    this.host = host
    this.id = id
    this.relay = relay
    this.#hub.on('message', ({ type: _, ...message }) => keep(this.#messages, message))
    this.#hub.on('broadcast', ({ type: _, ...broadcast }) => keep(this.#broadcasts, broadcast))
    this.begin()
  }

  /** Its peer id. Another one after a restart without its store. */
  get peerId(): string {
    return this.#engine.call(world => world.peerId(this.host))
  }

  /** Whether its process runs: it has neither crashed nor left. */
  get running(): boolean {
    return this.#mesh !== undefined
  }

  /**
   * The mesh as this node has joined it, to be given to code that is written for one; `undefined` while it does not run.
   * Weights are not simulated: sharing them fails with code `refused`.
   */
  get mesh(): Mesh | undefined {
    return this.#mesh
  }

  /** What it was told since the simulation began. */
  get received(): Received {
    return { messages: this.#messages, broadcasts: this.#broadcasts }
  }

  /**
   * All agents that this node knows at the moment, its own included. Takes no virtual time.
   *
   * @example
   * ```ts
   * const names = (await node.agents()).map(agent => agent.name)
   * ```
   */
  async agents(options?: CallOptions): Promise<PeerAgent[]> {
    return this.#running().agents.list(options)
  }

  /**
   * Makes an agent of this node known to the mesh. Takes no virtual time; that others hear of it does.
   *
   * @throws MeshError `invalid-argument`, `too-large`
   * @example
   * ```ts
   * await node.announceAgent({ id: 'ada', capabilities: ['digits'] })
   * ```
   */
  async announceAgent<T extends AnnouncedAgent>(agent: T & Partial<AgentDescription>, options?: CallOptions): Promise<void> {
    await this.#running().agents.announce(agent, options)
  }

  /**
   * Finds agents of other nodes, in virtual time: {@link Agents.find}.
   *
   * @example
   * ```ts
   * const coders = await sim.runUntil(node.discoverAgents({ type: 'coder' }))
   * ```
   */
  async discoverAgents(criteria: AgentCriteria = {}, options?: FindOptions): Promise<PeerAgent[]> {
    return this.#running().agents.find(criteria, options)
  }

  /**
   * Sends a message and waits, in virtual time, until the receiver has it: {@link Messages.send}.
   *
   * @param targetAgentId an agent's name, its address `name@peerId`, or a peer id
   * @throws MeshError `unknown-agent`, `ambiguous-agent`, `peer-unreachable`, `timeout`, `too-large`, `invalid-argument`
   * @example
   * ```ts
   * await sim.runUntil(node.sendDirectMessage('ada', { task: 'digits' }))
   * ```
   */
  async sendDirectMessage(targetAgentId: string, message: unknown, options?: SendOptions): Promise<void> {
    await this.#running().messages.send(targetAgentId, message, options)
  }

  /**
   * Says something to everybody in the mesh but itself. Takes no virtual time; that others hear it does.
   *
   * @example
   * ```ts
   * await node.broadcastToSwarm({ loss: 0.12 }, { topic: 'training' })
   * ```
   */
  async broadcastToSwarm(message: unknown, options?: BroadcastOptions): Promise<void> {
    return this.#running().swarm.broadcast(message, options)
  }

  /**
   * Who is there, and how this node is connected to them.
   *
   * @example
   * ```ts
   * const { peers } = await node.getNetworkTopology()
   * ```
   */
  async getNetworkTopology(options?: CallOptions): Promise<NetworkTopology> {
    return this.#running().health.topology(options)
  }

  /**
   * Counters of this node.
   *
   * @example
   * ```ts
   * const { messagesSent } = await node.getMeshMetrics()
   * ```
   */
  async getMeshMetrics(options?: CallOptions): Promise<MeshMetrics> {
    return this.#running().health.metrics(options)
  }

  /**
   * Whether it runs and has a connection to a relay or a peer.
   *
   * @example
   * ```ts
   * assert.ok(node.isConnected())
   * ```
   */
  isConnected(): boolean {
    return this.#mesh?.connected ?? false
  }

  /**
   * Calls `listener` with each event of a type, at the virtual time at which it happens; also after a restart.
   *
   * @example
   * ```ts
   * node.on('message', ({ from, payload }) => node.sendDirectMessage(from, { got: payload }))
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
   * node.once('peer-suspected', ({ peerId }) => console.log(sim.now, peerId))
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
   * node.off('agent-joined', show)
   * ```
   */
  off<K extends MeshEventType>(type: K, listener: MeshListener<K>): void {
    this.#hub.off(type, listener)
  }

  /**
   * Messages as they come in, from now on. Ends when the node crashes or leaves.
   *
   * @example
   * ```ts
   * for await (const { from, payload } of node.inbox()) console.log(from, payload)
   * ```
   */
  inbox<T = unknown>(options: InboxOptions = {}): AsyncIterableIterator<Message<T>> {
    return openInbox<T>(this.#hub, options)
  }

  /** @internal Its process has been started. */
  begin(): void {
    const process = new SimProcess(this.#engine, this.host, () => this.#leave())
    this.#process = process
    this.#core = new Core(process as Omit<MeshNode, typeof Symbol.dispose> as MeshNode)
    this.#mesh = new Mesh('simulation', this.#core, this.#hub, { maxIncomingWeights: 0, relays: [] })
  }

  /** @internal Its process has ended. */
  end(why: string): void {
    const mesh = this.#mesh
    if (this.#core) this.#core.whyClosed = why
    this.#process?.end(new MeshError('closed', why))
    this.#process = this.#core = this.#mesh = undefined
    void mesh?.close()
  }

  /** @internal */
  tell(what: SimWhat): void {
    this.#process?.tell(what)
  }

  // It has said goodbye by itself.
  #leave(): void {
    this.#process = this.#core = this.#mesh = undefined
    const end = () => {
      if (!this.running) this.#engine.call(world => world.crash(this.host, false))
    }
    void this.#engine.sleep(GOODBYE_MS).then(end).catch(() => {})
  }

  #running(): Mesh {
    if (this.#mesh) return this.#mesh
    throw new MeshError('closed', `${this.id} does not run: sim.restart('${this.id}') starts it`)
  }
}

function keep<T>(list: T[], item: T): void {
  list.push(item)
  if (list.length > MAX_RECEIVED) list.shift()
}
