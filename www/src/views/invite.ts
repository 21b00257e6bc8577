import { html, nothing, svg, type TemplateResult } from 'lit-html'
import type { Role } from 'neural-mesh'
import type { App } from '../app.js'
import type { Arrival, Issued } from '../invites.js'
import type { QrCode } from '../qr.js'
import type { Session } from '../session.js'
import { clock, dateAndTime } from '../words.js'
import { dialog } from './dialog.js'
import { icon } from './icons.js'

const HOUR = 3600_000
const LIFETIMES: readonly (readonly [number, string])[] = [
  [HOUR, 'an hour'],
  [24 * HOUR, 'a day'],
  [7 * 24 * HOUR, 'a week'],
]
const DEFAULT_LIFETIME = 24 * HOUR
const ROLES: readonly (readonly [Role, string])[] = [
  ['member', 'a member'],
  ['observer', 'somebody who only listens'],
]

/** Lets somebody into this private mesh. */
export function inviteDialog(app: App, session: Session): TemplateResult {
  const { current, arrivals } = session.invites
  const others = [...arrivals].filter(arrival => arrival !== current?.used).reverse()
  return dialog(
    app,
    html`Invite to <bdi>${session.ticket.mesh}</bdi>`,
    html`${current ? issued(app, session, current) : choices(app, session)}
    ${others.length === 0 ? nothing : html`<ul class="hint" aria-label="Came in">${others.map(one => html`<li>${cameIn(session, one)}</li>`)}</ul>`}`,
  )
}

function choices(app: App, session: Session): TemplateResult {
  const submit = (event: Event) => {
    event.preventDefault()
    const { elements } = event.currentTarget as HTMLFormElement
    const value = (name: string) => (elements.namedItem(name) as HTMLSelectElement).value
    void app.makeInvite(value('role') as Role, Number(value('lifetime')))
  }
  return html`<form class="choices" @submit=${submit}>
    <p class="hint">An invite lets in one node, once. You have to be here when it is used for the first time.</p>
    <label for="invite-role">For</label>
    <select name="role" id="invite-role">
      ${ROLES.map(([role, label]) => html`<option value=${role}>${label}</option>`)}
    </select>
    <label for="invite-lifetime">Valid for</label>
    <select name="lifetime" id="invite-lifetime">
      ${LIFETIMES.map(([ms, label]) => html`<option value=${ms} ?selected=${ms === DEFAULT_LIFETIME}>${label}</option>`)}
    </select>
    <button class="primary" ?disabled=${session.invites.making}>Make an invite</button>
  </form>`
}

function issued(app: App, session: Session, invite: Issued): TemplateResult {
  const { link, code, role, until, used } = invite
  const copied = app.copied === link
  const spent = used !== undefined || until <= Date.now()
  const another = () => {
    session.invites.next()
    app.ask('invite')
  }
  const select = (event: Event) => (event.currentTarget as HTMLInputElement).select()
  const ways = html`${code ? qr(code) : html`<p class="hint">This link is too long for a QR code: copy it.</p>`}
    <div class="with-copy">
      <input readonly aria-label="Invite link" .value=${link} @focus=${select} />
      <button class="primary" @click=${() => app.copy(link)}>${icon(copied ? 'check' : 'link')}${copied ? 'Copied' : 'Copy'}</button>
    </div>`
  return html`<div class="issued">
    ${spent ? nothing : ways}
    <p role="status">${used ? html`${icon('check')} ${cameIn(session, used)} by this invite.` : fate(role, until)}</p>
    <button @click=${another}>${icon('invite')}Another one</button>
  </div>`
}

function fate(role: Role, until: number): string {
  if (until <= Date.now()) return 'Nobody has used it in time.'
  const what = role === 'observer' ? ', who only listens' : ''
  return `For one${what}. Not used yet; valid until ${dateAndTime(new Date(until))}.`
}

const cameIn = (session: Session, { peerId, at }: Arrival) =>
  html`<bdi class="name">${session.whoIs(peerId)}</bdi> has come in at <time>${clock(at)}</time>`

// Dark on light in both themes: many readers take nothing else.
const qr = ({ size, path }: QrCode) =>
  html`<svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label="QR code of the invite" shape-rendering="crispEdges">
    ${svg`<rect width=${size} height=${size} rx="2" fill="#fff" /><path d=${path} fill="#000" />`}
  </svg>`
