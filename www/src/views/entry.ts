import { html, nothing, type TemplateResult } from 'lit-html'
import { keyed } from 'lit-html/directives/keyed.js'
import { repeat } from 'lit-html/directives/repeat.js'
import type { KnowledgeVersion } from 'neural-mesh'
import type { App } from '../app.js'
import type { Holding } from '../holders.js'
import type { Knowledge } from '../knowledge.js'
import type { Opened } from '../opened.js'
import { save } from '../save.js'
import type { Session } from '../session.js'
import { kindOf, shown } from '../values.js'
import { ago, bytes, count, dateAndTime, payloadText, shortId, timeLeft } from '../words.js'
import { avatar } from './agents.js'
import { icon } from './icons.js'
import { domainName } from './knowledge.js'

const HOUR = 3600_000
// Letters of what an author says of a value that are drawn.
const MAX_METADATA = 2000

/** The entry that is open: its value, who has written it and when, what stands beside it, and who holds it. */
export function entryView(app: App, session: Session, knowledge: Knowledge): TemplateResult {
  const { opened } = knowledge
  if (!opened) return html`<div class="entry"><p class="empty">Choose a key to see what it stands for.</p></div>`
  const { key, shown } = opened
  return html`${keyed(
    opened,
    html`<article class="entry" aria-labelledby="entry-title">
      <div class="title">
        <h3 id="entry-title" tabindex="-1"><bdi>${key}</bdi></h3>
        <button class="quiet icon-only" aria-label="Close the entry" @click=${(event: Event) => close(event, knowledge)}>${icon('close')}</button>
      </div>
      ${shown ? content(app, session, knowledge, opened, shown) : html`<p class="empty">${opened.known ? 'There is nothing under this key any more.' : ''}</p>`}
    </article>`,
  )}`
}

// The button goes: who is here by keyboard comes back to the key.
function close({ currentTarget }: Event, knowledge: Knowledge): void {
  const row = (currentTarget as Element).closest('section')?.querySelector<HTMLElement>('.keys [aria-pressed=true]')
  knowledge.closeEntry()
  ;(row ?? document.getElementById('knowledge-keys'))?.focus()
}

function content(app: App, session: Session, knowledge: Knowledge, opened: Opened, version: KnowledgeVersion): TemplateResult {
  const { domain, key } = opened
  const download = async () => {
    const file = await knowledge.file()
    if (file) save(file.name, file.data, 'application/octet-stream')
  }
  return html`${value(opened, version)}
    <div class="proof">
      <button class="small" @click=${download}>${icon('download')}Save</button>
      ${session.listens ? nothing : html`<button class="small remove" @click=${() => app.ask({ domain, key })}>Delete</button>`}
      ${saving(opened)}
    </div>
    ${versions(session, knowledge, opened)} ${facts(session, knowledge, version)} ${holders(session, knowledge, version)}`
}

function value({ look }: Opened, { type, size }: KnowledgeVersion): TemplateResult {
  const aside = html`<p class="facts value">${bytes(size)} of <bdi>${kindOf(type)}</bdi>, to be saved as a file.</p>`
  if (look === 'aside') return aside
  if (look === 'coming') return html`<p class="facts value">Fetching ${bytes(size)}…</p>`
  if ('failed' in look) return html`<p class="value failed">${look.failed}</p>`
  const drawn = shown(look.value)
  if (!drawn) return aside
  return html`<pre class="value" tabindex="0" role="region" aria-label="Value" dir="auto">${drawn.text}</pre>
    ${drawn.more > 0 ? html`<p class="hint">${drawn.more.toLocaleString()} more ${type === 'text' || type === 'cbor' ? 'letters' : 'numbers'}: save it to see all.</p>` : nothing}`
}

// Read out when asked for only: it changes many times a second.
function saving({ saving }: Opened): TemplateResult | typeof nothing {
  if (!saving) return nothing
  const { bytes: done, total = 0 } = saving
  return html`<span class="going" aria-live="off">
    <progress max=${Math.max(1, total)} value=${done} aria-label="Progress of fetching"></progress>
    <span class="peer">${bytes(done)}</span>
  </span>`
}

function versions(session: Session, knowledge: Knowledge, opened: Opened): TemplateResult | typeof nothing {
  const { versions, shown } = opened
  if (versions.length < 2) return nothing
  return html`<h4>${count(versions.length, 'version')}, written without knowing of each other</h4>
    <ul class="versions" aria-label="Versions">
      ${repeat(versions, ({ version }) => version, one => {
        const name = session.whoIs(one.author)
        return html`<li>
          ${avatar(`${name}@${one.author}`)}
          <span class="who"><bdi class="name">${name}</bdi> <span class="peer">${kindOf(one.type)} · ${bytes(one.size)} · ${ago(Date.now() - one.writtenAt)}${one === versions[0] ? ' · stands for the key' : ''}</span></span>
          <button class="small" aria-pressed=${one.version === shown?.version} @click=${() => opened.show(one)}>Show<span class="unseen"> the version of ${name}</span></button>
          ${session.listens ? nothing : html`<button class="small" @click=${() => knowledge.keepOnly(one)}>Keep only this<span class="unseen"> version of ${name}</span></button>`}
        </li>`
      })}
    </ul>`
}

function facts(session: Session, knowledge: Knowledge, version: KnowledgeVersion): TemplateResult {
  const { domain, author, writtenAt, type, size, expiresAt, metadata, cid, replicas } = version
  const placed = knowledge.placed(version)
  return html`<dl>
    <dt>Domain</dt>
    <dd><bdi>${domainName(session, domain)}</bdi></dd>
    <dt>Author</dt>
    <dd><bdi class="name">${session.whoIs(author)}</bdi> <span class="peer" title=${author}>${shortId(author)}</span></dd>
    <dt>Written</dt>
    <dd><time title=${dateAndTime(new Date(writtenAt))}>${ago(Date.now() - writtenAt)}</time></dd>
    <dt>Value</dt>
    <dd><bdi>${kindOf(type)}</bdi>, ${bytes(size)}</dd>
    ${expiresAt === undefined ? nothing : html`<dt>Expires</dt><dd>${end(expiresAt)}</dd>`}
    ${metadata === undefined ? nothing : html`<dt>Metadata</dt><dd><pre class="metadata" dir="auto">${payloadText(metadata, MAX_METADATA)}</pre></dd>`}
    <dt>Placed</dt>
    <dd>${placed ? names(session, placed) : `with ${count(replicas, 'node')} beside its author`}</dd>
    <dt>Version</dt>
    <dd><code>${version.version}</code></dd>
    <dt>CID</dt>
    <dd><code>${cid}</code></dd>
  </dl>`
}

function end(at: number): string {
  const left = at - Date.now()
  if (left < 2 * HOUR) return `in ${timeLeft(Math.max(0, left))}`
  return at > MAX_DATE ? 'in a very long time' : dateAndTime(new Date(at))
}

// The last moment that a date can name.
const MAX_DATE = 8.64e15

function holders(session: Session, knowledge: Knowledge, version: KnowledgeVersion): TemplateResult {
  const holding = knowledge.holders.of(version)
  return html`<h4>${holdersHead(holding, version)}</h4>
    <ul class="ballots" aria-label="Holders">
      ${holding?.holders.map(peerId => html`<li>${avatar(`${called(session, peerId)}@${peerId}`)}<span><bdi class="name">${called(session, peerId)}</bdi>${peerId === version.author ? ', its author' : ''}</span></li>`)}
    </ul>`
}

function holdersHead(holding: Holding | undefined, { replicas }: KnowledgeVersion): string {
  if (!holding) return 'Asking who holds it…'
  const { holders, copies } = holding
  return holders.length === 0 ? 'Nobody who holds it answers' : `Held by ${count(holders.length, 'node')}: ${copies} of ${replicas} copies beside its author`
}

const names = (session: Session, peerIds: readonly string[]) =>
  peerIds.length === 0 ? 'with nobody: nobody else gives room' : peerIds.map((peerId, i) => html`${i === 0 ? '' : ', '}<bdi>${called(session, peerId)}</bdi>`)

// Relays hold content too, and have no agents.
function called(session: Session, peerId: string): string {
  if (peerId === session.mesh.peerId) return 'this page'
  const member = session.members.find(member => member.peerId === peerId)
  return member?.kind === 'relay' ? `relay ${shortId(peerId)}` : session.whoIs(peerId)
}
