import { usePlatform } from '../wasm.js'
import { watchUncaught } from './uncaught.js'

// Bundlers see this expression, copy the file, and put its new address here.
usePlatform({ wasm: () => new URL('../generated/mesh_wasm_bg.wasm', import.meta.url), watchUncaught })
