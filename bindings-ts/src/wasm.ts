import init, { MeshNode, useSha256 } from './generated/mesh_wasm.js'
import { MeshError, invalid, isTrap } from './errors.js'
import type { Platform, WasmSource, WebrtcTraits } from './platform/platform.js'

let platform: Platform | undefined
let loading: Promise<void> | undefined
let failure: MeshError | undefined
const trapListeners = new Set<(cause: unknown) => void>()

/** @internal Called by the one platform file that is loaded first. */
export function usePlatform(here: Platform): void {
  platform ??= here
}

/** @internal Loads and starts the core, once; after a failure it can be tried again. */
export function loadWasm(source?: WasmSource): Promise<void> {
  if (failure) return Promise.reject(failure)
  loading ??= load(source).catch(error => {
    loading = undefined
    throw error
  })
  return loading
}

/** @internal The place this runs in. */
export function here(): Platform | undefined {
  return platform
}

/** @internal What the core is to know of this place's WebRTC. */
export async function prepareWebrtc(): Promise<WebrtcTraits> {
  return (await platform?.webrtc?.()) ?? { holdCandidates: false }
}

/** @internal Calls `listener` when a wasm instance fails where no caller sees it, until the returned function is called. */
export function onTrap(listener: (cause: unknown) => void): () => void {
  trapListeners.add(listener)
  return () => trapListeners.delete(listener)
}

/** @internal The instance has failed: nothing can be opened in it any more, and its other nodes are likely dead too. */
export function wasmFailed(error: MeshError): void {
  failure ??= error
  for (const listener of [...trapListeners]) listener(error.cause)
}

/** @internal */
export { MeshNode }

async function load(given: WasmSource | undefined): Promise<void> {
  let source = given
  try {
    source ??= await platform?.wasm?.()
    if (source === undefined) {
      throw invalid('neural-mesh/slim brings no wasm core: await initialize(wasm) first, with the file neural-mesh/mesh.wasm')
    }
    await init({ module_or_path: source as BufferSource | URL | Response | WebAssembly.Module })
    if (platform?.sha256) useSha256(platform.sha256)
  } catch (cause) {
    if (MeshError.isInstance(cause)) throw cause
    // Most often a bundler has not brought the file along, which its address shows.
    const from = typeof source === 'string' || source instanceof URL ? ` from ${source}` : ''
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MeshError('internal', `the wasm core could not be loaded${from}: ${reason}`, { cause })
  }
  platform?.watchUncaught(error => {
    if (isTrap(error)) for (const listener of [...trapListeners]) listener(error)
  })
}
