import { invalid } from '../errors.js'
import { checkName } from '../options.js'
import type { WasmSource } from '../platform/platform.js'
import type { SimNode } from './sim-node.js'

/** A node of a simulation, or its {@link SimNode.id}. */
export type NodeRef = SimNode | string

/** What the way between two nodes is like. What is absent is as between two homes of one continent. */
export interface LinkOptions {
  /** The shortest time of a packet on its way, in milliseconds, at most 60,000. Default 10. */
  latencyMs?: number | undefined
  /** What a packet may take on top of it, evenly spread, in milliseconds, at most 60,000. Default 50. */
  jitterMs?: number | undefined
  /**
   * The share of packets that are lost, from 0 to 0.9. Connections send them again, so what is lost comes later, together
   * with all that is behind it. Default 0.
   */
  loss?: number | undefined
  /** Bytes a second, or 0 for no limit. Default 0. */
  bytesPerSecond?: number | undefined
}

/** What to simulate. */
export interface SimMeshOptions {
  /** How many nodes, which are then called `node1`, `node2` and so on, or their names. At most 1,000. */
  nodes: number | readonly string[]
  /** What everything random comes from: a whole number. The same seed and the same script give the same run. Default 1. */
  seed?: number | undefined
  /** Relays, called `relay1`, `relay2` and so on, at which the nodes join: 1 to 16. Default 2. */
  relays?: number | undefined
  /** What all links are like. */
  link?: LinkOptions | undefined
  /**
   * Whether to let virtual time pass until all nodes have joined and know each other, and ten seconds more, in which they
   * connect directly. With `false` the simulation is given
   * at its first moment, for scripts that look at joining itself. Default `true`.
   */
  settled?: boolean | undefined
  /** The file `neural-mesh/sim.wasm`, where it is not found by itself; only the first simulation's counts. */
  wasm?: WasmSource | undefined
}

/** How long to wait. */
export interface SimLimit {
  /** Virtual milliseconds to wait at most. Default 60,000. */
  limitMs?: number | undefined
  /** Virtual milliseconds between two looks at a condition. Default 100. */
  everyMs?: number | undefined
}

/** @internal */
export interface SimPlan {
  names: string[]
  relays: number
  seed: number
  link: LinkOptions
}

/** What to play a scenario with. */
export interface ScenarioOptions {
  /** Nodes besides the relays, at most 1,000. Default: as many as the scenario is made for, mostly 100. */
  nodes?: number | undefined
  /** What everything random comes from: a whole number. Default 1. */
  seed?: number | undefined
  /** The file `neural-mesh/sim.wasm`, where it is not found by itself; only the first simulation's counts. */
  wasm?: WasmSource | undefined
}

const MAX_NODES = 1000
const MAX_RELAYS = 16
const MAX_NAME = 64
const MAX_LATENCY_MS = 60_000
const MAX_LOSS = 0.9
// A year: past it, microseconds would stop being whole numbers some day.
const MAX_VIRTUAL_MS = 366 * 24 * 3600 * 1000

/** @internal */
export function checkOptions(options: SimMeshOptions): SimPlan {
  if (typeof options !== 'object' || options === null) throw invalid('options are missing: createSimMesh({ nodes: 4 })')
  const { nodes, seed = 1, relays = 2, link = {}, settled = true } = options
  checkSeed(seed)
  checkCount('relays', relays, MAX_RELAYS)
  if (typeof settled !== 'boolean') throw invalid('settled must be true or false')
  checkLink('link', link)
  const own = Array.from({ length: relays }, (_, i) => `relay${i + 1}`)
  return { names: [...own, ...names(nodes, own)], relays, seed, link }
}

/** @internal */
export function checkScenario(name: string, options: ScenarioOptions): { nodes: number | undefined; seed: number } {
  if (typeof name !== 'string') throw invalid("the scenario's name is missing: playScenario('partition')")
  if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
  const { nodes, seed = 1 } = options
  checkSeed(seed)
  if (nodes !== undefined) checkCount('nodes', nodes, MAX_NODES)
  return { nodes, seed }
}

function checkSeed(seed: unknown): void {
  if (!Number.isSafeInteger(seed) || (seed as number) < 0) throw invalid('seed must be a whole number, 0 or more')
}

function names(nodes: unknown, taken: readonly string[]): string[] {
  if (!Array.isArray(nodes)) {
    checkCount('nodes', nodes, MAX_NODES)
    return Array.from({ length: nodes as number }, (_, i) => `node${i + 1}`)
  }
  checkCount('the number of nodes', nodes.length, MAX_NODES)
  for (const name of nodes) checkName("a node's name", name, MAX_NAME)
  const all = [...taken, ...nodes]
  const twice = all.find((name, i) => all.indexOf(name) !== i)
  if (twice !== undefined) throw invalid(`there are two nodes of the name '${twice}'`)
  return nodes
}

/** @internal */
export function checkLink(what: string, link: LinkOptions): LinkOptions {
  if (typeof link !== 'object' || link === null) throw invalid(`${what} must be an object`)
  const { latencyMs, jitterMs, loss, bytesPerSecond } = link
  checkRange(`${what}.latencyMs`, latencyMs, MAX_LATENCY_MS)
  checkRange(`${what}.jitterMs`, jitterMs, MAX_LATENCY_MS)
  checkRange(`${what}.loss`, loss, MAX_LOSS)
  checkRange(`${what}.bytesPerSecond`, bytesPerSecond, Number.MAX_SAFE_INTEGER)
  return link
}

/** @internal A stretch of virtual time. */
export function checkVirtual(what: string, ms: unknown): void {
  if (ms === undefined) throw invalid(`${what} is missing: a number of virtual milliseconds`)
  checkRange(what, ms, MAX_VIRTUAL_MS)
}

function checkCount(what: string, count: unknown, max: number): void {
  if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > max) {
    throw invalid(`${what} must be a whole number from 1 to ${max}`)
  }
}

function checkRange(what: string, value: unknown, max: number): void {
  if (value === undefined) return
  if (typeof value !== 'number' || !(value >= 0 && value <= max)) throw invalid(`${what} must be a number from 0 to ${max}`)
}
