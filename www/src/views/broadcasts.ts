import { html, nothing, type TemplateResult } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { composer } from './composer.js'
import { said } from './said.js'

/** What is said to everybody. */
export function broadcasts(app: App, session: Session): TemplateResult {
  return html`<section class="card broadcasts" aria-labelledby="broadcasts-title">
    <h2 id="broadcasts-title">To everybody</h2>
    <div class="log" role="log" aria-label="Broadcasts" tabindex="0">
      ${repeat(session.broadcasts, item => item.key, item => said(item, { named: true }))}
      ${session.broadcasts.length === 0 ? html`<p class="empty">Nothing was said to everybody yet.</p>` : nothing}
    </div>
    ${composer('broadcast', 'Say something to everybody', text => app.broadcast(text))}
  </section>`
}
