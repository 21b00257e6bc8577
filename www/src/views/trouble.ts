import { html, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Explanation } from '../explain.js'
import { icon } from './icons.js'

/** What went wrong last. */
export const trouble = (app: App) => problem(app.trouble, () => app.dismiss())

/** Something that went wrong, until it is dismissed. */
export function problem(trouble: Explanation | undefined, dismiss: () => void): TemplateResult {
  return html`<div role="alert">
    ${trouble &&
    html`<div class="notice bad">
      ${icon('warning')}
      <p>${trouble.text}</p>
      <button class="quiet icon-only" aria-label="Dismiss" @click=${dismiss}>${icon('close')}</button>
    </div>`}
  </div>`
}
