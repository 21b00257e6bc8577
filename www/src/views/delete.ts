import { html, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { closeDialog, dialog } from './dialog.js'

/** Asks whether to take a key away. */
export function deleteDialog(app: App, { knowledge }: Session, { domain, key }: { domain: string; key: string }): TemplateResult {
  const remove = (event: Event) => {
    closeDialog(event)
    void knowledge.delete(domain, key)
  }
  return dialog(
    app,
    html`Delete <bdi>${key}</bdi>?`,
    html`<p>It is taken away from everybody, with all its versions. Nothing keeps what was there.</p>
      <div class="buttons">
        <button class="danger" @click=${remove}>Delete</button>
        <button @click=${closeDialog}>Keep</button>
      </div>`,
  )
}
