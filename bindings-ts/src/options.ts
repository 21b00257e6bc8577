import type { NodeConfig } from './generated/mesh_wasm.js'
import type { AnnouncedAgent } from './agents.js'
import { invalid } from './errors.js'
import type { BlockStore } from './store/blocks.js'
import type { MeshStore } from './store/store.js'

/** What every asynchronous method takes. */
export interface CallOptions {
  /** Ends the call: it rejects with code `aborted` at once, and the work is cancelled. */
  signal?: AbortSignal | undefined
  /** Milliseconds to wait. Each method says its default. */
  timeoutMs?: number | undefined
}

/** How to join a mesh. */
export interface JoinOptions extends CallOptions {
  /**
   * One or more relays, as the multiaddrs that a relay prints when it starts, for example
   * `/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…`. All are kept connected; one is enough to join. An invite brings its own.
   */
  relays?: string | readonly string[] | undefined
  /** An agent to announce as soon as the mesh is joined. */
  agent?: AnnouncedAgent | undefined
  /**
   * Who this node is: the 32 bytes that {@link generateIdentity} made once, a new one when absent. In browsers `'stored'`
   * keeps it in IndexedDB, so that a tab is the same node after a reload. Each tab of an origin has one of its own.
   */
  identity?: Uint8Array | 'stored' | undefined
  /** Milliseconds to wait until a relay has handed over the member list. Default 10,000. */
  timeoutMs?: number | undefined
  /**
   * In Node.js: one or more multiaddrs to listen on for WebSockets, such as `/ip4/0.0.0.0/tcp/0/ws`, port 0 for any that
   * is free. Others that can reach it connect straight to it, without WebRTC. {@link Mesh.listening} tells the addresses.
   */
  listen?: string | readonly string[] | undefined
  /**
   * In Node.js, together with `listen`: whether others on the local network find this node by mDNS, which relays do and
   * libp2p's peers. They learn its peer id and its IPv4 addresses, except loopback. Where there is no multicast, or the port
   * cannot be had, there is a process warning `NEURAL_MESH_NO_MDNS` and all else works. Default `false`.
   */
  mdns?: boolean | undefined
  /**
   * Direct connections to other agents, by WebRTC: by default wherever there is WebRTC, which is in browsers, and in
   * Node.js with `node-datachannel` installed. `false` for none: what this node has to say then goes through relays,
   * and ICE tells nobody its IP addresses.
   */
  webrtc?: boolean | WebrtcOptions | undefined
  /**
   * Where this node keeps what it must not forget, together with `identity`: what it knows, and in a mesh with a charter its vote,
   * so that it never votes twice. In Node.js a directory, in browsers the name of a database, of which each identity has its
   * own, or a store that you bring. One node at a time can use it, and for one mesh. Without it this node has no vote, and knows
   * nothing when it starts but what others tell it.
   */
  store?: string | MeshStore | undefined
  /** What this node keeps of shared knowledge, for itself and for others. */
  knowledge?: KnowledgeOptions | undefined
  /** Bytes of the largest weights accepted from others, both as transferred and uncompressed. Default 256 MiB. */
  maxIncomingWeights?: number | undefined
}

/** How direct connections are made. */
export interface WebrtcOptions {
  /**
   * STUN servers, at most four, as `stun:host:port`: they tell nodes behind a NAT their public address. By default those
   * that the relays run, at port 3478 of their hosts; nobody else's. With `[]` none: direct connections then need both
   * nodes in one network, or one with a public address.
   */
  iceServers?: readonly string[] | undefined
}

/** What a node keeps of shared knowledge. */
export interface KnowledgeOptions {
  /** Bytes of content that are kept here in all: this node's own, that of others, and what was read. Default 256 MiB, in browsers 64 MiB. */
  maxBytes?: number | undefined
  /** Whether content of others is held here, for as long as there is room. Default `true`. */
  hold?: boolean | undefined
  /** What this node fails together with, such as a rack or a site, at most 64 bytes: two of one zone hold no two copies if there is a choice. */
  zone?: string | undefined
  /** The domains that are known here, beside those that this node writes in. Default: all. */
  domains?: readonly string[] | undefined
  /**
   * Where content is kept: in Node.js a directory, in browsers the name of a database, together with `identity`, or a store that
   * you bring. One node at a time can use it. Default: beside `store`, if that is a directory or database; else in memory.
   */
  blocks?: string | BlockStore | undefined
}

/** What {@link P2PNeuralMeshService} is made with: the name of a mesh, and how to join it. */
export interface P2PMeshConfig extends JoinOptions {
  /**
   * Name of an open mesh: everybody who gives the same name on the same relay is in it. Or an invite to a private one, or the bytes
   * of a charter or pass.
   */
  mesh: string | Uint8Array
}

/** How to found a mesh. */
export interface CreateOptions extends JoinOptions {
  /** Whether anybody may come in who knows the charter. Default `false`: a private mesh, for which everybody needs an invite. */
  open?: boolean | undefined
}

/** @internal Which mesh, and how this node comes in. */
export type Entry =
  | { readonly by: 'name'; readonly name: string }
  | { readonly by: 'charter'; readonly name: string; readonly charter: Uint8Array }
  | { readonly by: 'invite'; readonly name: string; readonly invite: Uint8Array; readonly relays: readonly string[] }
  | { readonly by: 'founding'; readonly name: string; readonly open: boolean }

/** @internal Until joined. */
export const JOIN_TIMEOUT_MS = 10_000
/** @internal Largest weights accepted when the caller gives no bound. */
export const MAX_INCOMING_WEIGHTS = 256 * 1024 * 1024
// setTimeout fires at once past this, about 25 days.
const MAX_TIMEOUT_MS = 2 ** 31 - 1
// Bounds of the wire format, checked here too so that the message can name the option.
const MAX_MESH_NAME = 128
const IDENTITY_LENGTH = 32
// Browsers take longer to find their addresses, and some complain, with five or more.
const MAX_ICE_SERVERS = 4
const LISTEN = /^\/ip[46]\/[0-9a-f:.]+\/tcp\/\d{1,5}\/ws$/i
const STUN_PORT = 3478
const STUN = /^stuns?:(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?$/i

const MAX_DOMAIN = 64
const MAX_KEY = 256
const MAX_ZONE = 64
const MAX_DOMAINS = 256
// `@` and a peer id.
const MAX_OWNER = 129
// The most that a node may say that it has: 1 PiB.
const MAX_STORAGE = 2 ** 50

const EXAMPLE_RELAY = '/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooW…'

/** @internal What the core and its platform need to join; `iceServers` where WebRTC is wanted. */
export type JoinConfig = Omit<NodeConfig, 'webrtc' | 'identity' | 'knowledge'> & {
  maxIncomingWeights: number
  iceServers?: string[]
  mdns?: true
  identity?: Uint8Array | 'stored'
  store?: string | MeshStore
  knowledge?: KnowledgeOptions
  founding?: { readonly open: boolean }
}

/** @internal What the core needs to join, from what the user gave. */
export function checkJoin(entry: Entry, options: JoinOptions): JoinConfig {
  const mesh = entry.name
  if (typeof options !== 'object' || options === null) {
    throw invalid(`options are missing: joinMesh('${String(mesh)}', { relays: '${EXAMPLE_RELAY}' })`)
  }
  const { relays, agent: _, identity, timeoutMs, signal, webrtc = true, listen = [], mdns = false, store, knowledge, maxIncomingWeights = MAX_INCOMING_WEIGHTS } = options
  checkCall({ signal, timeoutMs })
  checkName('the mesh name', mesh, MAX_MESH_NAME)
  const isSeed = identity instanceof Uint8Array && identity.length === IDENTITY_LENGTH
  if (identity !== undefined && identity !== 'stored' && !isSeed) {
    throw invalid("identity must be a Uint8Array of 32 bytes, as generateIdentity() makes it, or 'stored'")
  }
  if (!Number.isSafeInteger(maxIncomingWeights) || maxIncomingWeights < 0) {
    throw invalid('maxIncomingWeights must be a whole number of bytes')
  }
  if (typeof mdns !== 'boolean') throw invalid('mdns must be true or false')
  if (mdns && listen.length === 0) {
    throw invalid("mdns tells others where this node listens, so it needs listen, such as '/ip4/0.0.0.0/tcp/0/ws'")
  }
  checkStore('store', store, identity)
  checkKnowledge(knowledge, identity)
  // Who can be reached, or is told by its invite where the others are, needs none of its own.
  const needless = relays === undefined && (entry.by === 'invite' || (entry.by === 'founding' && listen.length > 0))
  const addresses = needless ? [] : checkRelays(relays)
  const iceServers = checkWebrtc(webrtc, entry.by === 'invite' ? [...addresses, ...entry.relays] : addresses)
  return {
    mesh,
    relays: addresses,
    maxIncomingWeights,
    ...(listen.length > 0 && { listen: checkListen(listen) }),
    ...(mdns && { mdns }),
    ...(entry.by === 'charter' && { charter: entry.charter }),
    ...(entry.by === 'invite' && { invite: entry.invite }),
    ...(entry.by === 'founding' && { founding: { open: entry.open } }),
    ...(store !== undefined && { store }),
    ...(knowledge && { knowledge }),
    ...(identity && { identity }),
    ...(iceServers && { iceServers }),
  }
}

function checkStore(what: string, store: unknown, identity: unknown): void {
  if (store === undefined) return
  const named = typeof store === 'string'
  const isOne = named ? store !== '' : typeof (store as MeshStore | BlockStore | null)?.close === 'function'
  if (!isOne) throw invalid(`${what} must be the name of a directory or database, or a store`)
  // Blocks are the same whosever they are: a store of theirs that is brought may go from one node to another.
  if (identity === undefined && (named || what === 'store')) {
    throw invalid(`a ${what} belongs to one node: give its identity, or this node would be another one the next time`)
  }
}

function checkKnowledge(knowledge: unknown, identity: unknown): void {
  if (knowledge === undefined) return
  if (typeof knowledge !== 'object' || knowledge === null) throw invalid('knowledge must be an object such as { maxBytes: 1e9 }')
  const { maxBytes, hold, zone, domains, blocks } = knowledge as KnowledgeOptions
  if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes >= 0 && maxBytes <= MAX_STORAGE)) {
    throw invalid(`knowledge.maxBytes must be a whole number of bytes, at most ${MAX_STORAGE}`)
  }
  if (hold !== undefined && typeof hold !== 'boolean') throw invalid('knowledge.hold must be true or false')
  if (zone !== undefined) checkText('knowledge.zone', zone, MAX_ZONE)
  if (domains !== undefined) {
    if (!Array.isArray(domains) || domains.length > MAX_DOMAINS) throw invalid(`knowledge.domains must be an array of at most ${MAX_DOMAINS} domains`)
    domains.forEach(checkDomain)
  }
  checkStore('knowledge.blocks', blocks, identity)
}

function checkListen(listen: unknown): string[] {
  const list = typeof listen === 'string' ? [listen] : listen
  const fits = (address: unknown) => typeof address === 'string' && LISTEN.test(address)
  if (Array.isArray(list) && list.every(fits)) return [...new Set(list as string[])]
  throw invalid("listen must be multiaddrs of WebSockets to listen on, such as '/ip4/0.0.0.0/tcp/0/ws'")
}

function checkWebrtc(webrtc: unknown, relays: readonly string[]): string[] | undefined {
  if (webrtc === false) {
    const direct = relays.find(isWebrtcDirect)
    if (direct !== undefined && relays.every(isWebrtcDirect)) throw invalid(`relay '${direct}' is reached by WebRTC, which webrtc: false turns off`)
    return undefined
  }
  if (webrtc !== true && (typeof webrtc !== 'object' || webrtc === null)) {
    throw invalid('webrtc must be true, false, or { iceServers }')
  }
  const { iceServers = stunOf(relays) } = webrtc === true ? {} : (webrtc as WebrtcOptions)
  const fits = (url: unknown) => typeof url === 'string' && STUN.test(url)
  if (!Array.isArray(iceServers) || iceServers.length > MAX_ICE_SERVERS || !iceServers.every(fits)) {
    throw invalid(`webrtc.iceServers must be at most ${MAX_ICE_SERVERS} strings such as 'stun:192.0.2.1:3478'`)
  }
  return [...iceServers]
}

// Two of them: one that answers is enough. What runs on this machine tells nobody a public address.
function stunOf(relays: readonly string[]): string[] {
  const hosts = relays.map(relay => /^\/(ip4|ip6|dns|dns4|dns6)\/([^/]+)\//.exec(relay)?.slice(1) ?? [])
  const urls = hosts.flatMap(([kind, host]) => {
    if (host === undefined || host === 'localhost' || host === '::1' || host.startsWith('127.')) return []
    return [`stun:${kind === 'ip6' ? `[${host}]` : host}:${STUN_PORT}`]
  })
  return [...new Set(urls.filter(url => STUN.test(url)))].slice(0, 2)
}

/** @internal Relay addresses, looked at closely enough that a wrong one is told at once and not by a time-out. */
export function checkRelays(relays: unknown): string[] {
  const list = typeof relays === 'string' ? [relays] : relays
  if (!Array.isArray(list) || list.length === 0) {
    throw invalid(`relays is missing: give the address that the relay prints when it starts, such as ${EXAMPLE_RELAY}`)
  }
  return [...new Set(list.map(checkRelay))]
}

function checkRelay(relay: unknown): string {
  if (typeof relay !== 'string') throw invalid(`a relay must be a string, not ${typeof relay}`)
  const address = relay.trim()
  const wrong = (why: string) =>
    invalid(`relay '${address}' ${why}. Use the address that the relay prints when it starts, such as ${EXAMPLE_RELAY}`)
  if (/^[a-z]+:\/\//i.test(address)) throw wrong('is a URL, not a multiaddr')
  if (!address.startsWith('/')) throw wrong('is not a multiaddr: it does not begin with /')
  if (!address.includes('/p2p/')) throw wrong('has no /p2p/<peer id>, so the relay could not be authenticated')
  if (!/\/p2p\/[A-Za-z0-9]{40,}$/.test(address)) throw wrong('does not end in /p2p/<peer id>')
  if (isWebrtcDirect(address)) {
    if (WEBRTC_DIRECT.test(address)) return address
    throw wrong('is not /ip4 or /ip6, then /udp/PORT/webrtc-direct/certhash/HASH/p2p/<peer id>')
  }
  if (!/\/wss?(\/|$)/.test(address)) throw wrong('has neither /ws nor /wss nor /webrtc-direct, by which browsers and Node.js join')
  return address
}

const WEBRTC_DIRECT = /^\/ip[46]\/[^/]+\/udp\/\d{1,5}\/webrtc-direct(\/certhash\/u[A-Za-z0-9_-]+)+\/p2p\/[A-Za-z0-9]+$/

function isWebrtcDirect(relay: string): boolean {
  return relay.includes('/webrtc-direct/')
}

/** @internal The options that every method has. */
export function checkCall(options: CallOptions): void {
  if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
  const { signal, timeoutMs } = options
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalid('signal must be an AbortSignal')
  }
  checkMs('timeoutMs', timeoutMs)
}

/** @internal A duration, when given. */
export function checkMs(what: string, ms: unknown): void {
  if (ms === undefined) return
  if (typeof ms !== 'number' || !(ms > 0 && ms <= MAX_TIMEOUT_MS)) {
    throw invalid(`${what} must be a number of milliseconds above 0 and at most ${MAX_TIMEOUT_MS}`)
  }
}

/** @internal A domain, `name` or `name@peerId`. */
export function checkDomain(domain: unknown): asserts domain is string {
  checkName('domain', domain, MAX_DOMAIN + MAX_OWNER)
  const [name] = (domain as string).split(/@(?=[^@]*$)/)
  checkName('the name of a domain', name, MAX_DOMAIN)
}

/** @internal A key of a domain. */
export function checkKey(key: unknown): asserts key is string {
  checkName('key', key, MAX_KEY)
}

/** @internal A function, when given. */
export function checkCallback(what: string, callback: unknown): void {
  if (callback !== undefined && typeof callback !== 'function') throw invalid(`${what} must be a function`)
}

/** @internal A text of at least one character. */
export function checkName(what: string, text: unknown, maxBytes: number): void {
  checkText(what, text, maxBytes)
  if (text === '') throw invalid(`${what} must not be empty`)
}

/** @internal A text without control characters. */
export function checkText(what: string, text: unknown, maxBytes: number): asserts text is string {
  if (typeof text !== 'string') throw invalid(`${what} must be a string, not ${text === null ? 'null' : typeof text}`)
  const bytes = new TextEncoder().encode(text).length
  if (bytes > maxBytes) throw invalid(`${what} has ${bytes} bytes, at most ${maxBytes} are allowed`)
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) throw invalid(`${what} must not hold control characters`)
}
