import { toMeshError } from '../errors.js'
import { loadSimulator } from './load.js'
import { checkScenario, type ScenarioOptions } from './sim-options.js'

/** What came of a scenario. */
export interface ScenarioReport {
  /** Whether every goal is met and no rule of the mesh was broken. */
  readonly good: boolean
  /** A hash, in hex, of all that has happened: the same for the same scenario, nodes and seed, here and in `npm run sim`. */
  readonly trace: string
  /** The figures, each beside its goal, and the rules that were broken, for people to read. */
  readonly text: string
}

/**
 * Plays one of the simulator's own stories, such as `join`, `broadcast`, `partition`, `crash`, `relays`, `churn`, `eclipse`
 * or `equivocate`, and measures what came of it. It runs without a pause: seconds for a hundred nodes, minutes for a
 * thousand, so in a page use a worker.
 *
 * @throws MeshError `invalid-argument`, for example for a name that there is not, with those that there are
 * @example
 * ```ts
 * import { playScenario } from 'neural-mesh/testing'
 *
 * const { good, text } = await playScenario('partition', { nodes: 20, seed: 7 })
 * console.log(text)
 * if (!good) process.exitCode = 1
 * ```
 */
export async function playScenario(name: string, options: ScenarioOptions = {}): Promise<ScenarioReport> {
  const { nodes, seed } = checkScenario(name, options)
  const glue = await loadSimulator(options.wasm)
  try {
    return glue.playScenario(name, nodes, seed)
  } catch (error) {
    throw toMeshError(error)
  }
}
