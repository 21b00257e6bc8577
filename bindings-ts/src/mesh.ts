/// <reference lib="esnext.disposable" preserve="true" />
import { Agents, toAgentInfo } from './agents.js'
import { bounded } from './bounded.js'
import { peerIdOf, readCharter } from './charter.js'
import { Consensus } from './consensus.js'
import { Core } from './core.js'
import { asyncDispose } from './dispose.js'
import { MeshError, invalid, isTrap, toMeshError } from './errors.js'
import type { MeshEvent, MeshEventTarget, MeshEventType, MeshListener } from './events.js'
import { Health } from './health.js'
import { EventHub } from './hub.js'
import { Messages, type Receipt, type SendOptions } from './messages.js'
import { JOIN_TIMEOUT_MS, checkCall, checkJoin, type CallOptions, type JoinConfig, type JoinOptions } from './options.js'
import type { StoredIdentity } from './platform/platform.js'
import { pump } from './pump.js'
import { indexedDbStore } from './store/indexeddb.js'
import type { MeshStore } from './store/store.js'
import { Swarm, type BroadcastOptions } from './swarm.js'
import { MeshNode, here, loadWasm, onTrap, prepareWebrtc, wasmFailed } from './wasm.js'
import { WeightsDesk } from './weights-desk.js'
import { Weights } from './weights.js'

/**
 * Joins a mesh through a relay: an open one by its name, so that everybody who gives the same name on the same relay is in it, or
 * one with a charter, in which people vote, by the bytes of that.
 *
 * Resolves when a relay has handed over the list of members and, if an `agent` is given, that is announced. Close the mesh
 * when you are done, or declare it with `await using`; in Node.js an open mesh keeps the process alive.
 *
 * @throws MeshError `relay-unreachable` when no relay answers in time, `invalid-argument`, `aborted`
 * @example
 * ```ts
 * const mesh = await joinMesh('lab', { relays: '/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…', agent: { id: 'ada' } })
 * mesh.on('message', ({ from, payload }) => console.log(from, payload))
 * await mesh.broadcast('hello')
 * ```
 */
export async function joinMesh(mesh: string | Uint8Array, options: JoinOptions): Promise<Mesh> {
  return openMesh(mesh, options, new EventHub())
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
  readonly #core: Core
  readonly #hub: EventHub
  readonly #pumped: Promise<void>

  /** @internal */
  constructor(name: string, core: Core, hub: EventHub, maxIncomingWeights: number) {
    const desk = new WeightsDesk(core, hub, maxIncomingWeights)
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
    this.#core = core
    this.#hub = hub
    this.#pumped = pump(core, hub, desk, this.consensus)
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
    return this.#core.close(options, this.#pumped)
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
export async function openMesh(which: string | Uint8Array, options: JoinOptions, hub: EventHub): Promise<Mesh> {
  const { charter, name } = typeof which === 'string' ? { charter: undefined, name: which } : { charter: which, name: await nameOf(which) }
  const config = checkJoin(name, options, charter)
  const { signal, timeoutMs = JOIN_TIMEOUT_MS, agent } = options
  if (agent !== undefined) toAgentInfo(agent)
  if (config.mdns && here()?.answerMdns === undefined) throw invalid('mdns is for Node.js: here is nothing that could listen for others')
  const { node, release } = await openNode(config, { signal, timeoutMs })
  const mesh = new Mesh(name, new Core(node), hub, config.maxIncomingWeights)
  const leave = () => void mesh.close()
  const unwatch = here()?.watchLife?.({ wake: () => void mesh.wake().catch(() => {}), leave })
  const hush = config.mdns ? here()?.answerMdns?.(mesh.listening) : undefined
  mesh.on('closed', () => {
    unwatch?.()
    hush?.()
    release()
  })
  try {
    await joined(mesh, config, { signal, timeoutMs })
    if (agent !== undefined) await mesh.agents.announce(agent, { signal, timeoutMs })
    return mesh
  } catch (error) {
    // The caller is told at once; the goodbye goes on behind.
    leave()
    throw error
  }
}

async function nameOf(charter: Uint8Array): Promise<string> {
  if (!(charter instanceof Uint8Array)) throw invalid('the mesh must be a name, or the bytes of a charter')
  return (await readCharter(charter)).name
}

interface Opened {
  readonly node: MeshNode
  // Gives up what the node held beside itself.
  readonly release: () => void
}

function openNode(config: JoinConfig, { signal, timeoutMs }: CallOptions): Promise<Opened> {
  const onLate = ({ node, release }: Opened) => void node.close().catch(() => {}).finally(release)
  const onTimeout = () => new MeshError('timeout', `the wasm core did not start within ${timeoutMs} ms`)
  return bounded({ signal, timeoutMs, onTimeout, onLate }, () => open(config)).catch(error => {
    throw toMeshError(error)
  })
}

async function open({ iceServers, identity, mdns: _, store: where, ...config }: JoinConfig): Promise<Opened> {
  const [kept, traits] = await Promise.all([
    identity === 'stored' ? storedIdentity(config.mesh) : { identity, release: () => {} },
    iceServers && prepareWebrtc(),
    loadWasm(),
  ])
  let store: MeshStore | undefined
  let failure: unknown
  const release = () => {
    void store?.close()
    kept.release()
  }
  try {
    store = where === undefined ? undefined : await storeOf(where, kept.identity!)
    const nodeConfig = {
      ...config,
      ...(kept.identity && { identity: kept.identity }),
      ...(iceServers && traits && { webrtc: { iceServers, ...traits } }),
    }
    return { node: await MeshNode.open(nodeConfig, store && nodeStore(store, error => (failure = error))), release }
  } catch (error) {
    release()
    // The core knows no more of it than that the store failed.
    throw failure ?? error
  }
}

// A directory, or a database that each identity has for itself.
async function storeOf(where: string | MeshStore, identity: Uint8Array): Promise<MeshStore> {
  if (typeof where !== 'string') return where
  const fileStore = here()?.fileStore
  return fileStore ? fileStore(where) : indexedDbStore(`${where}/${await peerIdOf(identity)}`)
}

// As the core calls it; `failed` is told why it could not be loaded.
function nodeStore(store: MeshStore, failed: (why: unknown) => void) {
  return {
    load: () =>
      store.load().catch(error => {
        failed(error)
        throw error
      }),
    write: (changes: [string, Uint8Array | undefined][]) => store.write(changes.map(([key, value]) => ({ key, value }))),
  }
}

function storedIdentity(mesh: string): Promise<StoredIdentity> {
  const stored = here()?.storedIdentity
  if (stored) return stored(mesh)
  throw invalid("identity: 'stored' is for browsers. Keep the bytes of generateIdentity() in a file, and give them as identity")
}

async function joined(mesh: Mesh, config: JoinConfig, { signal, timeoutMs }: CallOptions): Promise<void> {
  const closed = new MeshError('closed', 'the mesh was closed before it was joined')
  let relays = 0
  const stops: (() => void)[] = []
  const onTimeout = () => unreachable(config, timeoutMs, relays > 0)
  try {
    await bounded({ signal, timeoutMs, onTimeout }, () => {
      return new Promise<void>((resolve, reject) => {
        stops.push(
          mesh.on('joined', () => resolve()),
          mesh.on('relay-connected', () => relays++),
          mesh.on('closed', ({ error }) => reject(error ?? closed)),
        )
      })
    })
  } finally {
    for (const stop of stops) stop()
  }
}

function unreachable({ mesh, charter, relays }: JoinConfig, timeoutMs: number | undefined, connected: boolean): MeshError {
  const addresses = relays.join(', ')
  const command = charter ? 'mesh-relay --charter FILE' : `mesh-relay --mesh ${mesh}`
  const message = connected
    ? `connected to a relay, but within ${timeoutMs} ms none handed over the members of mesh '${mesh}': ${addresses}. ` +
      `Check that the relay serves this mesh: ${command}`
    : `no relay answered within ${timeoutMs} ms: ${addresses}. Check that the relay runs (${command}), ` +
      'that this is the address it prints, and that it can be reached from here'
  return new MeshError('relay-unreachable', message, { details: { relays, connected } })
}
