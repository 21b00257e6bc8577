import type { ErrorCode as CoreErrorCode } from './generated/mesh_wasm.js'

/**
 * What went wrong, as a stable word to decide by:
 *
 * | code | meaning |
 * |---|---|
 * | `invalid-argument` | the call cannot work as it was made; the message says what to change |
 * | `unknown-agent` | nobody in the mesh has an agent of that name |
 * | `ambiguous-agent` | several nodes have an agent of that name: use `name@peerId` |
 * | `peer-unreachable` | the node is known, but no connection to it could be made |
 * | `timeout` | no answer in time; the other side may or may not have acted |
 * | `too-large` | the bytes are more than this kind of message, or the receiver, takes |
 * | `over-quota` | too much at once: try again later |
 * | `integrity` | bytes are not those that the checksum was made of |
 * | `refused` | the other side said no |
 * | `aborted` | the caller's `AbortSignal`; `cause` is the signal's reason |
 * | `closed` | the mesh is closed, or not open yet |
 * | `relay-unreachable` | no relay let this node into the mesh in time |
 * | `no-quorum` | too few voters can be reached to decide; what was proposed stays open |
 * | `already-voted` | this node has voted on it, and the first vote counts |
 * | `not-a-voter` | this node has no vote: it is not listed, has no store, or the mesh has no charter |
 * | `lapsed` | time was over before enough voters had an opinion |
 * | `already-decided` | it is decided already |
 * | `unknown-proposal` | no such proposal is open, or remembered |
 * | `held` | somebody else holds the resource; `details` say who and for how long |
 * | `not-held` | the resource is not this node's, or not any more |
 * | `not-a-founder` | only the founder of the mesh may do that |
 * | `not-a-member` | this node may not do that: it only listens, is no member of this private mesh, or may not let others in |
 * | `invite-invalid` | the invite lets nobody in: another node has used it, or it was revoked, or is over |
 * | `in-use` | another process or tab has this store open: end that one, or use another store |
 * | `store-failed` | what must not be forgotten could not be kept: nothing more is until the store is opened anew, unless it is a `BlockStore` |
 * | `storage-full` | the disk is full, the browser gives this site no more room, or a bound is reached: what is kept stays; make room, then try again |
 * | `not-found` | nobody who can be reached has it, or there is nothing under that key |
 * | `not-a-writer` | the domain is another node's, which has not let this one write there |
 * | `internal` | a defect in this package |
 */
export type ErrorCode =
  | 'invalid-argument'
  | 'unknown-agent'
  | 'ambiguous-agent'
  | 'peer-unreachable'
  | 'timeout'
  | 'too-large'
  | 'over-quota'
  | 'integrity'
  | 'refused'
  | 'aborted'
  | 'closed'
  | 'relay-unreachable'
  | 'no-quorum'
  | 'already-voted'
  | 'not-a-voter'
  | 'lapsed'
  | 'already-decided'
  | 'unknown-proposal'
  | 'held'
  | 'not-held'
  | 'not-a-founder'
  | 'not-a-member'
  | 'invite-invalid'
  | 'in-use'
  | 'store-failed'
  | 'storage-full'
  | 'not-found'
  | 'not-a-writer'
  | 'internal'

// The core's code -> ours. A code that the core gains fails the type check here until it is mapped.
const CODES: Readonly<Record<CoreErrorCode, ErrorCode>> = {
  'invalid-argument': 'invalid-argument',
  'unknown-agent': 'unknown-agent',
  'ambiguous-agent': 'ambiguous-agent',
  'peer-unreachable': 'peer-unreachable',
  timeout: 'timeout',
  'too-large': 'too-large',
  'over-quota': 'over-quota',
  integrity: 'integrity',
  refused: 'refused',
  aborted: 'aborted',
  closed: 'closed',
  'relay-unreachable': 'relay-unreachable',
  'no-quorum': 'no-quorum',
  'already-voted': 'already-voted',
  'not-a-voter': 'not-a-voter',
  lapsed: 'lapsed',
  'already-decided': 'already-decided',
  'unknown-proposal': 'unknown-proposal',
  held: 'held',
  'not-held': 'not-held',
  'not-a-founder': 'not-a-founder',
  'not-a-member': 'not-a-member',
  'invite-invalid': 'invite-invalid',
  'store-failed': 'store-failed',
  'storage-full': 'storage-full',
  'not-found': 'not-found',
  'not-a-writer': 'not-a-writer',
  internal: 'internal',
}

// Registered, so that errors of two copies of this package recognise each other.
const MARKER = Symbol.for('neural-mesh.MeshError')

/**
 * The one error of this package: every method that fails rejects with it.
 *
 * @example
 * ```ts
 * try {
 *   await mesh.send('ada', 'hello')
 * } catch (error) {
 *   if (MeshError.isInstance(error) && error.code === 'unknown-agent') await mesh.agents.find({ name: 'ada' })
 *   else throw error
 * }
 * ```
 */
export class MeshError extends Error {
  /** What went wrong, as a stable word to decide by. */
  readonly code: ErrorCode
  /** More about it, where there is more to say; which fields depends on `code`. */
  readonly details?: Readonly<Record<string, unknown>>

  /**
   * Makes an error; meant for those who wrap or imitate this package in their tests.
   *
   * @example
   * ```ts
   * throw new MeshError('timeout', 'ada did not answer within 10 s')
   * ```
   */
  constructor(code: ErrorCode, message: string, options: { details?: object | undefined; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    if (options.details) this.details = options.details as Record<string, unknown>
  }

  /**
   * Whether `error` is a `MeshError`, also when it comes from another copy of this package.
   *
   * @example
   * ```ts
   * const retry = MeshError.isInstance(error) && error.code === 'peer-unreachable'
   * ```
   */
  static isInstance(error: unknown): error is MeshError {
    return typeof error === 'object' && error !== null && MARKER in error
  }
}
Object.defineProperty(MeshError.prototype, 'name', { value: 'MeshError', configurable: true, writable: true })
Object.defineProperty(MeshError.prototype, MARKER, { value: true })

/** @internal Shorthand for the most frequent code. */
export function invalid(message: string): MeshError {
  return new MeshError('invalid-argument', message)
}

/** @internal The error for a signal that was aborted. */
export function aborted(signal: AbortSignal): MeshError {
  return new MeshError('aborted', 'the call was aborted', { cause: signal.reason })
}

/** @internal Anything that was thrown, above all the core's `{ code, message, details }`, as a `MeshError`. */
export function toMeshError(thrown: unknown): MeshError {
  if (MeshError.isInstance(thrown)) return thrown
  if (isCoreError(thrown)) {
    const code = Object.hasOwn(CODES, thrown.code) ? CODES[thrown.code] : 'internal' // a core of another version
    return new MeshError(code, thrown.message, { details: thrown.details })
  }
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  return new MeshError('internal', `unexpected failure: ${reason}`, { cause: thrown })
}

/** @internal Whether the wasm instance itself failed; its memory is not to be trusted after that. */
export function isTrap(thrown: unknown): boolean {
  return typeof WebAssembly === 'object' && thrown instanceof WebAssembly.RuntimeError
}

interface CoreError {
  code: CoreErrorCode
  message: string
  details?: object
}

function isCoreError(thrown: unknown): thrown is CoreError {
  if (typeof thrown !== 'object' || thrown === null || thrown instanceof Error) return false
  const { code, message } = thrown as Partial<CoreError>
  return typeof code === 'string' && typeof message === 'string'
}
