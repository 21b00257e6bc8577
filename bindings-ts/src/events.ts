import type { PeerAgent } from './agents.js'
import type { Ballot, ConsensusResult, Proposal } from './consensus.js'
import type { ErrorCode, MeshError } from './errors.js'
import type { KnowledgeVersion } from './knowledge-entry.js'
import type { PeerSync } from './knowledge-sync.js'
import type { Role } from './members.js'
import type { Message } from './messages.js'
import type { Broadcast } from './swarm.js'
import type { ReceivedWeights, TransferProgress } from './weights.js'

/** What happens in a mesh: the name of each event, and what it tells. */
export interface MeshEventMap {
  /** A relay is connected. */
  'relay-connected': { readonly peerId: string }
  /** A relay is lost; it is dialled again until it is back. */
  'relay-disconnected': { readonly peerId: string }
  /** `peerId` has handed over its member list, of `agents` agents. Comes once for each peer that does. */
  joined: { readonly peerId: string; readonly agents: number }
  /** There is a connection to a peer; `relayed` when it runs through a relay. */
  'peer-connected': { readonly peerId: string; readonly relayed: boolean }
  /** The connection to a peer that was relayed is direct now, or the other way round. */
  'path-changed': { readonly peerId: string; readonly relayed: boolean }
  /** The last connection to a peer is gone. */
  'peer-disconnected': { readonly peerId: string }
  /** A peer has been silent for longer than it should. */
  'peer-suspected': { readonly peerId: string }
  /** A suspected peer was heard again. */
  'peer-recovered': { readonly peerId: string }
  /**
   * The mesh has fallen apart: `lost` of `of` nodes went silent at once, which is more than die by themselves. This side goes
   * on; when the other one is heard again, both bring each other up to date.
   */
  'mesh-split': { readonly lost: number; readonly of: number }
  /** The mesh is one again, or those that were silent are gone. */
  'mesh-whole': Record<never, never>
  /** An agent is new in the mesh. */
  'agent-joined': { readonly agent: PeerAgent }
  /** A known agent has announced something else than before. */
  'agent-updated': { readonly agent: PeerAgent }
  /** An agent is gone: withdrawn by its node, or not heard of for too long. */
  'agent-left': { readonly id: string; readonly reason: 'withdrawn' | 'expired' }
  /** A direct message. It is acknowledged to its sender after all listeners have run; see {@link Messages}. */
  message: Message
  /** Somebody said something to the whole mesh. */
  broadcast: Broadcast
  /** Weights are on their way, in or out. */
  'weights-progress': TransferProgress
  /** Weights have arrived, and are the bytes that their sender hashed. */
  'weights-received': ReceivedWeights
  /** Weights did not arrive, or are not the bytes that their sender hashed. */
  'weights-failed': {
    readonly transfer: string
    readonly direction: 'in'
    readonly peerId: string
    readonly code: ErrorCode
    readonly message: string
  }
  /** A proposal is open; `asked` when this node is expected to vote: {@link Consensus.vote}. */
  proposal: { readonly proposal: Proposal; readonly asked: boolean }
  /** A voter has said what it thinks of a proposal. */
  vote: Ballot & { readonly id: string }
  /** A proposal has ended, the same way at every node. */
  decided: { readonly result: ConsensusResult }
  /** A resource is somebody's for a while, or nobody got it. */
  granted: { readonly resource: string; readonly holder?: string; readonly lengthMs: number }
  /** A proposal or claim cannot end for now, because too few voters can be reached. It ends when they are back. */
  'no-quorum': { readonly id: string }
  /** A voter has voted twice, which its own signatures prove. */
  'double-vote': { readonly peerId: string }
  /** Others vote from now on. */
  electorate: { readonly epoch: number; readonly voters: readonly string[] }
  /** This node has its next credential, as it gets them by itself, until `until`, unix milliseconds. */
  membership: { readonly role: Role; readonly until: number }
  /** This node is no member any more: it was revoked, or nobody has given it the next credential. It needs a new invite. */
  expelled: { readonly reason: 'revoked' | 'expired' }
  /** Somebody has come in by an invite of this node. */
  'invite-used': { readonly peerId: string; readonly role: Role }
  /** The store has failed: this node votes no more, and may forget what it has learned since, until it joins anew. */
  'store-failed': Record<never, never>
  /** A key stands for something else, or was taken away, by this node or another; `current` unless it is one more sibling. */
  'knowledge-changed': { readonly entry: KnowledgeVersion; readonly current: boolean }
  /** What a key stood for is over. */
  'knowledge-expired': { readonly domain: string; readonly key: string }
  /** A domain was compared with a peer, and something came of it, or it did not come to its end. */
  'knowledge-compared': PeerSync & { readonly domain: string }
  /** Content that this node has written is held by these others. */
  'content-held': { readonly cid: string; readonly holders: readonly string[] }
  /** This node holds content now because another one was lost. */
  'content-repaired': { readonly cid: string }
  /** A peer has broken the protocol; what it sent was thrown away. */
  offence: { readonly peerId: string; readonly offence: string }
  /** A message or broadcast of `from` is not the CBOR of a value; it was thrown away. */
  undecodable: {
    readonly kind: 'message' | 'broadcast'
    readonly id: string
    readonly from: string
    readonly reason: string
  }
  /**
   * Events were dropped because a buffer was full: `core` when nothing was pulled from the core for a while, `stream`
   * when a `for await` over events, broadcasts or weights was too slow, `weights` when weights arrived that nobody
   * asked for. A direct message is never lost: only copies of one that another listener or loop has had.
   */
  lagged: { readonly dropped: number; readonly buffer: 'core' | 'stream' | 'weights' }
  /**
   * A listener or handler threw, or rejected. Without a listener for `error`, the exception goes to `reportError`
   * where that exists (browsers) and is thrown from a microtask elsewhere, as Node.js does with its own emitters.
   */
  error: { readonly error: unknown }
  /** The mesh is closed: by `close()`, or by a defect of the core, which `error` then tells. */
  closed: { readonly error?: MeshError }
}

/** Names of events. */
export type MeshEventType = keyof MeshEventMap

/** An event: `type`, and what {@link MeshEventMap} says of it. */
export type MeshEvent<K extends MeshEventType = MeshEventType> = {
  [P in K]: { readonly type: P } & MeshEventMap[P]
}[K]

/** What is called with an event. A promise that it returns is not waited for, but watched for a rejection. */
export type MeshListener<K extends MeshEventType> = (event: MeshEvent<K>) => unknown

/** Typed events by name. */
export interface MeshEventTarget {
  /**
   * Calls `listener` with each such event, until the returned function or {@link MeshEventTarget.off} is called.
   *
   * @example
   * ```ts
   * mesh.on('agent-joined', ({ agent }) => console.log(agent.id, agent.capabilities))
   * ```
   */
  on<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void
  /**
   * Calls `listener` with the next such event only.
   *
   * @example
   * ```ts
   * mesh.once('closed', ({ error }) => console.log('left the mesh', error?.message ?? ''))
   * ```
   */
  once<K extends MeshEventType>(type: K, listener: MeshListener<K>): () => void
  /**
   * Takes a listener away again. Nothing happens when it is not there.
   *
   * @example
   * ```ts
   * mesh.off('broadcast', show)
   * ```
   */
  off<K extends MeshEventType>(type: K, listener: MeshListener<K>): void
}
