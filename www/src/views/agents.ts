import { html, nothing, type TemplateResult } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import type { PeerAgent } from 'neural-mesh'
import type { App } from '../app.js'
import type { Session } from '../session.js'
import { count, nameOf, peerOf, shortId, toneOf } from '../words.js'
import { icon } from './icons.js'
import { dropTarget } from './drop.js'

// Rows that are drawn; a search brings out the others.
const MAX_ROWS = 200
const MAX_CHIPS = 4

interface Row {
  readonly id: string
  /** Undefined when it has left, or is a node whose agents are unknown. */
  readonly agent: PeerAgent | undefined
}

/** Everybody to talk to, and the search for those who can do something. */
export function agentList(app: App, session: Session): TemplateResult {
  const all = rows(app, session)
  const shown = all.slice(0, MAX_ROWS)
  return html`<section class="card agents" aria-labelledby="agents-title">
    <h2 id="agents-title">Agents <span class="count">${all.length}</span></h2>
    ${searchBox(app)} ${answer(app)}
    <ul class="rows">
      ${repeat(shown, row => row.id, row => agentRow(app, session, row))}
    </ul>
    ${all.length > shown.length ? html`<p class="hint">${all.length - shown.length} more: search for them.</p>` : nothing}
    ${all.length === 0 && app.search.text === ''
      ? html`<p class="empty">Nobody else is here yet. ${howToGetCompany(session)}</p>`
      : nothing}
    ${self(session)}
  </section>`
}

function howToGetCompany({ membership, mayInvite }: Session): string {
  if (membership) return mayInvite ? 'Invite somebody.' : ''
  return 'Copy the link and send it to somebody.'
}

function rows({ search }: App, session: Session): Row[] {
  if (search.found) return search.found.ids.map(id => ({ id, agent: session.agents.get(id) }))
  const others = [...session.agents.values()].filter(agent => !agent.local)
  const gone = [...session.talk.ids()].filter(id => !session.agents.has(id))
  const all: Row[] = [...others.map(agent => ({ id: agent.id, agent })), ...gone.map(id => ({ id, agent: undefined }))]
  const wanted = search.text.trim().toLowerCase()
  return all
    .filter(({ id, agent }) => says([nameOf(id), agent?.type ?? '', ...(agent?.capabilities ?? [])], wanted))
    .sort((a, b) => nameOf(a.id).localeCompare(nameOf(b.id)) || (a.id < b.id ? -1 : 1))
}

const says = (texts: readonly string[], wanted: string) => texts.some(text => text.toLowerCase().includes(wanted))

function searchBox(app: App): TemplateResult {
  const submit = (event: Event) => {
    event.preventDefault()
    void app.find()
  }
  const input = (event: Event) => app.type((event.target as HTMLInputElement).value)
  return html`<form class="search" role="search" @submit=${submit}>
    <input
      type="search"
      aria-label="Find agents by name or capability"
      placeholder="Name or capability"
      maxlength="200"
      autocomplete="off"
      .value=${app.search.text}
      @input=${input}
    />
    <button
      class="icon-only"
      title="Ask the mesh who can do this"
      aria-label="Ask the mesh who can do this"
      ?disabled=${app.search.busy}
    >
      ${icon('search')}
    </button>
  </form>`
}

function answer({ search }: App): TemplateResult | typeof nothing {
  if (search.busy) return html`<p class="hint">Asking the mesh…</p>`
  if (!search.found) return nothing
  const { words, ids } = search.found
  return html`<p class="hint">${count(ids.length, 'agent')} with <bdi>${words.join(', ')}</bdi>, says the mesh.</p>`
}

function agentRow(app: App, session: Session, { id, agent }: Row): TemplateResult {
  const unread = session.talk.with(id)?.unread ?? 0
  const { over, leave, drop } = dropTarget(files => app.sendFiles(id, files))
  return html`<li>
    <button
      class="row"
      data-id=${id}
      aria-pressed=${app.selected === id}
      @click=${() => app.select(id)}
      @dragover=${over}
      @dragleave=${leave}
      @drop=${drop}
    >
      ${avatar(id)}
      <span class="who">
        <span class="line"><bdi class="name">${nameOf(id)}</bdi><span class="peer">${shortId(peerOf(id))}</span></span>
        ${agent
          ? chips(agent.capabilities, MAX_CHIPS)
          : html`<span class="peer">${id.includes('@') ? 'has left' : 'node'}</span>`}
      </span>
      ${unread > 0 ? html`<span class="unread">${unread}<span class="unseen"> unread</span></span>` : nothing}
    </button>
  </li>`
}

/** The first letter of a name, in the colour of its node. */
export function avatar(id: string): TemplateResult {
  const letter = [...nameOf(id).replace('…', '')][0] ?? '?'
  return html`<span class="avatar" data-tone=${toneOf(peerOf(id))} aria-hidden="true">${letter.toUpperCase()}</span>`
}

/** What an agent can do. */
export function chips(words: readonly string[], max: number): TemplateResult | typeof nothing {
  if (words.length === 0) return nothing
  const more = words.length - max
  return html`<span class="chips">
    ${words.slice(0, max).map(word => html`<bdi class="chip">${word}</bdi>`)}
    ${more > 0 ? html`<span class="chip">+${more}</span>` : nothing}
  </span>`
}

function self(session: Session): TemplateResult {
  const { name, capabilities } = session.ticket
  return html`<div class="self">
    ${avatar(session.self)}
    <span class="who">
      <span class="line"><bdi class="name">${name}</bdi><span class="peer">you · ${shortId(session.mesh.peerId)}</span></span>
      ${chips(capabilities, MAX_CHIPS)}
    </span>
  </div>`
}
