import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { count, dateAndTime } from '../words.js'
import { agentList } from './agents.js'
import { broadcasts } from './broadcasts.js'
import { conversation } from './conversation.js'
import { decisionsView } from './decisions.js'
import { deleteDialog } from './delete.js'
import { icon } from './icons.js'
import { inviteDialog } from './invite.js'
import { joinForm } from './join.js'
import { knowledgeView } from './knowledge.js'
import { meshView } from './mesh.js'
import { removeDialog } from './remove.js'
import { trouble } from './trouble.js'

/** The whole page. */
export function page(app: App, changed: () => void): TemplateResult {
  const { session } = app
  return html`
    ${header(app)}
    <div class="notices">${app.dialog ? nothing : trouble(app)} ${webrtcNotice(app)}</div>
    ${session
      ? html`<main class="joined" ?data-charter=${session.decisions !== undefined}>
          ${agentList(app, session)} ${meshView(app, session, changed)}
          ${session.decisions ? decisionsView(app, session, session.decisions) : nothing} ${broadcasts(app, session)}
          ${conversation(app, session)} ${knowledgeView(app, session)}
        </main>`
      : html`<main class="outside">${joinForm(app)}</main>`}
    <p class="unseen" role="status">${session?.news}</p>
    ${session ? inFront(app, session) : nothing}
  `
}

function inFront(app: App, session: Session): TemplateResult | typeof nothing {
  const { dialog } = app
  if (dialog === undefined) return nothing
  if (dialog === 'invite') return inviteDialog(app, session)
  return 'remove' in dialog ? removeDialog(app, dialog.remove) : deleteDialog(app, session, dialog)
}

function header(app: App): TemplateResult {
  const { session } = app
  return html`<header>
    <h1>
      ${icon('mesh')}<span>neural-mesh</span>
      ${session && html`<bdi class="mesh-name">${session.ticket.mesh}</bdi>`} ${session ? privacy(session) : nothing}
    </h1>
    ${state(app)}
    <div class="actions">
      ${session &&
      html`${callOthers(app, session)}
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

function privacy({ membership }: Session): TemplateResult | typeof nothing {
  if (!membership) return nothing
  const { founder, role, until } = membership
  const what = founder ? 'you have founded this mesh' : role === 'observer' ? 'you only listen' : 'you are a member'
  const end = until ? ` until ${dateAndTime(until)}, and longer while who has let you in is there` : ''
  return html`<span class="private" title=${`Others need an invite; ${what}${end}.`}>
    ${icon('lock')}<span class="word">${role === 'observer' ? 'private, you only listen' : 'private'}</span>
    <span class="unseen">: ${what}${end}</span>
  </span>`
}

// The link that brings anybody into an open mesh; in a private one, an invite.
function callOthers(app: App, session: Session): TemplateResult | typeof nothing {
  if (session.membership) {
    return session.mayInvite
      ? html`<button class="quiet" @click=${() => app.ask('invite')}>${icon('invite')}<span>Invite</span></button>`
      : nothing
  }
  const { link } = app
  const copied = app.copied === link
  return html`<button class="quiet" @click=${() => app.copy(link!)}>
    ${icon(copied ? 'check' : 'link')}<span>${copied ? 'Copied' : 'Copy link'}</span>
  </button>`
}

function state({ phase, session }: App): TemplateResult {
  const [kind, text] = stateOf(phase, session)
  return html`<p class="state" data-state=${kind} role="status"><span class="dot"></span>${text}</p>`
}

function stateOf(phase: App['phase'], session: Session | undefined): [string, string] {
  if (phase === 'joining') return ['connecting', 'Connecting…']
  if (!session) return ['out', 'Not in a mesh']
  if (session.lost) return ['lost', 'Relay lost, reconnecting…']
  return ['joined', `Joined · ${count(session.members.filter(({ kind }) => kind !== 'relay').length, 'node')}`]
}

function webrtcNotice({ webrtc }: App): TemplateResult | typeof nothing {
  if (webrtc) return nothing
  return html`<aside class="notice" aria-label="Notice">
    ${icon('info')}
    <p>WebRTC is not available here: everything goes through the relay.</p>
  </aside>`
}
