import type { PageLife } from './platform.js'

/**
 * @internal Tells a mesh what happens to the page that it lives in, until the returned function is called.
 *
 * A page that was hidden, frozen or offline may have lost its connections without a word, and one that comes back from
 * the back/forward cache has: browsers take only pages in there that hold no connection, or close them.
 */
export function watchLife(life: PageLife): () => void {
  const stop = new AbortController()
  const listen = (target: EventTarget | undefined, type: string, listener: (event: Event) => void) => {
    target?.addEventListener?.(type, listener, { signal: stop.signal })
  }
  const { document } = globalThis as { document?: Document }
  listen(document, 'visibilitychange', () => document?.visibilityState === 'visible' && life.wake())
  listen(document, 'resume', life.wake)
  listen(globalThis, 'online', life.wake)
  listen(globalThis, 'pageshow', event => (event as PageTransitionEvent).persisted && life.wake())
  // One that may come back is left as it is.
  listen(globalThis, 'pagehide', event => !(event as PageTransitionEvent).persisted && life.leave())
  return () => stop.abort()
}
