import { loadWasm, usePlatform } from '../wasm.js'
import type { WasmSource } from './platform.js'
import { watchLife } from './page-life.js'
import { storedIdentity } from './stored-identity.js'
import { watchUncaught } from './uncaught.js'

usePlatform({ watchUncaught, watchLife, storedIdentity })

export * from '../api.js'
export type { WasmSource }

/**
 * Gives this package its wasm core. Must be called once, and awaited, before a mesh is joined; only the first call counts.
 *
 * @param wasm the file `neural-mesh/mesh.wasm`: bytes, a URL, a response, or a compiled module
 * @throws MeshError `internal` when it cannot be loaded
 * @example
 * ```ts
 * import { initialize, joinMesh } from 'neural-mesh/slim'
 * import wasm from 'neural-mesh/mesh.wasm'
 * await initialize(wasm)
 * ```
 */
export async function initialize(wasm: WasmSource): Promise<void> {
  return loadWasm(wasm)
}
