import { initialize, joinMesh } from 'neural-mesh/slim'
import wasm from 'neural-mesh/mesh.wasm'
import { meet, type Meeting } from '../meet.js'

async function start(meeting: Meeting) {
  await initialize(wasm)
  return meet(joinMesh, meeting)
}

Object.assign(globalThis, { meet: start })
