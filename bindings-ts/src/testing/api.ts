// What `neural-mesh/testing` offers, in reading order.
export { createSimMesh, type SimMesh, type SimSide } from './sim-mesh.js'
export type { Received, SimNode } from './sim-node.js'
export type { LinkOptions, NodeRef, ScenarioOptions, SimLimit, SimMeshOptions } from './sim-options.js'
export { playScenario, type ScenarioReport } from './scenario.js'
export type { Violation } from './engine.js'
export { MeshError } from '../errors.js'
export type { ErrorCode } from '../errors.js'
