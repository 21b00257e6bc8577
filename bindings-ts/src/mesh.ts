/// <reference lib="esnext.disposable" preserve="true" />
import type { KnowledgeConfig } from './generated/mesh_wasm.js'
import { Agents, toAgentInfo } from './agents.js'
import { bounded } from './bounded.js'
import { createCharter, peerIdOf, readCharter } from './charter.js'
import { Consensus } from './consensus.js'
import { Core } from './core.js'
import { asyncDispose } from './dispose.js'
import { MeshError, invalid, isTrap, toMeshError } from './errors.js'
import type { MeshEvent, MeshEventTarget, MeshEventType, MeshListener } from './events.js'
import { Health } from './health.js'
import { EventHub } from './hub.js'
import { Knowledge } from './knowledge.js'
import { Members, inviteIn, readInvite, type InviteOptions } from './members.js'
import { Messages, type Receipt, type SendOptions } from './messages.js'
import {
  JOIN_TIMEOUT_MS,
  checkCall,
  checkJoin,
  type CallOptions,
  type CreateOptions,
  type Entry,
  type JoinConfig,
  type JoinOptions,
  type KnowledgeOptions,
} from './options.js'
import type { StoredIdentity } from './platform/platform.js'
import { pump } from './pump.js'
import { Stores } from './stores.js'
import { Swarm, type BroadcastOptions } from './swarm.js'
import { MeshNode, here, loadWasm, onTrap, prepareWebrtc, wasmFailed } from './wasm.js'
import { WeightsDesk } from './weights-desk.js'
import { Weights } from './weights.js'

/**
 * Joins a mesh: an open one by its name, so that everybody who gives the same name on the same relay is in it; a private one by an
 * invite, the link that {@link Members.createInvite} made; one with a charter, in which people vote, by the bytes of that, or of
 * the pass of {@link Members.issuePass}.
 *
 * Resolves when somebody has handed over the list of members and, if an `agent` is given, that is announced. Close the mesh
 * when you are done, or declare it with `await using`; in Node.js an open mesh keeps the process alive. An invite is used up by
 * the first node that joins with it; with `identity` and `store` that node comes in with it again, else it is a new one each time.
 *
 * @throws MeshError `relay-unreachable` when no relay answers in time, `peer-unreachable` when who has made the invite cannot be
 * reached, `invite-invalid` when it was used by somebody else, was revoked or is over, `not-a-member`, `invalid-argument`, `aborted`
 * @example
 * ```ts
 * const mesh = await joinMesh('lab', { relays: '/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…', agent: { id: 'ada' } })
 * mesh.on('message', ({ from, payload }) => console.log(from, payload))
 * await mesh.broadcast('hello')
 * ```
 */
export async function joinMesh(mesh: string | Uint8Array, options: JoinOptions = {}): Promise<Mesh> {
  return openMesh(await entryOf(mesh), options, new EventHub())
}

/**
 * Founds a mesh and joins it as its first member. It is private: others come in by {@link Mesh.createInvite}. The relay need not be
 * in it, for it only carries connections then; one that is in it, by an invite of its own, lets members find each other while
 * this node is away.
 *
 * The same `identity` and name found the same mesh again: keep the identity, and give a `store`, or nobody can be let in any more
 * when this node is gone.
 *
 * @throws MeshError `relay-unreachable` when no relay answers in time, `invalid-argument`, `in-use`, `aborted`
 * @example
 * ```ts
 * const mesh = await createMesh('lab', { relays: '/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…' })
 * console.log('come in:', await mesh.createInvite({ link: 'https://lab.example/' }))
 * ```
 */
export async function createMesh(name: string, options: CreateOptions): Promise<Mesh> {
  const { open = false, ...join } = options ?? {}
  if (typeof open !== 'boolean') throw invalid('open must be true or false')
  return openMesh({ by: 'founding', name, open }, options && join, new EventHub())
}

/**
 * Makes an identity: 32 random bytes, the seed of an Ed25519 key. Keep them secret and give them to {@link joinMesh} to be
 * the same node, with the same peer id, next time.
 *
 * @example
 * ```ts
 * const identity = generateIdentity()
 * await writeFile('identity.key', identity, { mode: 0o600 })
 * ```
 */
export function generateIdentity(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(32))
}

/** A mesh that was joined, seen from one node: what {@link joinMesh} gives. */
export class Mesh implements MeshEventTarget {
  /** This node's peer id. */
  readonly peerId: string
  /** The mesh's id: a hash, in hex, of its name or charter. */
  readonly meshId: string
  /** Where it listens itself, ready to be given to others as a relay's address would be: {@link JoinOptions.listen}. */
  readonly listening: readonly string[]
  /** The mesh's name. */
  readonly name: string
  /** Announce and find agents. */
  readonly agents: Agents
  /** Direct messages. */
  readonly messages: Messages
  /** Broadcasts. */
  readonly swarm: Swarm
  /** Model weights. */
  readonly weights: Weights
  /** Topology and metrics. */
  readonly health: Health
  /** Deciding together. */
  readonly consensus: Consensus
  /** Who is in. */
  readonly members: Members
  /** What all know. */
  readonly knowledge: Knowledge
  /** @internal Set when it is closed: until its store and identity are free for another one. */
  releasing: Promise<void> | undefined
  readonly #core: Core
  readonly #hub: EventHub
  readonly #pumped: Promise<void>

  /** @internal */
  constructor(name: string, core: Core, hub: EventHub, config: Pick<JoinConfig, 'maxIncomingWeights' | 'relays'>) {
    const desk = new WeightsDesk(core, hub, config.maxIncomingWeights)
    const forgetTraps = onTrap(cause => core.suspect(cause))
    core.onClosing = () => hub.discardMessages()
    core.onEnd = error => {
      forgetTraps()
      hub.end(error)
      if (error && isTrap(error.cause)) wasmFailed(error)
    }
    this.name = name
    this.peerId = core.peerId
    this.meshId = core.meshId
    this.listening = core.listening
    this.agents = new Agents(core)
    this.messages = new Messages(core, hub)
    this.swarm = new Swarm(core, hub)
    this.weights = new Weights(core, hub, desk)
    this.health = new Health(core)
    this.consensus = new Consensus(core, hub)
    this.members = new Members(core, config.relays)
    this.knowledge = new Knowledge(core, hub)
    this.#core = core
    this.#hub = hub
    this.#pumped = pump(core, hub, desk, this.consensus, this.knowledge)
  }

  /** Whether there is a connection to a relay or a peer. */
  get connected(): boolean {
    return this.#core.open && this.#core.links.size > 0
  }

  /**
   * Calls `listener` with each event of a type, until the returned function or {@link Mesh.off} is called.
   *
   * @example
   * ```ts
   * mesh.on('message', ({ from, payload }) => console.log(from, payload))
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
   * mesh.once('closed', ({ error }) => console.log('left the mesh', error?.message ?? ''))
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
   * mesh.off('message', show)
   * ```
   */
  off<K extends MeshEventType>(type: K, listener: MeshListener<K>): void {
    this.#hub.off(type, listener)
  }

  /**
   * All events as they happen, from now on. It counts as a reader of direct messages and weights, as a listener for each
   * would. A loop that lags more than 1,024 events behind loses the oldest, except direct messages that nobody else has
   * had; the next event is then `lagged`. Ends after `closed`.
   *
   * @example
   * ```ts
   * for await (const event of mesh.events()) {
   *   if (event.type === 'agent-joined') console.log(event.agent.id)
   * }
   * ```
   */
  events(options: { signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<MeshEvent> {
    this.#core.checkOpen()
    checkCall({ signal: options.signal })
    return this.#hub.stream(undefined, { signal: options.signal })
  }

  /**
   * Says something to everybody in the mesh: {@link Swarm.broadcast}.
   *
   * @example
   * ```ts
   * await mesh.broadcast('hello')
   * ```
   */
  async broadcast(payload: unknown, options?: BroadcastOptions): Promise<void> {
    return this.swarm.broadcast(payload, options)
  }

  /**
   * Sends a message to an agent or node: {@link Messages.send}.
   *
   * @example
   * ```ts
   * await mesh.send('ada', { task: 'digits' })
   * ```
   */
  async send(to: string, payload: unknown, options?: SendOptions): Promise<Receipt> {
    return this.messages.send(to, payload, options)
  }

  /**
   * Makes an invite to this private mesh, for one node: {@link Members.createInvite}.
   *
   * @example
   * ```ts
   * const link = await mesh.createInvite()
   * const other = await joinMesh(link)
   * ```
   */
  async createInvite(options?: InviteOptions): Promise<string> {
    return this.members.createInvite(options)
  }

  /**
   * Tells the mesh that this host may have been asleep, or on another network: links that do not show within seconds
   * that they are alive are made anew, and what waits for its next try is tried now. Pages do this by themselves.
   *
   * @example
   * ```ts
   * powerMonitor.on('resume', () => mesh.wake()) // Electron
   * ```
   */
  async wake(options: CallOptions = {}): Promise<void> {
    checkCall(options)
    return this.#core.call(options, node => node.wake())
  }

  /**
   * Says goodbye to the mesh and ends everything: calls reject with code `closed`, iterations end, messages that were not
   * read are not acknowledged. Waits at most 5,000 ms, or `timeoutMs`, for the goodbye. Closing twice does no harm.
   *
   * @example
   * ```ts
   * await mesh.close()
   * ```
   */
  async close(options: CallOptions = {}): Promise<void> {
    checkCall(options)
    await this.#core.close(options, this.#pumped)
    await this.releasing
  }

  /**
   * Closes the mesh at the end of the block that declares it.
   *
   * @example
   * ```ts
   * await using mesh = await joinMesh('lab', { relays })
   * ```
   */
  async [asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** @internal Joins with a hub that listeners may be attached to already. */
export async function openMesh(entry: Entry, options: JoinOptions, hub: EventHub): Promise<Mesh> {
  const { name } = entry
  const config = checkJoin(entry, options)
  const { signal, timeoutMs = JOIN_TIMEOUT_MS, agent } = options
  if (agent !== undefined) toAgentInfo(agent)
  if (config.mdns && here()?.answerMdns === undefined) throw invalid('mdns is for Node.js: here is nothing that could listen for others')
  const { node, alone, release } = await openNode(config, { signal, timeoutMs })
  const mesh = new Mesh(name, new Core(node), hub, entry.by === 'invite' ? { ...config, relays: [...config.relays, ...entry.relays] } : config)
  const leave = () => void mesh.close()
  const unwatch = here()?.watchLife?.({ wake: () => void mesh.wake().catch(() => {}), leave })
  const hush = config.mdns ? here()?.answerMdns?.(mesh.listening) : undefined
  mesh.on('closed', () => {
    unwatch?.()
    hush?.()
    mesh.releasing = release()
  })
  try {
    await joined(mesh, config, alone, { signal, timeoutMs })
    if (agent !== undefined) await mesh.agents.announce(agent, { signal, timeoutMs })
    return mesh
  } catch (error) {
    // The caller is told at once; the goodbye goes on behind.
    leave()
    throw error
  }
}

/** @internal How a node comes into a mesh that it is given as that. */
export async function entryOf(mesh: string | Uint8Array): Promise<Entry> {
  if (typeof mesh === 'string') {
    const invite = inviteIn(mesh)
    if (!invite) return { by: 'name', name: mesh }
    const { name, relays } = await readInvite(mesh)
    return { by: 'invite', name, invite, relays }
  }
  if (!(mesh instanceof Uint8Array)) throw invalid('the mesh must be a name, an invite, or the bytes of a charter or pass')
  return { by: 'charter', name: (await readCharter(mesh)).name, charter: mesh }
}

// Bytes of content that are kept unless the caller says otherwise: programs have a disk, browsers a share of one.
const MAX_BYTES_NATIVE = 256 * 1024 * 1024
const MAX_BYTES = 64 * 1024 * 1024

// Whether a node that finds nobody has joined all the same: at once, when time is over, or not.
type Alone = 'at-once' | 'at-last' | 'never'

interface Opened {
  readonly node: MeshNode
  readonly alone: Alone
  // Gives up what the node held beside itself.
  readonly release: () => Promise<void>
}

function openNode(config: JoinConfig, { signal, timeoutMs }: CallOptions): Promise<Opened> {
  const onLate = ({ node, release }: Opened) => void node.close().catch(() => {}).then(release)
  const invited = config.invite && 'who has made the invite did not answer, or '
  const onTimeout = () => new MeshError('timeout', `${invited ?? ''}the wasm core did not start within ${timeoutMs} ms`)
  return bounded({ signal, timeoutMs, onTimeout, onLate }, () => open(config)).catch(error => {
    throw toMeshError(error)
  })
}

async function open(config: JoinConfig): Promise<Opened> {
  const { iceServers, identity, mdns: _, store: __, founding, knowledge, ...rest } = config
  const given = identity ?? (founding && crypto.getRandomValues(new Uint8Array(32)))
  const [kept, traits] = await Promise.all([
    given === 'stored' ? storedIdentity(config.mesh) : { identity: given, release: () => {} },
    iceServers && prepareWebrtc(),
    loadWasm(),
  ])
  let stores: Stores | undefined
  const release = async () => {
    await stores?.close()
    kept.release()
  }
  try {
    stores = await Stores.of(config, kept.identity)
    const charter = founding ? await createCharter({ name: config.mesh, founders: await peerIdOf(kept.identity!), ...founding }) : config.charter
    const nodeConfig = {
      ...rest,
      ...(charter && { charter }),
      ...(kept.identity && { identity: kept.identity }),
      ...(iceServers && traits && { webrtc: { iceServers, ...traits } }),
      knowledge: toKnowledgeConfig(knowledge),
    }
    const node = await MeshNode.open(nodeConfig, stores.store, stores.blocks)
    const alone = charter || config.invite ? await aloneOf(node) : 'never'
    return { node, alone, release }
  } catch (error) {
    await release()
    throw stores?.failure ?? error
  }
}

function toKnowledgeConfig({ maxBytes, hold = true, zone = '', domains }: KnowledgeOptions = {}): KnowledgeConfig {
  const native = here()?.native ?? false
  return { maxBytes: maxBytes ?? (native ? MAX_BYTES_NATIVE : MAX_BYTES), holds: hold, native, zone, ...(domains && { domains: [...domains] }) }
}

// Whoever founds a private mesh is the first there, and relays that are not in it know nobody.
async function aloneOf(node: MeshNode): Promise<Alone> {
  const { open, founder } = await node.membership()
  if (open) return 'never'
  return founder ? 'at-once' : 'at-last'
}

function storedIdentity(mesh: string): Promise<StoredIdentity> {
  const stored = here()?.storedIdentity
  if (stored) return stored(mesh)
  throw invalid("identity: 'stored' is for browsers. Keep the bytes of generateIdentity() in a file, and give them as identity")
}

async function joined(mesh: Mesh, config: JoinConfig, alone: Alone, { signal, timeoutMs }: CallOptions): Promise<void> {
  if (alone === 'at-once' && config.relays.length === 0) return
  const closed = new MeshError('closed', 'the mesh was closed before it was joined')
  let relays = 0
  const stops: (() => void)[] = []
  const onTimeout = () => unreachable(config, timeoutMs, relays > 0)
  try {
    await bounded({ signal, timeoutMs, onTimeout }, () => {
      return new Promise<void>((resolve, reject) => {
        stops.push(
          mesh.on('joined', () => resolve()),
          mesh.on('relay-connected', () => {
            relays++
            if (alone === 'at-once') resolve()
          }),
          mesh.on('closed', ({ error }) => reject(error ?? closed)),
        )
      })
    })
  } catch (error) {
    if (alone === 'at-last' && relays > 0 && MeshError.isInstance(error) && error.code === 'relay-unreachable') return
    throw error
  } finally {
    for (const stop of stops) stop()
  }
}

function unreachable({ mesh, charter, invite, relays }: JoinConfig, timeoutMs: number | undefined, connected: boolean): MeshError {
  const addresses = relays.join(', ')
  if (invite) {
    const message = `nobody of mesh '${mesh}' could be reached within ${timeoutMs} ms, and no relay. Check that the network is there`
    return new MeshError('relay-unreachable', message, { details: { relays, connected } })
  }
  const command = charter ? 'mesh-relay --charter FILE' : `mesh-relay --mesh ${mesh}`
  const message = connected
    ? `connected to a relay, but within ${timeoutMs} ms none handed over the members of mesh '${mesh}': ${addresses}. ` +
      `Check that the relay serves this mesh: ${command}`
    : `no relay answered within ${timeoutMs} ms: ${addresses}. Check that the relay runs (${command}), ` +
      'that this is the address it prints, and that it can be reached from here'
  return new MeshError('relay-unreachable', message, { details: { relays, connected } })
}
