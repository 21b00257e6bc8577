import { initialize, joinMesh } from 'neural-mesh/slim'
import wasm from 'neural-mesh/mesh.wasm'
import { meet } from '../meet.js'

globalThis.meet = async options => {
  await initialize(wasm)
  return meet(joinMesh, options)
}
