/// <reference lib="esnext.disposable" preserve="true" />
import { MeshError, invalid } from '../errors.js'
import { asyncDispose } from '../dispose.js'
import { definedOnly } from '../agents.js'
import { Engine, type Violation } from './engine.js'
import { loadSimulator } from './load.js'
import { SimNode } from './sim-node.js'
import { checkLink, checkOptions, checkVirtual, type LinkOptions, type NodeRef, type SimLimit, type SimMeshOptions, type SimPlan } from './sim-options.js'

const LIMIT_MS = 60_000
const EVERY_MS = 100
// In which nodes that know each other through relays connect directly, and gossip finds its paths.
const SETTLE_MS = 10_000

/**
 * Makes a mesh of many nodes in one process, in which time, the network and all that goes wrong are simulated and the nodes
 * are real: they run the core that pages, Node.js and relays run. A seed and a script give one run, which
 * {@link SimMesh.trace} is the hash of, on every machine.
 *
 * @throws MeshError `invalid-argument`; `timeout` when the nodes do not find together within 60,000 virtual milliseconds
 * @example
 * ```ts
 * import { createSimMesh } from 'neural-mesh/testing'
 *
 * const sim = await createSimMesh({ nodes: 4, seed: 7 })
 * const [ada, bob] = sim.nodes
 * await ada.announceAgent({ id: 'ada' })
 * await sim.run(1000)
 * await sim.runUntil(bob.sendDirectMessage('ada', 'hello'))
 * console.log(ada.received.messages)
 * ```
 */
export async function createSimMesh(options: SimMeshOptions): Promise<SimMesh> {
  const plan = checkOptions(options)
  const { SimWorld } = await loadSimulator(options.wasm)
  const sim = new SimMesh(plan, tell => {
    const link = definedOnly(plan.link)
    const world = SimWorld.open({ seed: plan.seed, relays: plan.relays, pages: plan.names.length - plan.relays, link })
    return new Engine(world, tell)
  })
  if (options.settled ?? true) {
    await sim.waitForConvergence(LIMIT_MS)
    await sim.run(SETTLE_MS)
  }
  return sim
}

/** One side of a partition: what {@link SimMesh.partition} gives. */
export interface SimSide {
  /** Its nodes and relays. */
  readonly nodes: readonly SimNode[]
  /**
   * Whether all of them that run know each other, suspect nobody among them, and are connected.
   *
   * @example
   * ```ts
   * assert.ok(left.isHealthy())
   * ```
   */
  isHealthy(): boolean
}

/** A mesh that is simulated: what {@link createSimMesh} gives. */
export class SimMesh {
  /** Its nodes, relays not included, in the order of their names. */
  readonly nodes: readonly SimNode[]
  /** Its relays. They are nodes too, and can be partitioned, crashed and restarted as such. */
  readonly relays: readonly SimNode[]
  readonly #all: readonly SimNode[]
  readonly #engine: Engine

  /** @internal */
  constructor({ names, relays }: SimPlan, open: (tell: ConstructorParameters<typeof Engine>[1]) => Engine) {
    const engine = open(({ host, what }) => this.#all[host]?.tell(what))
    this.#engine = engine
    this.#all = names.map((id, host) => new SimNode(engine, host, id, host < relays))
    this.relays = this.#all.slice(0, relays)
    this.nodes = this.#all.slice(relays)
  }

  /** Virtual time: milliseconds since the simulation began. */
  get now(): number {
    return this.#engine.now
  }

  /** A hash, in hex, of all that has happened until now. Two runs in which anything differs differ in it. */
  get trace(): string {
    return this.#engine.call(world => world.trace)
  }

  /** Rules of the mesh that were broken, the first hundred: should be empty, whatever the script does. */
  get violations(): readonly Violation[] {
    return this.#engine.call(world => world.violations())
  }

  /**
   * The node or relay of that name.
   *
   * @throws MeshError `invalid-argument` when there is none
   * @example
   * ```ts
   * sim.node('node1').on('peer-suspected', ({ peerId }) => console.log(sim.now, peerId))
   * ```
   */
  node(id: NodeRef): SimNode {
    const found = this.#all.find(node => node === id || node.id === id)
    if (found) return found
    const last = this.#all.at(-1)!.id
    if (typeof id === 'string') throw invalid(`there is no node '${id}': there are '${this.#all[0]!.id}' to '${last}'`)
    throw invalid(`a node must be one of this simulation, or the name of one, such as '${last}'`)
  }

  /**
   * Lets virtual time pass. Whatever nodes are told meanwhile, their listeners and those who wait for a promise hear of it
   * at its moment, and what they do then they do at that moment. Only code that waits for something else than this
   * simulation, such as a file or a timer, is not waited for; {@link SimMesh.sleep} is the timer of a simulation.
   *
   * @param ms virtual milliseconds
   * @throws MeshError `closed`, `invalid-argument` when it runs already
   * @example
   * ```ts
   * await sim.run(10_000)
   * ```
   */
  async run(ms: number): Promise<void> {
    checkVirtual('ms', ms)
    await this.#engine.drive(ms)
  }

  /**
   * Lets virtual time pass until a promise of a node's settles, and gives what it gives; or until a condition holds, and
   * gives the virtual milliseconds that took. A condition may be asynchronous, but must not wait for virtual time.
   *
   * @throws MeshError `timeout` past `limitMs`, `closed`, and what the promise or the condition throws
   * @example
   * ```ts
   * const agents = await sim.runUntil(sim.nodes[0].discoverAgents())
   * const ms = await sim.runUntil(() => sim.isFullyConnected(), { limitMs: 10_000 })
   * ```
   */
  async runUntil(condition: () => boolean | Promise<boolean>, options?: SimLimit): Promise<number>
  /**
   * Lets virtual time pass until a promise of a node's is settled, and gives what it gives.
   *
   * @throws MeshError `timeout` when it is not within `limitMs`; what the promise rejects with
   * @example
   * ```ts
   * const receipt = await sim.runUntil(bob.sendDirectMessage('ada', 'hello'))
   * ```
   */
  async runUntil<T>(promise: Promise<T>, options?: SimLimit): Promise<T>
  async runUntil<T>(what: Promise<T> | (() => boolean | Promise<boolean>), options: SimLimit = {}): Promise<T | number> {
    if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
    const { limitMs = LIMIT_MS, everyMs = EVERY_MS } = options
    checkVirtual('limitMs', limitMs)
    checkVirtual('everyMs', everyMs)
    if (everyMs < 1) throw invalid('everyMs must be at least 1')
    if (typeof what === 'function') return this.#until(what, limitMs, everyMs)
    if (typeof what?.then !== 'function') throw invalid('runUntil takes a promise or a function')
    let settled = false
    const note = () => void (settled = true)
    what.then(note, note)
    await this.#engine.drive(limitMs, () => settled)
    if (!settled) throw late(limitMs)
    return what
  }

  /**
   * Resolves when virtual time has gone on by `ms`, while somebody runs the simulation: what `setTimeout` is to a program.
   *
   * @example
   * ```ts
   * node.on('message', async ({ from }) => {
   *   await sim.sleep(500) // thinks
   *   await node.sendDirectMessage(from, 'done')
   * })
   * ```
   */
  async sleep(ms: number): Promise<void> {
    checkVirtual('ms', ms)
    return this.#engine.sleep(ms)
  }

  /**
   * Splits the network: nodes of one side hear each other and nobody else. Nodes and relays that are on none go with the
   * first side. A partition takes the place of the one before.
   *
   * @returns the sides, in the order given
   * @throws MeshError `invalid-argument` for unknown nodes, and for nodes on two sides
   * @example
   * ```ts
   * const [left, right] = sim.partition(['node1', 'node2'], ['node3', 'node4'])
   * await sim.run(20_000)
   * assert.ok(left.isHealthy() && right.isHealthy())
   * ```
   */
  partition(first: readonly NodeRef[], second: readonly NodeRef[], ...more: (readonly NodeRef[])[]): [SimSide, SimSide, ...SimSide[]] {
    const given = [first, second, ...more]
    const side = new Map<SimNode, number>()
    given.forEach((refs, number) => {
      if (!Array.isArray(refs) || refs.length === 0) throw invalid('each side of a partition must be an array of nodes')
      for (const node of (refs as readonly NodeRef[]).map(ref => this.node(ref))) {
        if (side.has(node)) throw invalid(`${node.id} is named twice`)
        side.set(node, number)
      }
    })
    const of = (node: SimNode) => side.get(node) ?? 0
    this.#engine.call(world => world.partition(Uint32Array.from(this.#all, of)))
    const sides = given.map((_, number) => this.#side(this.#all.filter(node => of(node) === number)))
    return sides as [SimSide, SimSide, ...SimSide[]]
  }

  /**
   * Mends all partitions.
   *
   * @example
   * ```ts
   * sim.heal()
   * ```
   */
  heal(): void {
    this.#engine.call(world => world.heal())
  }

  /**
   * Makes the link between two nodes, both ways, as all links of the simulation are, but for what is given here.
   *
   * @example
   * ```ts
   * sim.delay('node1', 'node2', { latencyMs: 300, jitterMs: 100, loss: 0.05 })
   * sim.delay('node1', 'node2', {}) // as before
   * ```
   */
  delay(a: NodeRef, b: NodeRef, link: LinkOptions): void {
    const [from, to] = [this.node(a), this.node(b)]
    if (from === to) throw invalid(`${from.id} has no link to itself`)
    const given = definedOnly(checkLink('link', link))
    this.#engine.call(world => world.setLink(from.host, to.host, given))
  }

  /**
   * Ends a node's process. Its system closes its connections; with `silently` the whole machine is gone, and nobody is told.
   * What its application waits for fails with code `closed`.
   *
   * @example
   * ```ts
   * sim.crash('node3', { silently: true })
   * ```
   */
  crash(node: NodeRef, options: { silently?: boolean | undefined } = {}): void {
    const { silently = false } = options
    if (typeof silently !== 'boolean') throw invalid('silently must be true or false')
    const crashed = this.node(node)
    this.#engine.call(world => world.crash(crashed.host, silently))
    crashed.end(`${crashed.id} has crashed`)
  }

  /**
   * Starts a node that has crashed or left. It has its store, that is its identity, or has lost it and is another peer. Its
   * agents have to be announced again, as in any program that starts.
   *
   * @throws MeshError `invalid-argument` when it runs
   * @example
   * ```ts
   * sim.restart('node3', { store: 'lost' })
   * ```
   */
  restart(node: NodeRef, options: { store?: 'kept' | 'lost' | undefined } = {}): void {
    const { store = 'kept' } = options
    if (store !== 'kept' && store !== 'lost') throw invalid("store must be 'kept' or 'lost'")
    const started = this.node(node)
    if (started.running) throw invalid(`${started.id} runs already`)
    this.#engine.call(world => world.restart(started.host, store === 'lost'))
    started.begin()
  }

  /**
   * Freezes a node, as browsers freeze tabs: it stands still until it is thawed, and what comes meanwhile waits.
   *
   * @example
   * ```ts
   * sim.freeze('node2')
   * ```
   */
  freeze(node: NodeRef): void {
    const { host } = this.node(node)
    this.#engine.call(world => world.freeze(host))
  }

  /**
   * Lets a frozen node go on.
   *
   * @example
   * ```ts
   * sim.thaw('node2')
   * ```
   */
  thaw(node: NodeRef): void {
    const { host } = this.node(node)
    this.#engine.call(world => world.thaw(host))
  }

  /**
   * Whether all nodes and relays that run know each other, suspect nobody, and are connected with each other, be it through
   * third ones.
   *
   * @example
   * ```ts
   * assert.ok(sim.isFullyConnected())
   * ```
   */
  isFullyConnected(): boolean {
    return this.#isWell(this.#all)
  }

  /**
   * Lets virtual time pass until {@link SimMesh.isFullyConnected}.
   *
   * @returns the virtual milliseconds that it took
   * @throws MeshError `timeout` past `limitMs`
   * @example
   * ```ts
   * await sim.waitForConvergence(10_000)
   * ```
   */
  async waitForConvergence(limitMs: number): Promise<number> {
    return this.runUntil(() => this.isFullyConnected(), { limitMs })
  }

  /**
   * Ends the simulation: what its nodes wait for fails with code `closed`, and so does whatever is asked of it. Closing
   * twice does no harm.
   *
   * @example
   * ```ts
   * await sim.close()
   * ```
   */
  async close(): Promise<void> {
    for (const node of this.#all) node.end('the simulation is closed')
    this.#engine.close()
  }

  /**
   * Ends the simulation at the end of the block that declares it.
   *
   * @example
   * ```ts
   * await using sim = await createSimMesh({ nodes: 10 })
   * ```
   */
  async [asyncDispose](): Promise<void> {
    return this.close()
  }

  #side(nodes: readonly SimNode[]): SimSide {
    return { nodes, isHealthy: () => this.#isWell(nodes) }
  }

  #isWell(nodes: readonly SimNode[]): boolean {
    return this.#engine.call(world => world.isWell(Uint32Array.from(nodes, node => node.host)))
  }

  async #until(condition: () => boolean | Promise<boolean>, limitMs: number, everyMs: number): Promise<number> {
    const began = this.now
    for (let waited = 0, step = 0; ; waited += step) {
      // What has been called already is to happen before the first look.
      await this.#engine.drive(step)
      if (await condition()) return this.now - began
      if (waited >= limitMs) throw late(limitMs)
      step = Math.min(everyMs, limitMs - waited)
    }
  }
}

function late(limitMs: number): MeshError {
  return new MeshError('timeout', `not within ${limitMs} virtual milliseconds`)
}
