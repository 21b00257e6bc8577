import { html, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import { icon } from './icons.js'

/** What went wrong last. */
export function trouble(app: App): TemplateResult {
  const { trouble } = app
  return html`<div role="alert">
    ${trouble &&
    html`<div class="notice bad">
      ${icon('warning')}
      <p>${trouble.text}</p>
      <button class="quiet icon-only" aria-label="Dismiss" @click=${() => app.dismiss()}>${icon('close')}</button>
    </div>`}
  </div>`
}
