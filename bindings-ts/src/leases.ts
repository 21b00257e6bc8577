/// <reference lib="esnext.disposable" preserve="true" />
import { asyncDispose } from './dispose.js'
import { MeshError, invalid } from './errors.js'
import { checkCall, checkMs, type CallOptions } from './options.js'

/** Tells a late writer from a current one: each lease of a resource has a greater one than all before. */
export interface FencingToken {
  /** The epoch whose voters granted the lease: compared first. */
  readonly epoch: number
  /** The number of the lease in that epoch. */
  readonly seq: number
}

/** How to acquire a resource. */
export interface AcquireOptions extends CallOptions {
  /** For how many milliseconds, from now: 1 to a day. Its holder has to stop after four fifths of it. */
  lengthMs: number
}

/** Who holds a resource. */
export interface LeaseState {
  /** The holder's peer id. */
  readonly holder: string
  /** The token of the lease. */
  readonly token: FencingToken
  /** Milliseconds until it is over, by this node's clock. */
  readonly leftMs: number
  /** Milliseconds until its holder has to stop. */
  readonly stopInMs: number
}

const MAX_LEASE_MS = 24 * 60 * 60 * 1000

/** A resource that is this node's for a while: {@link Consensus.acquire}. */
export class Lease {
  /** The resource's name. */
  readonly resource: string
  readonly #claim: (options: CallOptions) => Promise<LeaseState>
  readonly #release: () => Promise<void>
  readonly #abort = new AbortController()
  #token: FencingToken
  #stopAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @internal */
  constructor(resource: string, state: LeaseState, claim: (options: CallOptions) => Promise<LeaseState>, release: () => Promise<void>) {
    this.resource = resource
    this.#claim = claim
    this.#release = release
    this.#token = state.token
    this.#begin(state)
  }

  /** To be sent with everything that is written under this lease. Renewing makes a new one. */
  get token(): FencingToken {
    return this.#token
  }

  /** Milliseconds until the holder has to stop. */
  get leftMs(): number {
    return this.#abort.signal.aborted ? 0 : Math.max(0, this.#stopAt - performance.now())
  }

  /** Aborts when the holder has to stop, or has given the resource back. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /**
   * Asks the voters for as much time again, from now.
   *
   * @throws MeshError as {@link Consensus.acquire}; `not-held` when it is over
   * @example
   * ```ts
   * if (lease.leftMs < 10_000) await lease.renew()
   * ```
   */
  async renew(options: CallOptions = {}): Promise<void> {
    checkCall(options)
    if (this.leftMs === 0) throw this.#over()
    const state = await this.#claim(options)
    if (!this.#abort.signal.aborted) return this.#begin(state)
    // It ended meanwhile, and whoever held it has stopped: nobody may have it now.
    await this.#giveBack()
    throw this.#over()
  }

  /**
   * Gives the resource back, so that others need not wait until the lease is over. Does nothing when it is.
   *
   * @example
   * ```ts
   * await lease.release()
   * ```
   */
  async release(): Promise<void> {
    if (this.#abort.signal.aborted) return
    this.#end('it was given back')
    await this.#giveBack()
  }

  /**
   * Gives the resource back at the end of the block that declares the lease.
   *
   * @example
   * ```ts
   * await using lease = await mesh.consensus.acquire('gpu/0', { lengthMs: 60_000 })
   * ```
   */
  async [asyncDispose](): Promise<void> {
    return this.release()
  }

  #begin({ token, stopInMs }: LeaseState): void {
    this.#token = token
    this.#stopAt = performance.now() + stopInMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#end('it is over'), stopInMs)
    // In Node.js it is the mesh that keeps a process alive, and not what it has left behind.
    ;(this.#timer as { unref?: () => void }).unref?.()
  }

  async #giveBack(): Promise<void> {
    await this.#release().catch(error => {
      if (!MeshError.isInstance(error) || error.code !== 'not-held') throw error
    })
  }

  #over(): MeshError {
    return new MeshError('not-held', `the lease of '${this.resource}' is over: acquire it again`)
  }

  #end(why: string): void {
    clearTimeout(this.#timer)
    this.#abort.abort(new MeshError('not-held', `the lease of '${this.resource}' has ended: ${why}`))
  }
}

/**
 * Stands in front of what leases protect, and lets nobody write who was overtaken. It looks at no clock: a holder may be paused
 * for hours and not know. Keep {@link FencingGuard.greatest} with the data.
 *
 * @example
 * ```ts
 * const guard = new FencingGuard()
 * store.onWrite(({ token, value }) => {
 *   guard.admit(token)
 *   data = value
 * })
 * ```
 */
export class FencingGuard {
  #greatest: FencingToken | undefined

  /**
   * Begins with the greatest token that was seen before, if any.
   *
   * @example
   * ```ts
   * const guard = new FencingGuard(saved.token)
   * ```
   */
  constructor(greatest?: FencingToken) {
    this.#greatest = greatest && check(greatest)
  }

  /** The greatest token that was let through. */
  get greatest(): FencingToken | undefined {
    return this.#greatest
  }

  /**
   * Lets a write through.
   *
   * @throws MeshError `refused` when a later lease has written before
   * @example
   * ```ts
   * guard.admit(token)
   * ```
   */
  admit(token: FencingToken): void {
    const { epoch, seq } = check(token)
    const greatest = this.#greatest
    if (greatest && (epoch < greatest.epoch || (epoch === greatest.epoch && seq < greatest.seq))) {
      throw new MeshError('refused', `the lease is over: token ${greatest.epoch}.${greatest.seq} was seen since`, { details: { greatest } })
    }
    this.#greatest = { epoch, seq }
  }
}

function check(token: FencingToken): FencingToken {
  const { epoch, seq } = token ?? {}
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) throw invalid('a token is { epoch, seq }, as a lease has it')
  return { epoch, seq }
}

/** @internal For how long. */
export function checkLease(options: AcquireOptions): number {
  if (typeof options !== 'object' || options === null) throw invalid("options are missing: acquire('gpu/0', { lengthMs: 60_000 })")
  checkCall({ signal: options.signal, timeoutMs: options.timeoutMs })
  checkMs('lengthMs', options.lengthMs)
  if (options.lengthMs === undefined || options.lengthMs > MAX_LEASE_MS) throw invalid(`lengthMs must be at most ${MAX_LEASE_MS}, a day`)
  return options.lengthMs
}
