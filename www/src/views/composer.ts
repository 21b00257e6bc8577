import { html, type TemplateResult } from 'lit-html'
import { icon } from './icons.js'

// A message has 61,440 bytes at most, and a character up to four.
const MAX_TEXT = 15_000

/** A line to write in, and the button that sends it. Enter sends, with Shift it makes a new line. */
export function composer(id: string, label: string, send: (text: string) => unknown, more: unknown = ''): TemplateResult {
  const submit = (event: Event) => {
    event.preventDefault()
    const input = (event.currentTarget as HTMLFormElement).elements.namedItem('text') as HTMLTextAreaElement
    if (input.value.trim() === '') return
    void send(input.value)
    input.value = ''
    input.focus()
  }
  const keydown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    ;(event.currentTarget as HTMLTextAreaElement).form?.requestSubmit()
  }
  return html`<form class="composer" @submit=${submit}>
    <textarea
      name="text"
      id=${id}
      rows="1"
      maxlength=${MAX_TEXT}
      aria-label=${label}
      placeholder=${label}
      @keydown=${keydown}
    ></textarea>
    ${more}
    <button class="primary icon-only" aria-label="Send">${icon('send')}</button>
  </form>`
}
