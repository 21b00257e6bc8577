import { render } from 'lit-html'
import { App } from './app.js'
import { keepAtEnd } from './scroll.js'
import { page } from './views/page.js'
import './style/base.css'
import './style/page.css'
import './style/mesh.css'
import './style/talk.css'

/** Milliseconds that closing the page may take longer, so that its goodbye gets out. */
const GOODBYE_MS = 25

// One state, one view of it: whatever happens, the page is drawn from the state at the next frame.
const root = document.getElementById('app')!
let drawing = false

function changed(): void {
  if (drawing) return
  drawing = true
  // A page that nobody sees gets no frames, but has a title.
  if (document.hidden) setTimeout(draw)
  else requestAnimationFrame(draw)
}

function draw(): void {
  drawing = false
  const unread = app.session?.talk.unread ?? 0
  document.title = `${unread > 0 ? `(${unread}) ` : ''}${app.session ? `${app.session.ticket.mesh} · ` : ''}neural-mesh`
  const settle = keepAtEnd(root)
  render(page(app, changed), root)
  settle()
  if (!app.toMessage) return
  app.toMessage = false
  const message = document.getElementById('message')
  message?.focus({ preventScroll: true })
  message?.closest('section')?.scrollIntoView({ block: 'nearest' })
}

// Between two listeners the core gets to write its goodbye. It is lost now and then when the tab is gone before the
// browser's network process has taken it; without it, others see only after some 15 s of silence that we have left.
function linger(): void {
  const until = performance.now() + GOODBYE_MS
  while (app.session && !app.session.over && performance.now() < until);
}

const app = new App(changed)
addEventListener('hashchange', () => app.readLink())
// A page that the browser keeps for the way back is only asleep.
addEventListener('pagehide', ({ persisted }) => persisted || app.goodbye())
addEventListener('pagehide', ({ persisted }) => persisted || linger())
// A file that misses its goal must not replace the page.
for (const type of ['dragover', 'drop'] as const) addEventListener(type, event => event.preventDefault())
draw()
void app.prepare()
