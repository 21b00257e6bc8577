import init, * as glue from '../generated/mesh_sim.js'
import { MeshError, invalid } from '../errors.js'
import type { WasmSource } from '../platform/platform.js'

let find: (() => WasmSource | Promise<WasmSource>) | undefined
let loading: Promise<unknown> | undefined

/** @internal Called by the entry point: where the simulator's wasm is found here. */
export function findSimulator(here: () => WasmSource | Promise<WasmSource>): void {
  find ??= here
}

/** @internal Loads the simulator, once; after a failure it can be tried again. */
export async function loadSimulator(given: WasmSource | undefined): Promise<typeof glue> {
  loading ??= load(given).catch(error => {
    loading = undefined
    throw error
  })
  await loading
  return glue
}

async function load(given: WasmSource | undefined): Promise<void> {
  const source = given ?? (await find?.())
  if (source === undefined) throw invalid('wasm is missing: give the file neural-mesh/sim.wasm')
  try {
    await init({ module_or_path: source as BufferSource | URL | Response | WebAssembly.Module })
  } catch (cause) {
    const from = typeof source === 'string' || source instanceof URL ? ` from ${source}` : ''
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MeshError('internal', `the simulator could not be loaded${from}: ${reason}`, { cause })
  }
}
