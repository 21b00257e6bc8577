import { html, nothing, type TemplateResult } from 'lit-html'
import { keyed } from 'lit-html/directives/keyed.js'
import { repeat } from 'lit-html/directives/repeat.js'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { nameOf, peerOf } from '../words.js'
import { avatar, chips } from './agents.js'
import { composer } from './composer.js'
import { dropTarget } from './drop.js'
import { file } from './file.js'
import { icon } from './icons.js'
import { said } from './said.js'
import { reasonOf, wayAndTime } from './ways.js'

/** The agent that was chosen, and what was said and passed between us. */
export function conversation(app: App, session: Session): TemplateResult {
  const id = app.selected
  if (id === undefined) {
    return html`<section class="card conversation" aria-labelledby="conversation-title">
      <h2 id="conversation-title">Messages</h2>
      <p class="empty">Choose an agent to talk to it, or drop a file on it.</p>
    </section>`
  }
  const { over, leave, drop } = dropTarget(files => app.sendFiles(id, files))
  return html`<section
    class="card conversation"
    aria-labelledby="conversation-title"
    @dragover=${over}
    @dragleave=${leave}
    @drop=${drop}
  >
    ${head(app, session, id)}
    ${keyed(
      id,
      html`<div class="log" role="log" aria-label="Messages" tabindex="0">${items(session, id)}</div>
        ${composer('message', `Message to ${nameOf(id)}`, text => app.send(id, text), fileButton(app, id))}`,
    )}
    <p class="drop-hint" aria-hidden="true">Drop to send to <bdi>${nameOf(id)}</bdi></p>
  </section>`
}

function head(app: App, session: Session, id: string): TemplateResult {
  const agent = session.agents.get(id)
  const member = session.members.find(({ peerId }) => peerId === peerOf(id))
  const reason = member && reasonOf(member)
  return html`<div class="head">
    ${avatar(id)}
    <div class="who">
      <h2 id="conversation-title"><bdi>${nameOf(id)}</bdi></h2>
      <p class="facts">
        ${agent?.type === undefined ? nothing : html`<bdi>${agent.type}</bdi> · `}${member ? wayAndTime(member) : 'has left'}
        ${reason === undefined ? nothing : html`<bdi>(${reason})</bdi>`}
      </p>
      <p class="facts"><code>${peerOf(id)}</code></p>
      ${agent ? chips(agent.capabilities, 32) : nothing}
      ${session.membership?.founder && member?.kind === 'member'
        ? html`<button class="small remove" @click=${() => app.ask({ remove: id })}>Remove from the mesh</button>`
        : nothing}
    </div>
  </div>`
}

function items(session: Session, id: string): unknown {
  const conversation = session.talk.with(id)
  if (!conversation) return html`<p class="empty">Nothing yet. Write something, or drop a file here.</p>`
  return repeat(conversation.items, ({ key }) => key, item => (item.kind === 'file' ? file(item) : said(item, { named: false })))
}

function fileButton(app: App, id: string): TemplateResult {
  const choose = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement
    app.sendFiles(id, [...(input.files ?? [])])
    input.value = ''
  }
  return html`<label class="button icon-only" title="Send files">
    ${icon('clip')}<span class="unseen">Send files</span>
    <input class="unseen" type="file" multiple @change=${choose} />
  </label>`
}
