import { html, nothing, type TemplateResult } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import type { KnowledgeDomain } from 'neural-mesh'
import type { App } from '../app.js'
import type { Knowledge, Row } from '../knowledge.js'
import type { Session } from '../session.js'
import { kindOf } from '../values.js'
import { ago, bytes, count } from '../words.js'
import { avatar } from './agents.js'
import { dropTarget } from './drop.js'
import { entryView } from './entry.js'
import { putForm } from './put.js'
import { problem } from './trouble.js'

// Domains that are drawn as buttons; the others are in a list beside them, up to the second.
const MAX_BUTTONS = 5
const MAX_OPTIONS = 500

/** What all know: domains, keys, what stands under the one that is open, and the form that puts something there. */
export function knowledgeView(app: App, session: Session): TemplateResult {
  const { knowledge } = session
  const { over, leave, drop } = dropTarget(([file]) => file && knowledge.take(file))
  const takes = !session.listens
  return html`<section
    class="card knowledge"
    aria-labelledby="knowledge-title"
    @dragover=${takes ? over : nothing}
    @dragleave=${takes ? leave : nothing}
    @drop=${takes ? drop : nothing}
  >
    <div class="title">
      <h2 id="knowledge-title">Knowledge</h2>
      ${storage(knowledge)}
    </div>
    ${problem(knowledge.trouble, () => knowledge.dismiss())}
    <div class="panes">
      <div class="known">
        ${domains(session, knowledge)} ${search(knowledge)} ${list(session, knowledge)} ${putForm(session, knowledge)}
      </div>
      ${entryView(app, session, knowledge)}
    </div>
    <p class="drop-hint" aria-hidden="true">Drop to put it under a key</p>
  </section>`
}

function storage({ storage, keeps }: Knowledge): TemplateResult {
  const room = storage ? `${bytes(storage.used)} of ${bytes(storage.max)} used` : ''
  const forgets = keeps ? '' : ' · not kept: after a reload this page asks the others again'
  return html`<p class="facts room">
    ${storage ? html`<meter min="0" max=${Math.max(1, storage.max)} value=${storage.used} aria-label="Storage used"></meter>` : nothing}
    <span>${room}${forgets}</span>
  </p>`
}

function domains(session: Session, knowledge: Knowledge): TemplateResult {
  const { domain, domains } = knowledge
  const first = domains.slice(0, MAX_BUTTONS)
  const chosen = domains.find(one => one.domain === domain)
  const buttons = chosen && !first.includes(chosen) ? [...first.slice(0, -1), chosen] : first
  const others = domains.filter(one => !buttons.includes(one)).slice(0, MAX_OPTIONS)
  const choose = (event: Event) => knowledge.choose((event.currentTarget as HTMLSelectElement).value)
  return html`<div class="domains" role="group" aria-label="Domains">
    ${repeat(buttons, one => one.domain, one => domainButton(session, knowledge, one))}
    ${others.length === 0
      ? nothing
      : html`<select aria-label="More domains" .value=${''} @change=${choose}>
          <option value="" hidden>${others.length} more</option>
          ${others.map(one => html`<option value=${one.domain}>${domainName(session, one.domain)} (${one.entries})</option>`)}
        </select>`}
  </div>`
}

function domainButton(session: Session, knowledge: Knowledge, { domain, entries }: KnowledgeDomain): TemplateResult {
  const what = `${count(entries, 'entry', 'entries')}, with those that take a key away`
  return html`<button
    class="small"
    data-domain=${domain}
    aria-pressed=${knowledge.domain === domain}
    title=${what}
    @click=${() => knowledge.choose(domain)}
  >
    <bdi>${domainName(session, domain)}</bdi><span class="count">${entries}<span class="unseen"> entries</span></span>
  </button>`
}

/** What a domain is called: of somebody's own, with the name of whose it is. */
export function domainName(session: Session, domain: string): string {
  const at = domain.lastIndexOf('@')
  return at < 0 ? domain : `${domain.slice(0, at)} of ${session.whoIs(domain.slice(at + 1))}`
}

function search(knowledge: Knowledge): TemplateResult {
  const input = (event: Event) => knowledge.search((event.target as HTMLInputElement).value)
  return html`<input
    type="search"
    aria-label="Keys that begin with"
    placeholder="Keys that begin with"
    maxlength="256"
    autocomplete="off"
    spellcheck="false"
    .value=${knowledge.prefix}
    @input=${input}
  />`
}

function list(session: Session, knowledge: Knowledge): TemplateResult {
  const { rows, total, listed, prefix } = knowledge
  const none = prefix === '' ? 'Nothing is known in this domain yet.' : 'No key begins with that.'
  return html`<div class="keys" id="knowledge-keys" role="region" aria-label="Keys" tabindex="0">
    <ul>
      ${repeat(rows, ({ version }) => version.key, row => html`<li>${keyRow(session, knowledge, row)}</li>`)}
    </ul>
    ${total > rows.length ? html`<p class="hint">${count(total - rows.length, 'older key')} more: search for them.</p>` : nothing}
    ${listed && total === 0 ? html`<p class="empty">${none}</p>` : nothing}
  </div>`
}

function keyRow(session: Session, knowledge: Knowledge, { version, siblings }: Row): TemplateResult {
  const { domain, key, type, size, author, writtenAt } = version
  const name = session.whoIs(author)
  const { opened } = knowledge
  return html`<button
    class="row"
    data-key=${key}
    aria-pressed=${opened?.key === key && opened.domain === domain}
    @click=${() => knowledge.open(domain, key, 'entry-title')}
  >
    ${avatar(`${name}@${author}`)}
    <span class="who">
      <span class="line"><bdi class="name">${key}</bdi>${siblings === 0 ? nothing : html`<span class="chip">${siblings + 1} versions</span>`}</span>
      <span class="peer"><bdi>${kindOf(type)}</bdi> · ${bytes(size)} · <bdi>${name}</bdi> · ${ago(Date.now() - writtenAt)}</span>
    </span>
    ${copies(knowledge, version)}
  </button>`
}

// Of how many there are to be, once that is known.
function copies({ holders }: Knowledge, version: Row['version']): TemplateResult {
  const holding = holders.of(version)
  const lost = holding !== undefined && holding.holders.length === 0
  return html`<span class="copies" ?data-lost=${lost}>${holding ? holding.copies : '?'} of ${version.replicas}<span class="unseen"> copies</span></span>`
}
