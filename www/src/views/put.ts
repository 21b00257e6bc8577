import { html, nothing, type TemplateResult } from 'lit-html'
import type { Knowledge } from '../knowledge.js'
import type { Session } from '../session.js'
import type { Draft } from '../values.js'
import { bytes } from '../words.js'
import { icon } from './icons.js'

const MINUTE = 60_000
const LIFETIMES: readonly (readonly [number, string])[] = [
  [0, 'for ever'],
  [MINUTE, '1 minute'],
  [60 * MINUTE, '1 hour'],
  [24 * 60 * MINUTE, '1 day'],
  [7 * 24 * 60 * MINUTE, '1 week'],
]
const KINDS: readonly (readonly [Draft['kind'], string])[] = [
  ['text', 'Text'],
  ['json', 'JSON'],
  ['file', 'File'],
]
// As the package has them, in bytes; letters beyond ASCII take more, which it then says.
const MAX_KEY = 256
const MAX_DOMAIN = 64 + 129

/** Puts a text, a JSON value or a file under a key; who only listens is told why not. */
export function putForm(session: Session, knowledge: Knowledge): TemplateResult {
  if (session.listens) return html`<p class="hint">You only listen in this mesh: you see what is known, and cannot write.</p>`
  const { draft, busy } = knowledge
  const submit = (event: Event) => {
    event.preventDefault()
    void knowledge.put()
  }
  const input = (name: 'key' | 'domain' | 'text') => (event: Event) => knowledge.fill({ [name]: (event.target as HTMLInputElement).value })
  const live = (event: Event) => knowledge.fill({ ttlMs: Number((event.target as HTMLSelectElement).value) })
  return html`<form class="put" aria-label="Put something under a key" @submit=${submit}>
    <div class="place">
      <input name="key" aria-label="Key" placeholder="Key" required maxlength=${MAX_KEY} autocomplete="off" spellcheck="false" .value=${draft.key} @input=${input('key')} />
      <label class="in">
        <span>in</span>
        <input name="domain" aria-label="Domain" placeholder="shared" maxlength=${MAX_DOMAIN} autocomplete="off" spellcheck="false" .value=${draft.domain} @input=${input('domain')} />
      </label>
    </div>
    <div class="given">${draft.kind === 'file' ? fileBox(knowledge) : textBox(draft, input('text'))}</div>
    <div class="how">
      <div class="tabs" role="group" aria-label="What to put">
        ${KINDS.map(([kind, label]) => html`<button type="button" aria-pressed=${draft.kind === kind} @click=${() => knowledge.fill({ kind })}>${label}</button>`)}
      </div>
      <select name="ttl" aria-label="Time to live" @change=${live}>
        ${LIFETIMES.map(([ms, label]) => html`<option value=${ms} ?selected=${ms === draft.ttlMs}>${label}</option>`)}
      </select>
      <button class="primary" aria-disabled=${busy ? 'true' : nothing}>Put</button>
    </div>
  </form>`
}

function textBox({ kind, text }: Draft, input: (event: Event) => void): TemplateResult {
  const [label, example] = kind === 'json' ? ['JSON', '{ "accuracy": 0.95 }'] : ['Text', 'Text']
  return html`<textarea name="text" rows="3" aria-label=${label} placeholder=${example} spellcheck=${kind === 'json' ? 'false' : nothing} .value=${text} @input=${input}></textarea>`
}

function fileBox(knowledge: Knowledge): TemplateResult {
  const { file } = knowledge.draft
  const choose = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement
    const [file] = input.files ?? []
    if (file) knowledge.take(file)
    input.value = ''
  }
  return html`<div class="file-box">
    <label class="button small">
      ${icon('file')}<span>${file ? 'Choose another file' : 'Choose a file'}</span>
      <input class="unseen" type="file" @change=${choose} />
    </label>
    <p class="facts" role="status">${file ? html`<bdi class="name">${file.name}</bdi> · ${bytes(file.size)}` : 'or drop one here'}</p>
  </div>`
}
