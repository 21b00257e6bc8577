import type { AgentCriteria, AgentInfo, DecisionInfo, DiscoverOptions, ElectorateInfo, LeaseInfo, MembershipInfo, MeshEvent, MeshMetrics, MeshNode, NetworkTopology, PeerAgent, SendOptions, SendReceipt, ShareReceipt } from '../generated/mesh_wasm.js'
import type { SimWhat } from '../generated/mesh_sim.js'
import { MeshError, toMeshError } from '../errors.js'
import type { Engine } from './engine.js'

interface Waiting<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: MeshError) => void
}

/**
 * One run of a simulated node: it stands where the wasm core's node stands in a real mesh, so everything above it is what
 * real meshes have.
 *
 * @internal
 */
export class SimProcess implements Omit<MeshNode, typeof Symbol.dispose> {
  readonly peerId: string
  readonly meshId: string
  readonly listening: string[] = []
  readonly #engine: Engine
  readonly #host: number
  readonly #onLeave: () => void
  readonly #sends = new Map<number, Waiting<SendReceipt>>()
  readonly #searches = new Map<number, Waiting<PeerAgent[]>>()
  readonly #events: MeshEvent[] = []
  #pull: ((event: MeshEvent | undefined) => void) | undefined
  #ended: MeshError | undefined

  // One for all: none of them works.
  readonly putKnowledge = noKnowledge
  readonly deleteKnowledge = noKnowledge
  readonly grantKnowledge = noKnowledge
  readonly knowledge = noKnowledge
  readonly knowledgeKeys = noKnowledge
  readonly knowledgeDomains = noKnowledge
  readonly compareKnowledge = noKnowledge
  readonly content = noKnowledge
  readonly listContent = noKnowledge
  readonly addFile = noKnowledge
  readonly addDirectory = noKnowledge
  readonly pinContent = noKnowledge
  readonly unpinContent = noKnowledge
  readonly pinnedContent = noKnowledge
  readonly whoHas = noKnowledge
  readonly storage = noKnowledge

  constructor(engine: Engine, host: number, onLeave: () => void) {
    this.#engine = engine
    this.#host = host
    this.#onLeave = onLeave
    this.peerId = engine.call(world => world.peerId(host))
    this.meshId = engine.call(world => world.meshId)
  }

  /** The simulator has told this node something. */
  tell(what: SimWhat): void {
    switch (what.type) {
      case 'event':
        return this.#push(what.event)
      case 'sent':
        return settle(this.#sends, what.call, waiting => waiting.resolve(what.receipt))
      case 'send-failed':
        return settle(this.#sends, what.call, waiting => waiting.reject(toMeshError(what.fault)))
      case 'found':
        return settle(this.#searches, what.search, waiting => waiting.resolve(what.agents))
    }
  }

  /** It runs no more: what it waits for fails. */
  end(why: MeshError): void {
    if (this.#ended) return
    this.#ended = why
    for (const waiting of [...this.#sends.values(), ...this.#searches.values()]) waiting.reject(why)
    this.#sends.clear()
    this.#searches.clear()
    this.#events.length = 0
    this.#pull?.(undefined)
  }

  async nextEvent(): Promise<MeshEvent | undefined> {
    const event = this.#events.shift()
    if (event || this.#ended) return event
    return new Promise(resolve => (this.#pull = resolve))
  }

  async announce(agent: AgentInfo): Promise<string> {
    return this.#engine.call(world => world.announce(this.#host, agent))
  }

  async withdraw(name: string): Promise<void> {
    this.#engine.call(world => world.withdraw(this.#host, name))
  }

  async agents(): Promise<PeerAgent[]> {
    return this.#engine.call(world => world.agents(this.#host))
  }

  async discover(criteria: AgentCriteria, options: DiscoverOptions, signal?: AbortSignal | null): Promise<PeerAgent[]> {
    const search = this.#engine.call(world => world.discover(this.#host, criteria, options))
    return wait(this.#searches, search, signal, () => this.#engine.call(world => world.cancelDiscover(this.#host, search)))
  }

  async send(to: string, body: Uint8Array, options: SendOptions, signal?: AbortSignal | null): Promise<SendReceipt> {
    const call = this.#engine.call(world => world.send(this.#host, to, body, options))
    return wait(this.#sends, call, signal, () => this.#engine.call(world => world.cancelSend(this.#host, call)))
  }

  taken(receipt: number): void {
    this.#engine.call(world => world.taken(receipt))
  }

  async broadcast(topic: string, body: Uint8Array): Promise<void> {
    this.#engine.call(world => world.broadcast(this.#host, topic, body))
  }

  async shareWeights(): Promise<ShareReceipt> {
    throw new MeshError('refused', 'weights are not simulated')
  }

  async propose(): Promise<string> {
    return noVote()
  }

  async vote(): Promise<void> {
    return noVote()
  }

  async ending(): Promise<DecisionInfo | undefined> {
    return noVote()
  }

  async claim(): Promise<string> {
    return noVote()
  }

  async release(): Promise<void> {
    return noVote()
  }

  async lease(): Promise<LeaseInfo | undefined> {
    return undefined
  }

  async elect(): Promise<bigint> {
    return noVote()
  }

  async electorate(): Promise<ElectorateInfo | undefined> {
    return undefined
  }

  async epochs(): Promise<Uint8Array[]> {
    return []
  }

  async record(): Promise<Uint8Array | undefined> {
    return undefined
  }

  async invite(): Promise<Uint8Array> {
    return noInvite()
  }

  async issue(): Promise<Uint8Array> {
    return noInvite()
  }

  async revokePeer(): Promise<void> {
    return noInvite()
  }

  async revokeInvite(): Promise<void> {
    return noInvite()
  }

  async membership(): Promise<MembershipInfo> {
    return { open: true, founder: false, invitesPerDay: 0 }
  }

  async pass(): Promise<Uint8Array | undefined> {
    return undefined
  }

  async wake(): Promise<void> {
    this.#engine.call(world => world.wake(this.#host))
  }

  async topology(): Promise<NetworkTopology> {
    return this.#engine.call(world => world.topology(this.#host))
  }

  async metrics(): Promise<MeshMetrics> {
    return this.#engine.call(world => world.metrics(this.#host)) as MeshMetrics
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.#engine.call(world => world.leave(this.#host))
    this.end(new MeshError('closed', 'the mesh is closed'))
    this.#onLeave()
  }

  free(): void {}

  #push(event: MeshEvent): void {
    if (this.#ended) return
    const pull = this.#pull
    this.#pull = undefined
    if (pull) pull(event)
    else this.#events.push(event)
  }
}

function noVote(): never {
  throw new MeshError('not-a-voter', 'simulated meshes are open ones without a charter: nobody in them has a vote')
}

function noInvite(): never {
  throw new MeshError('invalid-argument', 'simulated meshes are open ones: nobody in them needs an invite')
}

async function noKnowledge(): Promise<never> {
  throw new MeshError('refused', 'simulated hosts keep no knowledge yet')
}

function wait<T>(waiting: Map<number, Waiting<T>>, call: number, signal: AbortSignal | null | undefined, cancel: () => void): Promise<T> {
  // Whoever calls is told of the abort by `Core`, which waits no longer.
  const onAbort = () => void (waiting.delete(call) && cancel())
  signal?.addEventListener('abort', onAbort)
  const result = new Promise<T>((resolve, reject) => waiting.set(call, { resolve, reject }))
  return result.finally(() => signal?.removeEventListener('abort', onAbort))
}

function settle<T>(waiting: Map<number, Waiting<T>>, call: number, how: (waiting: Waiting<T>) => void): void {
  const one = waiting.get(call)
  waiting.delete(call)
  if (one) how(one)
}
