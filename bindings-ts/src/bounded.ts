import { MeshError, aborted } from './errors.js'
import type { CallOptions } from './options.js'

/** @internal */
export interface Bounds<T> extends CallOptions {
  /** The error when `timeoutMs` have passed. */
  onTimeout?: () => MeshError
  /** What to do with a result that nobody waits for any more. */
  onLate?: (value: T) => void
  /** Where to register, so that somebody else can fail this call. */
  pending?: Set<(error: MeshError) => void>
}

/**
 * Runs `work`, but rejects as soon as the signal, the clock or whoever holds `pending` says so.
 *
 * A plain `Promise.race` would not do: it keeps its reaction on a long-lived promise for ever, once per call.
 *
 * @internal
 */
export function bounded<T>(bounds: Bounds<T>, work: () => Promise<T>): Promise<T> {
  const { signal, timeoutMs, onTimeout, onLate, pending } = bounds
  if (signal?.aborted) return Promise.reject(aborted(signal))
  return new Promise<T>((resolve, reject) => {
    let settled = false
    const settle = () => {
      settled = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      pending?.delete(fail)
    }
    const fail = (error: MeshError) => {
      settle()
      reject(error)
    }
    const onAbort = () => fail(aborted(signal!))
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => fail(onTimeout?.() ?? new MeshError('timeout', `no answer within ${timeoutMs} ms`)), timeoutMs)
    signal?.addEventListener('abort', onAbort)
    pending?.add(fail)

    run(work).then(
      value => {
        if (settled) return onLate?.(value)
        settle()
        resolve(value)
      },
      error => {
        if (settled) return
        settle()
        reject(error)
      },
    )
  })
}

/** @internal Aborts `controller` when `signal` is, until the returned function is called: AbortSignal.any came with Node.js 20.3. */
export function follow(controller: AbortController, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => {}
  const onAbort = () => controller.abort(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort)
  return () => signal.removeEventListener('abort', onAbort)
}

// Makes a rejection of what `work` throws before its first await.
async function run<T>(work: () => Promise<T>): Promise<T> {
  return work()
}
