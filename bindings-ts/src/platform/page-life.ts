import type { PageLife } from './platform.js'

// Milliseconds that closing a page takes longer.
const LINGER_MS = 100

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
  const ends = (then: () => void) => (event: Event) => !(event as PageTransitionEvent).persisted && then()
  listen(globalThis, 'pagehide', ends(life.leave))
  listen(globalThis, 'pagehide', ends(linger))
  return () => stop.abort()
}

// The core writes its goodbye between two listeners. It is lost when the page is gone before the browser has taken it, and
// others then know only after some seconds of silence: in Chromium 3 of 43 times, and with 25 ms none; on two processors
// with three other busy programs 3 of 25 times with 25 ms, and none of 30 with 100 ms.
function linger(): void {
  const until = performance.now() + LINGER_MS
  while (performance.now() < until);
}
