import { findSimulator } from './load.js'

// Bundlers see this expression, copy the file, and put its new address here.
findSimulator(() => new URL('../generated/mesh_sim_bg.wasm', import.meta.url))

export * from './api.js'
