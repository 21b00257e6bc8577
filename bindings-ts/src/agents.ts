import type { AgentInfo, PeerAgent as CoreAgent } from './generated/mesh_wasm.js'
import { MAX_DEPTH, MAX_METADATA, decodeValue, encodeValue } from './codec.js'
import type { Core } from './core.js'
import { invalid } from './errors.js'
import { checkCall, checkMs, checkName, type CallOptions } from './options.js'

/** What an agent has to work with. Units are the application's; all members of a mesh should mean the same. */
export interface AgentResources {
  /** Processor share. */
  cpu?: number | undefined
  /** Memory. */
  memory?: number | undefined
  /** What the agent is made for, at most 64 bytes. */
  specialization?: string | undefined
}

/** The plainest agent to announce: a name, and what it can do. */
export interface AgentDescription {
  /** The agent's name within this node: 1 to 64 bytes without `@`. */
  id: string
  /** What sort of agent it is, for example `researcher`; at most 64 bytes. */
  type?: string | undefined
  /** What it can do: at most 32 words of at most 64 bytes. */
  capabilities?: readonly string[] | undefined
  /** What it has to do it with. */
  resources?: AgentResources | undefined
  /** Anything else to tell about it: at most 1,024 bytes as CBOR. Dates and functions in it are left out. */
  metadata?: object | undefined
}

/**
 * Any object with an `id` can be announced as it is. Read are
 * `capabilities ?? config.capabilities`, `type ?? config.type`, `metadata`, and
 * `resources ?? { cpu: realtime.cpuUsage, memory: realtime.memoryUsage ?? memoryUsage }` with
 * `specialization ?? config.type`. Everything else stays at home.
 */
export type AnnouncedAgent =
  | AgentDescription
  | { readonly id: string }
  | { readonly id: string; readonly [field: string]: unknown }

/** Which agents to find. Everything given must match, and all capabilities; nothing given matches all agents. */
export interface AgentCriteria {
  /** Exactly this name, without `@peerId`. */
  name?: string | undefined
  /** Exactly this type. */
  type?: string | undefined
  /** All of these. */
  capabilities?: readonly string[] | undefined
  /** On the node of this peer id. */
  peer?: string | undefined
}

/** How to search. */
export interface FindOptions extends CallOptions {
  /** The search ends as soon as so many are found. Default: no limit. */
  limit?: number | undefined
  /** The search ends, with what it has found, after so many milliseconds. Default 2,500. */
  timeoutMs?: number | undefined
  /** Once somebody is found, the search ends when nobody else was for so many milliseconds. Default 250. */
  quietMs?: number | undefined
}

/** An agent of the mesh. */
export interface PeerAgent {
  /** `name@peerId`: the agent's address, one of its kind in the mesh. */
  readonly id: string
  /** Its name within its node: the `id` that it was announced with. */
  readonly name: string
  /** Its node. */
  readonly peerId: string
  /** What sort of agent it is. */
  readonly type?: string
  /** What it can do, sorted. */
  readonly capabilities: readonly string[]
  /** What it has to do it with. */
  readonly resources?: Readonly<AgentResources>
  /** What else it told about itself. */
  readonly metadata?: unknown
  /** When it was announced, by its node's clock: unix milliseconds; 0 for agents of this node. */
  readonly announcedAt: number
  /** Whether it is an agent of this node. */
  readonly local: boolean
}

/** The agents of a mesh: {@link Mesh.agents}. */
export class Agents {
  readonly #core: Core

  /** @internal */
  constructor(core: Core) {
    this.#core = core
  }

  /**
   * Makes an agent of this node known to the mesh. Announcing the same `id` again replaces what was known of it.
   *
   * @returns the agent's address, `id@peerId`
   * @throws MeshError `invalid-argument` when the object has no usable `id`, or a field is of the wrong type or too long;
   *   `too-large` when the metadata is
   * @example
   * ```ts
   * const id = await mesh.agents.announce({ id: 'ada', type: 'researcher', capabilities: ['digits'] })
   * ```
   */
  async announce<T extends AnnouncedAgent>(
    agent: T & Partial<AgentDescription>,
    options: CallOptions = {},
  ): Promise<string> {
    checkCall(options)
    const info = toAgentInfo(agent)
    return this.#core.call(options, node => node.announce(info))
  }

  /**
   * Takes an agent of this node out of the mesh.
   *
   * @param id the agent's name, or its address `name@peerId`
   * @throws MeshError `unknown-agent` when this node has no such agent
   * @example
   * ```ts
   * await mesh.agents.withdraw('ada')
   * ```
   */
  async withdraw(id: string, options: CallOptions = {}): Promise<void> {
    checkCall(options)
    const name = localName('id', id, this.#core.peerId)
    return this.#core.call(options, node => node.withdraw(name))
  }

  /**
   * Finds agents of other nodes: those that this node knows already, and those that the mesh answers with. Ends early, at
   * `limit` or when no more are found; a search that finds nobody takes `timeoutMs` and gives an empty array.
   *
   * @example
   * ```ts
   * const [coder] = await mesh.agents.find({ type: 'coder', capabilities: ['rust'] }, { limit: 1 })
   * ```
   */
  async find(criteria: AgentCriteria = {}, options: FindOptions = {}): Promise<PeerAgent[]> {
    checkCall(options)
    checkMs('quietMs', options.quietMs)
    const { limit, timeoutMs, quietMs, signal } = options
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
      throw invalid('limit must be a whole number above 0')
    }
    const wanted = toCriteria(criteria)
    const found = await this.#core.call({ signal }, (node, signal) =>
      node.discover(wanted, definedOnly({ limit, timeoutMs, quietMs }), signal),
    )
    return found.map(toPeerAgent)
  }

  /**
   * All agents that this node knows at the moment, its own included, without asking the mesh.
   *
   * @example
   * ```ts
   * const names = (await mesh.agents.list()).map(agent => agent.name)
   * ```
   */
  async list(options: CallOptions = {}): Promise<PeerAgent[]> {
    checkCall(options)
    const agents = await this.#core.call(options, node => node.agents())
    return agents.map(toPeerAgent)
  }
}

const MAX_NAME = 64
const MAX_LABEL = 64
const MAX_CAPABILITIES = 32
const MAX_PEER_ID = 128

/** @internal What the core announces, from whatever shape of agent the application has. */
export function toAgentInfo(agent: unknown): AgentInfo {
  if (!isRecord(agent)) throw invalid('an agent must be an object with an id')
  const config = isRecord(agent.config) ? agent.config : {}
  checkAgentName('agent.id', agent.id)
  const type = optionalLabel('agent.type', agent.type ?? config.type)
  const resources = toResources(agent, config)
  const metadata = toMetadata(agent.metadata)
  return {
    name: agent.id as string,
    capabilities: toCapabilities('agent.capabilities', agent.capabilities ?? config.capabilities ?? []),
    ...definedOnly({ type, resources, metadata }),
  }
}

function toResources(agent: Record<string, unknown>, config: Record<string, unknown>): AgentInfo['resources'] {
  const given = agent.resources ?? undefined
  if (given !== undefined && !isRecord(given)) throw invalid('agent.resources must be an object')
  const realtime = isRecord(agent.realtime) ? agent.realtime : {}
  const measured = { cpu: realtime.cpuUsage, memory: realtime.memoryUsage ?? agent.memoryUsage }
  const { cpu, memory, specialization } = (given ?? measured) as Record<string, unknown>
  const resources = definedOnly({
    cpu: optionalNumber('agent.resources.cpu', cpu),
    memory: optionalNumber('agent.resources.memory', memory),
    specialization: optionalLabel(
      'agent.resources.specialization',
      specialization ?? agent.specialization ?? config.specialization ?? config.type,
    ),
  })
  return Object.keys(resources).length === 0 ? undefined : resources
}

function toCapabilities(what: string, capabilities: unknown): string[] {
  if (!Array.isArray(capabilities)) throw invalid(`${what} must be an array of strings`)
  const distinct = [...new Set(capabilities)].sort()
  if (distinct.length > MAX_CAPABILITIES) {
    throw invalid(`${what} has ${distinct.length} entries, at most ${MAX_CAPABILITIES} are allowed`)
  }
  distinct.forEach((capability, i) => checkName(`${what}[${i}]`, capability, MAX_LABEL))
  return distinct
}

function toMetadata(metadata: unknown): Uint8Array | undefined {
  if (metadata === undefined || metadata === null) return undefined
  if (!isRecord(metadata)) throw invalid('agent.metadata must be an object')
  return encodeValue('agent.metadata', withoutDates(metadata), MAX_METADATA)
}

// Application objects carry dates and callbacks that mean nothing elsewhere; they do not belong in an announcement.
function withoutDates(value: unknown, parents: object[] = []): unknown {
  if (value instanceof Date || typeof value === 'function' || typeof value === 'symbol') return undefined
  // Circles, and what is nested too deep, are refused when it is encoded.
  if (!isPlain(value) || parents.includes(value) || parents.length > MAX_DEPTH) return value
  const within = [...parents, value]
  if (Array.isArray(value)) return value.map(item => withoutDates(item, within))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutDates(item, within)]))
}

function toCriteria(criteria: AgentCriteria): { name?: string; type?: string; capabilities?: string[]; peer?: string } {
  checkObject('criteria', criteria)
  const { name, type, capabilities, peer } = criteria
  if (name !== undefined) checkAgentName('criteria.name', name)
  if (peer !== undefined) checkName('criteria.peer', peer, MAX_PEER_ID)
  return definedOnly({
    name,
    type: optionalLabel('criteria.type', type),
    capabilities: capabilities === undefined ? undefined : toCapabilities('criteria.capabilities', capabilities),
    peer,
  })
}

/** @internal The agent as users see it. Metadata that is not a value is as good as none. */
export function toPeerAgent(agent: CoreAgent): PeerAgent {
  const { metadata, ...rest } = agent
  if (metadata === undefined) return rest
  try {
    return { ...rest, metadata: decodeValue(metadata, MAX_METADATA) }
  } catch {
    return rest
  }
}

/** @internal The name of an agent of this node, given that or its address. */
export function localName(what: string, id: unknown, peerId: string): string {
  const [name, peer] = typeof id === 'string' ? id.split('@') : []
  if (name === undefined || (peer !== undefined && peer !== peerId)) {
    throw invalid(`${what} must be the name of an agent of this node, not '${String(id)}'`)
  }
  checkAgentName(what, name)
  return name
}

function checkAgentName(what: string, name: unknown): void {
  checkName(what, name, MAX_NAME)
  if ((name as string).includes('@')) {
    throw invalid(`${what} is '${String(name)}', but a name must not hold '@': the mesh adds @<peer id> by itself`)
  }
}

function optionalLabel(what: string, label: unknown): string | undefined {
  if (label === undefined || label === null) return undefined
  checkName(what, label, MAX_LABEL)
  return label as string
}

function optionalNumber(what: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`${what} must be a finite number`)
  return value
}

/** @internal Without the fields that are undefined: the core tells an absent field from one that is there. */
export function definedOnly<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}

function isPlain(value: unknown): value is object {
  return Array.isArray(value) || Object.prototype.toString.call(value) === '[object Object]'
}

function checkObject(what: string, value: unknown): void {
  if (!isRecord(value)) throw invalid(`${what} must be an object`)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
