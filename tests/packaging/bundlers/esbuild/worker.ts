// A classic worker: no module, no import.
import { initialize, joinMesh } from 'neural-mesh/slim'
import wasm from 'neural-mesh/mesh.wasm'
import { meet, type Meeting } from '../meet.js'

onmessage = async ({ data }: MessageEvent<Meeting>) => {
  await initialize(wasm)
  postMessage(await meet(joinMesh, data))
}
