import type { BlockStore } from '../store/blocks.js'
import type { MeshStore } from '../store/store.js'

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

/** @internal What a mesh does when something happens to the page that it lives in. */
export interface PageLife {
  /** It may have been asleep, or on another network. */
  wake: () => void
  /** It goes for good. */
  leave: () => void
}

/** @internal An identity that nobody else of this origin uses until it is released. */
export interface StoredIdentity {
  readonly identity: Uint8Array
  readonly release: () => void
}

/** @internal What differs between the places this runs in. */
export interface Platform {
  /** Whether what is kept here is a program's own, and not a browser's, which goes with its tab. */
  native?: true
  /** Finds the wasm that is shipped with the package. */
  wasm?: () => WasmSource | Promise<WasmSource>
  /** Watches the page, until the returned function is called. */
  watchLife?: (life: PageLife) => () => void
  /** Gets an identity for a mesh that is kept between visits. */
  storedIdentity?: (mesh: string) => Promise<StoredIdentity>
  /** A store in a directory. */
  fileStore?: (directory: string) => MeshStore
  /** A block store in a directory. */
  fileBlocks?: (directory: string) => BlockStore
  /** SHA-256, at once and faster than in wasm. */
  sha256?: (data: Uint8Array) => Uint8Array
  /** Gets what this place has of WebRTC ready. Whether it is there the core finds out itself. */
  webrtc?: () => Promise<WebrtcTraits>
  /** Tells the local network where this node listens, until the returned function is called. */
  answerMdns?: (listening: readonly string[]) => () => void
  /** Calls back with every exception that nobody caught, without changing what becomes of it. */
  watchUncaught: (callback: (error: unknown) => void) => void
}
