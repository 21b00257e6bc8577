/** @internal Exceptions that nobody caught, in a page or a worker. */
export function watchUncaught(callback: (error: unknown) => void): void {
  if (typeof globalThis.addEventListener !== 'function') return
  globalThis.addEventListener('error', event => callback((event as ErrorEvent).error))
  globalThis.addEventListener('unhandledrejection', event => callback((event as PromiseRejectionEvent).reason))
}
