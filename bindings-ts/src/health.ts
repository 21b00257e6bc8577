import type { Core } from './core.js'
import { checkCall, type CallOptions } from './options.js'

/** A connection of this node. */
export interface LinkInfo {
  /** The node at the other end. */
  readonly peerId: string
  /** Whether the connection runs through a relay. */
  readonly relayed: boolean
  /**
   * Why the connection is relayed, for people to read: `upgrading` while a direct one is being made, `no-webrtc-here` or
   * `no-webrtc-there`, `relay-only` with `webrtc: false`, `too-many-direct-links`, or `failed: …`, after which it is tried
   * again in a while. Absent when it is direct.
   */
  readonly reason?: string
  /** The other end's address, as a multiaddr. */
  readonly address: string
  /** Last measured round trip, in milliseconds. */
  readonly rttMs?: number
  /** How long it has been connected, in milliseconds. */
  readonly connectedMs: number
  /** Whether the other end is one of our relays. */
  readonly relay: boolean
}

/** A node that is known, connected or not. */
export interface PeerInfo {
  /** The node. */
  readonly peerId: string
  /** `suspect` when it has been silent for longer than it should. */
  readonly status: 'alive' | 'suspect'
  /** How long ago it was last heard, in milliseconds. */
  readonly lastHeardMs: number
  /** Number of its agents. */
  readonly agents: number
}

/** The mesh as this node sees it. */
export interface NetworkTopology {
  /** This node. */
  readonly peerId: string
  /** The mesh: a hash, in hex. */
  readonly meshId: string
  /** Connections of this node. */
  readonly links: readonly LinkInfo[]
  /** All nodes that it knows. */
  readonly peers: readonly PeerInfo[]
  /** How the mesh is doing, as this node sees it. */
  readonly health: MeshHealth
}

/** How the mesh is doing, from 0 (nothing works) to 100, with its parts and what they lack. */
export interface MeshHealth {
  /** As good as the worst part. */
  readonly score: number
  /** Each part, from 0 to 100. */
  readonly parts: {
    /** Relays that are connected: with none, nobody new can reach this node. */
    readonly relays: number
    /** Connections to other members: three are enough, or as many as there are. */
    readonly links: number
    /** Members that are heard; the others are suspected. */
    readonly members: number
    /** Messages of late that were acknowledged. */
    readonly delivery: number
  }
  /** What is not at its best, for people to read, the worst first; for example `1 of 2 relays cannot be reached`. */
  readonly reasons: readonly string[]
}

/** Counters since this node was opened, and gauges, by name, for example `messagesSent` and `linksRelayed`. */
export interface MeshMetrics {
  readonly [counter: string]: number
}

/** How the mesh is doing: {@link Mesh.health}. */
export class Health {
  readonly #core: Core

  /** @internal */
  constructor(core: Core) {
    this.#core = core
  }

  /**
   * Who is there, and how this node is connected to them.
   *
   * @example
   * ```ts
   * const { peers, links } = await mesh.health.topology()
   * console.log(`${peers.length} peers, ${links.filter(link => !link.relayed).length} direct links`)
   * ```
   */
  async topology(options: CallOptions = {}): Promise<NetworkTopology> {
    checkCall(options)
    return this.#core.call(options, node => node.topology())
  }

  /**
   * What this node has done since it was opened, in figures.
   *
   * @example
   * ```ts
   * const { messagesSent, messagesDelivered } = await mesh.health.metrics()
   * ```
   */
  async metrics(options: CallOptions = {}): Promise<MeshMetrics> {
    checkCall(options)
    return this.#core.call(options, node => node.metrics())
  }
}
