import type { MeshEvent as CoreEvent, MeshNode } from './generated/mesh_wasm.js'
import { bounded } from './bounded.js'
import { MeshError, isTrap, toMeshError } from './errors.js'
import type { CallOptions } from './options.js'

/** @internal How long `close()` waits for the goodbye to the mesh. */
export const CLOSE_TIMEOUT_MS = 5000
// How long a core may take to answer before a failure of some wasm on the page is taken for its own.
const PROBE_MS = 2000

/**
 * One node of the wasm core, and what is true of all calls to it: they end when the caller, the clock, `close()` or a
 * defect of the core says so, and fail with a {@link MeshError}.
 *
 * A defect ends the wasm instance in the middle of its work. What it was doing then never answers, and where it is
 * noticed depends on who called: see `suspect`.
 *
 * @internal
 */
export class Core {
  readonly peerId: string
  readonly meshId: string
  readonly listening: readonly string[]
  /** Peers and relays that are connected. */
  readonly links = new Set<string>()
  /** Called once when closing begins: nothing that comes in can be acknowledged from now on. */
  onClosing: () => void = () => {}
  /** Called once: without an error when closed, with one when the core is dead. */
  onEnd: (error?: MeshError) => void = () => {}
  /** What calls are told that `close()` ends. */
  whyClosed = 'the mesh is closed'
  readonly #node: MeshNode
  readonly #pending = new Set<(error: MeshError) => void>()
  #refusal: MeshError | undefined
  #dead = false
  #closing: Promise<void> | undefined

  constructor(node: MeshNode) {
    this.#node = node
    this.peerId = node.peerId
    this.meshId = node.meshId
    this.listening = node.listening
  }

  /** Whether calls are still taken. */
  get open(): boolean {
    return this.#refusal === undefined
  }

  /** Throws when calls are not taken any more. */
  checkOpen(): void {
    if (this.#refusal) throw this.#refusal
  }

  /** Calls the core. `timeoutMs` is for work that has no time-out of its own in the core. */
  call<T>(options: CallOptions, work: (node: MeshNode, signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    if (this.#refusal) return Promise.reject(this.#refusal)
    const { signal, timeoutMs } = options
    return bounded({ signal, timeoutMs, pending: this.#pending }, () => work(this.#node, signal)).catch(error => {
      throw this.#explain(error)
    })
  }

  /** The next event; `undefined` when there will be none. One caller at a time. */
  async nextEvent(): Promise<CoreEvent | undefined> {
    if (this.#dead) return undefined
    try {
      return await this.#node.nextEvent()
    } catch (error) {
      if (this.#closing) return undefined
      this.#die(error)
      return undefined
    }
  }

  /** The application has a message. */
  taken(receipt: number): void {
    if (!this.open) return
    try {
      this.#node.taken(receipt)
    } catch (error) {
      if (isTrap(error)) this.#die(error)
      else throw toMeshError(error)
    }
  }

  /** Some wasm instance has failed, perhaps not ours: one that still answers is well. */
  suspect(cause: unknown): void {
    if (!this.open) return
    const stack = cause instanceof Error ? (cause.stack ?? '') : ''
    if (stack.includes('mesh_wasm')) return this.#die(cause)
    bounded({ timeoutMs: PROBE_MS }, () => this.#node.metrics()).catch(error => {
      // The core's own errors are plain objects: one that can still say no is alive.
      if (this.open && error instanceof Error) this.#die(cause)
    })
  }

  /** Says goodbye to the mesh, ends everything, and frees the core when `pumped` is done with it. Idempotent. */
  close(options: CallOptions, pumped: Promise<void>): Promise<void> {
    this.#closing ??= this.#close(options, pumped)
    return this.#closing
  }

  async #close(options: CallOptions, pumped: Promise<void>): Promise<void> {
    if (this.#dead) return
    const closed = new MeshError('closed', this.whyClosed)
    this.#refusal = closed
    this.onClosing()
    const { signal, timeoutMs = CLOSE_TIMEOUT_MS } = options
    // A goodbye that fails leaves nothing to do: the others will notice that we are gone.
    await bounded({ signal, timeoutMs }, () => this.#node.close()).catch(error => isTrap(error) && this.#die(error))
    if (this.#dead) return
    this.#failPending(closed)
    this.links.clear()
    this.onEnd()
    await bounded({ timeoutMs: CLOSE_TIMEOUT_MS }, () => pumped).then(
      () => this.#node.free(),
      () => {}, // Still borrowed; the garbage collector frees it.
    )
  }

  #explain(error: unknown): MeshError {
    if (!isTrap(error)) return toMeshError(error)
    this.#die(error)
    return this.#refusal!
  }

  #die(cause: unknown): void {
    if (this.#dead) return
    this.#dead = true
    const reason = cause instanceof Error ? cause.message : toMeshError(cause).message
    this.#refusal = new MeshError(
      'internal',
      `the mesh core has failed (${reason}) and cannot go on. Reload the page or restart the process; please report it`,
      { cause },
    )
    this.#failPending(this.#refusal)
    this.links.clear()
    this.onEnd(this.#refusal)
  }

  #failPending(error: MeshError): void {
    for (const fail of [...this.#pending]) fail(error)
  }
}
