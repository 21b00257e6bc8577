import { render } from 'lit-html'
import { App } from './app.js'
import { keepAtEnd } from './scroll.js'
import { page } from './views/page.js'
import './style/base.css'
import './style/page.css'
import './style/mesh.css'
import './style/talk.css'
import './style/decisions.css'
import './style/knowledge.css'
import './style/private.css'

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
  const unread = (app.session?.talk.unread ?? 0) + (app.session?.decisions?.asked ?? 0)
  document.title = `${unread > 0 ? `(${unread}) ` : ''}${app.session ? `${app.session.ticket.mesh} · ` : ''}neural-mesh`
  const settle = keepAtEnd(root)
  render(page(app, changed), root)
  settle()
  const knowledge = app.session?.knowledge
  if (app.toMessage) bring('message', 'section')
  else if (knowledge?.goal !== undefined) bring(knowledge.goal, 'article, section')
  app.toMessage = false
  if (knowledge) knowledge.goal = undefined
}

// Brings the user to what has that id, and what is around it into view.
function bring(id: string, around: string): void {
  const goal = document.getElementById(id)
  goal?.focus({ preventScroll: true })
  goal?.closest(around)?.scrollIntoView({ block: 'nearest' })
}

const app = new App(changed)
addEventListener('hashchange', () => void app.readLink())
// A file that misses its goal must not replace the page.
for (const type of ['dragover', 'drop'] as const) addEventListener(type, event => event.preventDefault())
void app.prepare()
draw()
