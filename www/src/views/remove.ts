import { html, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import { nameOf } from '../words.js'
import { closeDialog, dialog } from './dialog.js'

/** Asks whether to shut a node out of this private mesh. */
export function removeDialog(app: App, id: string): TemplateResult {
  const remove = (event: Event) => {
    closeDialog(event)
    void app.remove(id)
  }
  return dialog(
    app,
    html`Remove <bdi>${nameOf(id)}</bdi>?`,
    html`<p>Its node is shut out of the mesh at once, with all that it has let in. To come in again it needs a new invite.</p>
      <div class="buttons">
        <button class="danger" @click=${remove}>Remove</button>
        <button @click=${closeDialog}>Keep</button>
      </div>`,
  )
}
