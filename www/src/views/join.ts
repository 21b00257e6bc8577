import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, Form } from '../app.js'
import { MAX_MESH_NAME } from '../link.js'

/** The form that everything begins with. */
export function joinForm(app: App): TemplateResult {
  const { form, phase, source } = app
  const joining = phase === 'joining'
  const submit = (event: Event) => {
    event.preventDefault()
    if (!joining) void app.join()
  }
  return html`<section class="card join" aria-labelledby="join-title">
    <h2 id="join-title">${source === 'link' ? html`You are invited to <bdi>${form.mesh}</bdi>` : 'Join a mesh'}</h2>
    <p class="lead">
      Agents in browsers and on servers, connected to each other. This page becomes one of them: it sees who is there,
      talks, and passes files.
    </p>
    <form @submit=${submit}>
      <fieldset ?disabled=${joining}>
        ${field(form, 'name', 'Your agent’s name', 'How others see you.', { maxlength: 64, pattern: '[^@]+', required: true })}
        ${field(form, 'capabilities', 'What it can do', 'Words, separated by commas. Others search for them.', {
          placeholder: 'digits, translation',
          maxlength: 1000,
        })}
        ${field(form, 'mesh', 'Mesh', app.charter ? CHARTERED : 'Everybody who gives the same name on the same relay is in it.', {
          placeholder: 'lab',
          maxlength: MAX_MESH_NAME,
          required: true,
          readonly: app.charter !== undefined,
        })}
        ${field(form, 'relays', 'Relay', HINTS[source ?? 'none'], {
          placeholder: '/ip4/127.0.0.1/tcp/4002/ws/p2p/12D3KooW…',
          maxlength: 4200,
          required: true,
        })}
      </fieldset>
      <div class="buttons">
        <button class="primary" type="submit" ?disabled=${joining}>${joining ? 'Connecting…' : 'Join'}</button>
        ${joining ? html`<button type="button" @click=${() => app.cancel()}>Cancel</button>` : nothing}
      </div>
    </form>
  </section>`
}

const CHARTERED = 'It has a charter: some of those who are in it vote on what others propose.'
const HINTS = {
  none: 'The address that mesh-relay prints when it starts.',
  link: 'From the link: this page will connect there.',
  relay: 'The relay that this page comes from.',
}

interface Limits {
  maxlength: number
  pattern?: string
  placeholder?: string
  required?: boolean
  readonly?: boolean
}

function field(form: Form, key: keyof Form, label: string, hint: string, limits: Limits): TemplateResult {
  const { maxlength, pattern, placeholder = '', required = false, readonly = false } = limits
  const input = (event: Event) => (form[key] = (event.target as HTMLInputElement).value)
  return html`<div class="field">
    <label for=${`join-${key}`}>${label}</label>
    <input
      id=${`join-${key}`}
      aria-describedby=${`join-${key}-hint`}
      autocomplete="off"
      spellcheck="false"
      placeholder=${placeholder}
      maxlength=${maxlength}
      pattern=${pattern ?? nothing}
      ?required=${required}
      ?readonly=${readonly}
      .value=${form[key]}
      @input=${input}
    />
    <p class="hint" id=${`join-${key}-hint`}>${hint}</p>
  </div>`
}
