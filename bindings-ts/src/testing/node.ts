import { readFile } from 'node:fs/promises'
import { findSimulator } from './load.js'

findSimulator(() => readFile(new URL('../generated/mesh_sim_bg.wasm', import.meta.url)))

export * from './api.js'
