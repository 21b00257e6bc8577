import { usePlatform } from '../wasm.js'
import { watchLife } from './page-life.js'
import { storedIdentity } from './stored-identity.js'
import { watchUncaught } from './uncaught.js'

// Bundlers see this expression, copy the file, and put its new address here.
const wasm = () => new URL('../generated/mesh_wasm_bg.wasm', import.meta.url)

usePlatform({ wasm, watchUncaught, watchLife, storedIdentity })
