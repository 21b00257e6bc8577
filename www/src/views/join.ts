import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, Form } from '../app.js'
import { MAX_MESH_NAME, type Invite } from '../link.js'
import { dateAndTime, shortId } from '../words.js'
import { icon } from './icons.js'

/** The form that everything begins with. */
export function joinForm(app: App): TemplateResult {
  const { form, phase, source, invite, charter, founding } = app
  const joining = phase === 'joining'
  if (app.closed) return closed(form.mesh)
  const submit = (event: Event) => {
    event.preventDefault()
    if (!joining && !app.reading) void app.join()
  }
  return html`<section class="card join" aria-labelledby="join-title">
    <h2 id="join-title">${title(app)}</h2>
    <p class="lead">
      Agents in browsers and on servers, connected to each other. This page becomes one of them: it sees who is there,
      talks, and passes files.
    </p>
    ${invite ? invited(invite, app.keeps) : nothing}
    <form @submit=${submit}>
      <fieldset ?disabled=${joining}>
        ${field(form, 'name', 'Your agent’s name', invite?.role === 'observer' ? SILENT : 'How others see you.', {
          maxlength: 64,
          pattern: '[^@]+',
          required: true,
        })}
        ${field(form, 'capabilities', 'What it can do', 'Words, separated by commas. Others search for them.', {
          placeholder: 'digits, translation',
          maxlength: 1000,
        })}
        ${field(form, 'mesh', 'Mesh', invite ? 'From the invite.' : charter ? CHARTERED : founding ? FOUNDED : OPEN, {
          placeholder: 'lab',
          maxlength: MAX_MESH_NAME,
          required: true,
          readonly: charter !== undefined || invite !== undefined,
        })}
        ${field(form, 'relays', 'Relay', invite ? 'From the invite: this page will connect there.' : HINTS[source ?? 'none'], {
          placeholder: '/ip4/127.0.0.1/tcp/4002/ws/p2p/12D3KooW…',
          maxlength: 4200,
          required: true,
          readonly: invite !== undefined,
        })}
        ${charter || invite ? nothing : privateBox(app)}
      </fieldset>
      <div class="buttons">
        <button class="primary" type="submit" ?disabled=${joining || app.reading}>${joining ? 'Connecting…' : 'Join'}</button>
        ${joining ? html`<button type="button" @click=${() => app.cancel()}>Cancel</button>` : nothing}
      </div>
    </form>
  </section>`
}

const OPEN = 'Everybody who gives the same name on the same relay is in it.'
const CHARTERED = 'It has a charter: some of those who are in it vote on what others propose.'
const FOUNDED = 'Yours: this browser founds it, or comes back to it.'
const SILENT = 'You will only listen, so others do not see it.'
const HINTS = {
  none: 'The address that mesh-relay prints when it starts.',
  link: 'From the link: this page will connect there.',
  relay: 'The relay that this page comes from.',
}

function title({ source, form, founding }: App): unknown {
  if (source !== 'link') return 'Join a mesh'
  return founding ? html`Your private mesh <bdi>${form.mesh}</bdi>` : html`You are invited to <bdi>${form.mesh}</bdi>`
}

function invited({ invitedBy, until, role }: Invite, keeps: boolean): TemplateResult {
  const over = until.getTime() <= Date.now()
  return html`<div class="invited">
    ${icon('lock')}
    <div>
      <p>
        A private mesh. <span title=${invitedBy}>${shortId(invitedBy)}</span> invites you
        ${role === 'observer' ? 'to listen' : 'as a member'}, ${over ? 'which was possible until' : 'until'}
        <time datetime=${until.toISOString()}>${dateAndTime(until)}</time>, and has to be there when you come in for the first
        time. Then this browser can come back.
      </p>
      ${keeps ? nothing : html`<p><strong>${CANNOT_KEEP}: after a reload you are a stranger, and need a new invite.</strong></p>`}
    </div>
  </div>`
}

const CANNOT_KEEP = 'This browser cannot keep who you are, which takes a page by https or from this machine'

function privateBox(app: App): TemplateResult {
  const change = (event: Event) => app.found((event.target as HTMLInputElement).checked)
  const hint = !app.keeps
    ? `${CANNOT_KEEP}: nobody could let others in after a reload.`
    : app.founding && app.source === 'link'
      ? 'In the browser that has founded it, you come back to it. In any other you found a new one of that name.'
      : 'You found it, and let others in. Any relay will do: it only carries connections.'
  return html`<div class="box">
    <input
      type="checkbox"
      id="join-private"
      aria-describedby="join-private-hint"
      ?disabled=${!app.keeps}
      .checked=${app.founding}
      @change=${change}
    />
    <label for="join-private">Private: others need an invite</label>
    <p class="hint" id="join-private-hint">${hint}</p>
  </div>`
}

// The relay that serves this page is of a private mesh.
function closed(mesh: string): TemplateResult {
  return html`<section class="card join" aria-labelledby="join-title">
    <h2 id="join-title"><bdi>${mesh}</bdi> is private</h2>
    <p class="lead">
      To come in you need an invite: a link that somebody who is in it makes for you, by the button “Invite” or with
      <code>createInvite()</code>. Open that link, or scan its code.
    </p>
  </section>`
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
