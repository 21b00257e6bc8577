/**
 * The wasm core: its bytes, where to fetch it, the response that brings it, or the compiled module. In Node.js, where
 * `fetch` reads no files, bytes or a module.
 */
export type WasmSource = Uint8Array | ArrayBuffer | URL | string | Response | WebAssembly.Module

/** @internal What the core must know of an implementation of WebRTC. */
export interface WebrtcTraits {
  /** Candidates are held back until the other end's are here. */
  readonly holdCandidates: boolean
}

/** @internal What differs between the places this runs in. */
export interface Platform {
  /** Finds the wasm that is shipped with the package. */
  wasm?: () => WasmSource | Promise<WasmSource>
  /** Gets what this place has of WebRTC ready. Whether it is there the core finds out itself. */
  webrtc?: () => Promise<WebrtcTraits>
  /** Calls back with every exception that nobody caught, without changing what becomes of it. */
  watchUncaught: (callback: (error: unknown) => void) => void
}
