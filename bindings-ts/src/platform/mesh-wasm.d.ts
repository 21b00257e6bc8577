// What `import wasm from 'neural-mesh/mesh.wasm'` gives is up to the bundler: an address, the bytes, or the compiled module.
// initialize() takes each of them, and createSimMesh() those of 'neural-mesh/sim.wasm'.

import type { WasmSource } from './platform.js'

declare const wasm: WasmSource
export default wasm
