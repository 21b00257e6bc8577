import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { picture } from './picture.js'
import { table } from './table.js'

/** Who is there and how they are reached: as a picture, or as a table that says the same. */
export function meshView(app: App, session: Session, changed: () => void): TemplateResult {
  const tab = (view: App['view'], label: string) =>
    html`<button aria-pressed=${app.view === view} @click=${() => app.show(view)}>${label}</button>`
  return html`<section class="card mesh" aria-labelledby="mesh-title">
    <div class="title">
      <h2 id="mesh-title">Mesh</h2>
      <div class="tabs" role="group" aria-label="Show the mesh as">${tab('picture', 'Picture')} ${tab('table', 'Table')}</div>
    </div>
    ${session.lacks.length === 0 ? nothing : html`<ul class="hint lacks">${session.lacks.map(lack => html`<li>${lack}</li>`)}</ul>`}
    ${app.view === 'picture' ? picture(app, session, changed) : table(app, session)}
  </section>`
}
