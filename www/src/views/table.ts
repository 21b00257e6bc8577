import { html, nothing, type TemplateResult } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import type { App } from '../app.js'
import type { Member } from '../roster.js'
import type { Session } from '../session.js'
import { millis, shortId } from '../words.js'
import { addressee, reasonOf, wayOf } from './ways.js'

const MAX_ROWS = 500

/** What the picture shows, in words. */
export function table(app: App, session: Session): TemplateResult {
  const members = session.members.slice(0, MAX_ROWS)
  return html`<div class="table" tabindex="0" role="region" aria-label="Nodes of the mesh">
    <table>
      <thead>
        <tr>
          <th scope="col">Node</th>
          <th scope="col">Agents</th>
          <th scope="col">Connection</th>
          <th scope="col">Round trip</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(members, ({ peerId }) => peerId, member => row(app, member))}
      </tbody>
    </table>
    ${session.members.length > MAX_ROWS ? html`<p class="hint">${session.members.length - MAX_ROWS} more</p>` : nothing}
  </div>`
}

function row(app: App, member: Member): TemplateResult {
  const { peerId, agents, rttMs } = member
  const reason = reasonOf(member)
  const to = addressee(member)
  const id = html`<span class="peer" title=${peerId}>${shortId(peerId)}</span>`
  return html`<tr data-peer=${peerId} data-way=${member.way}>
    <th scope="row">${to === undefined ? id : html`<button class="link" @click=${() => app.select(to)}>${id}</button>`}</th>
    <td>${agents.map(({ name }) => html`<bdi class="agent">${name}</bdi> `)}</td>
    <td>${wayOf(member)}${reason === undefined ? nothing : html` <bdi class="hint">(${reason})</bdi>`}</td>
    <td>${rttMs === undefined ? '' : millis(rttMs)}</td>
  </tr>`
}
