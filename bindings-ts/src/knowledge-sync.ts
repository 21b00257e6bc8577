import type { ComparedInfo } from './generated/mesh_wasm.js'
import type { Core } from './core.js'
import { MeshError, invalid, toMeshError, type ErrorCode } from './errors.js'
import type { EventHub } from './hub.js'
import { checkCallback, checkName, type CallOptions } from './options.js'

/** What came of the comparison of a domain with a peer. */
export interface PeerSync {
  /** The peer. */
  readonly peerId: string
  /** Entries that came from it and are current here now. */
  readonly received: number
  /** Entries that it lacked and was offered. */
  readonly sent: number
  /** Whether it came to its end: else the peer was silent for too long, or went. */
  readonly whole: boolean
}

/** What came of the comparison of a domain with several peers. */
export interface KnowledgeSyncResult {
  /** The domain. */
  readonly domain: string
  /** Entries that came, in all. */
  readonly received: number
  /** Entries that were offered, in all. */
  readonly sent: number
  /** Each peer that was compared with. */
  readonly peers: readonly PeerSync[]
  /** Those with which it did not work, and why. */
  readonly failures: readonly { readonly peerId: string; readonly code: ErrorCode; readonly message: string }[]
}

/** How far a comparison has come. */
export interface SyncProgress {
  /** Peers that are done with, failures included. */
  readonly done: number
  /** Peers in all. */
  readonly total: number
  /** Entries that came so far. */
  readonly received: number
}

/** How to compare. */
export interface SyncOptions extends CallOptions {
  /** Called as each peer is done with. */
  onProgress?: ((progress: SyncProgress) => unknown) | undefined
  /** Milliseconds for each peer. Default 15,000. */
  timeoutMs?: number | undefined
}

// Peers that are asked for a domain of which nothing is known, and for how long unless the caller says otherwise.
const ASKED = 2
const ASK_MS = 5000
// Domains that were asked for; past it the first is asked for again.
const MAX_COMPARED = 1024
const TIMEOUT_MS = 15_000
// The core compares with eight at once, and does so by itself, too.
const AT_ONCE = 4
const MAX_ADDRESS = 256

/** @internal The peer ids in a list of those, or of addresses `name@peerId`. */
export function checkPeers(peers: unknown): string[] {
  if (!Array.isArray(peers)) throw invalid('peers must be an array of peer ids')
  const peerIds = peers.map((peer, i) => {
    checkName(`peers[${i}]`, peer, MAX_ADDRESS)
    return (peer as string).slice((peer as string).lastIndexOf('@') + 1)
  })
  return [...new Set(peerIds)]
}

// Relays first: they have been there for the longest.
async function connected(core: Core, options: CallOptions): Promise<string[]> {
  const { links } = await core.call(options, node => node.topology())
  return [...links].sort((a, b) => Number(b.relay) - Number(a.relay)).map(link => link.peerId)
}

/** @internal Compares a domain with some peers, or all that are connected; of a few at once. */
export async function syncWith(core: Core, hub: EventHub, domain: string, peers: string[] | undefined, options: SyncOptions): Promise<KnowledgeSyncResult> {
  const { signal, onProgress } = options
  checkCallback('onProgress', onProgress)
  const links = await connected(core, { signal })
  const waiting = [...(peers ?? links)]
  const total = waiting.length
  const result = { domain, received: 0, sent: 0, peers: [] as PeerSync[], failures: [] as { peerId: string; code: ErrorCode; message: string }[] }
  const lane = async () => {
    for (let peerId = waiting.shift(); peerId !== undefined; peerId = waiting.shift()) {
      try {
        const { received, sent, whole } = await compare(core, domain, peerId, links, options)
        result.peers.push({ peerId, received, sent, whole })
        result.received += received
        result.sent += sent
      } catch (error) {
        // The caller's signal, or the end of the mesh, is the end of all.
        if (signal?.aborted || !core.open) throw error
        const { code, message } = toMeshError(error)
        result.failures.push({ peerId, code, message })
      }
      const done = result.peers.length + result.failures.length
      if (onProgress) hub.guard(() => onProgress({ done, total, received: result.received }))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return result
}

async function compare(core: Core, domain: string, peerId: string, links: readonly string[], options: CallOptions): Promise<ComparedInfo> {
  if (!links.includes(peerId)) throw new MeshError('peer-unreachable', `there is no connection to ${peerId}`)
  const { signal, timeoutMs = TIMEOUT_MS } = options
  const done = await core.call({ signal, timeoutMs }, (node, signal) => node.compareKnowledge(peerId, domain, signal))
  if (done) return done
  throw new MeshError('over-quota', `too many comparisons are under way, or the connection to ${peerId} has gone: try again`)
}

/** @internal The domains that were compared with somebody since the mesh was joined. */
export class Asked {
  readonly #core: Core
  readonly #compared = new Map<string, Promise<void>>()

  constructor(core: Core) {
    this.#core = core
  }

  /** Compares a domain with some peers, unless that was done, for at most `timeoutMs`. Whether there may be news of it now. */
  async once(domain: string, { signal, timeoutMs = ASK_MS }: CallOptions): Promise<boolean> {
    const before = this.#compared.get(domain)
    const comparing = before ?? this.#compare(domain)
    if (!before) this.remember(domain, comparing)
    try {
      await this.#core.call({ signal, timeoutMs }, () => comparing)
      return true
    } catch (error) {
      if (MeshError.isInstance(error) && error.code === 'timeout') return false
      throw error
    }
  }

  /** A domain was compared, or is being. */
  remember(domain: string, comparing = Promise.resolve()): void {
    this.#compared.set(domain, comparing)
    if (this.#compared.size > MAX_COMPARED) this.#compared.delete(this.#compared.keys().next().value!)
  }

  // For nobody's signal, for others may wait for it too.
  async #compare(domain: string): Promise<void> {
    const peers = await connected(this.#core, {}).catch(() => [])
    let whole = 0
    const lane = async () => {
      for (let peerId = peers.shift(); peerId !== undefined && whole < ASKED; peerId = peers.shift()) {
        const done = await compare(this.#core, domain, peerId, [peerId], {}).catch(() => undefined)
        if (done?.whole) return void whole++
      }
    }
    await Promise.all(Array.from({ length: ASKED }, lane))
    // Nobody was there who could have known: the next one asks again.
    if (whole === 0) this.#compared.delete(domain)
  }
}
