import { html, type TemplateResult } from 'lit-html'
import { ref } from 'lit-html/directives/ref.js'
import type { App } from '../app.js'
import { icon } from './icons.js'
import { trouble } from './trouble.js'

/** Something in front of everything else. Escape, its button and a click beside it put it away. */
export function dialog(app: App, title: unknown, content: unknown): TemplateResult {
  const close = () => app.ask(undefined)
  const click = (event: Event) => event.target === event.currentTarget && closeDialog(event)
  return html`<dialog aria-labelledby="dialog-title" ${ref(show)} @close=${close} @click=${click}>
    <div class="sheet">
      <div class="title">
        <h2 id="dialog-title">${title}</h2>
        <button class="quiet icon-only" aria-label="Close" @click=${closeDialog}>${icon('close')}</button>
      </div>
      ${trouble(app)} ${content}
    </div>
  </dialog>`
}

/** Closes the dialog in which that has happened, which brings the focus back to where it was. */
export function closeDialog({ currentTarget }: Event): void {
  ;(currentTarget as Element).closest('dialog')?.close()
}

// It is in the page only after this drawing.
function show(element: Element | undefined): void {
  queueMicrotask(() => {
    if (element instanceof HTMLDialogElement && element.isConnected && !element.open) element.showModal()
  })
}
