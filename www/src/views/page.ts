import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { count } from '../words.js'
import { agentList } from './agents.js'
import { broadcasts } from './broadcasts.js'
import { conversation } from './conversation.js'
import { decisionsView } from './decisions.js'
import { icon } from './icons.js'
import { joinForm } from './join.js'
import { meshView } from './mesh.js'

/** The whole page. */
export function page(app: App, changed: () => void): TemplateResult {
  const { session } = app
  return html`
    ${header(app)}
    <div class="notices">${trouble(app)} ${webrtcNotice(app)}</div>
    ${session
      ? html`<main class="joined" ?data-charter=${session.decisions !== undefined}>
          ${agentList(app, session)} ${meshView(app, session, changed)}
          ${session.decisions ? decisionsView(app, session, session.decisions) : nothing} ${broadcasts(app, session)}
          ${conversation(app, session)}
        </main>`
      : html`<main class="outside">${joinForm(app)}</main>`}
    <p class="unseen" role="status">${session?.news}</p>
  `
}

function header(app: App): TemplateResult {
  const { session } = app
  return html`<header>
    <h1>
      ${icon('mesh')}<span>neural-mesh</span>
      ${session && html`<bdi class="mesh-name">${session.ticket.mesh}</bdi>`}
    </h1>
    ${state(app)}
    <div class="actions">
      ${session &&
      html`<button class="quiet" @click=${() => app.copyLink()}>
          ${icon(app.copied ? 'check' : 'link')}<span>${app.copied ? 'Copied' : 'Copy link'}</span>
        </button>
        <button class="quiet" @click=${() => app.leave()}>${icon('leave')}<span>Leave</span></button>`}
      <button
        class="quiet icon-only"
        aria-label="Dark colours"
        aria-pressed=${app.theme === 'dark'}
        @click=${() => app.switchTheme()}
      >
        ${icon(app.theme === 'dark' ? 'moon' : 'sun')}
      </button>
    </div>
  </header>`
}

function state({ phase, session }: App): TemplateResult {
  const [kind, text] = stateOf(phase, session)
  return html`<p class="state" data-state=${kind} role="status"><span class="dot"></span>${text}</p>`
}

function stateOf(phase: App['phase'], session: Session | undefined): [string, string] {
  if (phase === 'joining') return ['connecting', 'Connecting…']
  if (!session) return ['out', 'Not in a mesh']
  if (session.relays.size === 0) return ['lost', 'Relay lost, reconnecting…']
  return ['joined', `Joined · ${count(session.members.filter(({ kind }) => kind !== 'relay').length, 'node')}`]
}

function trouble(app: App): TemplateResult {
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

function webrtcNotice({ webrtc }: App): TemplateResult | typeof nothing {
  if (webrtc) return nothing
  return html`<aside class="notice" aria-label="Notice">
    ${icon('info')}
    <p>WebRTC is not available here: everything goes through the relay.</p>
  </aside>`
}
