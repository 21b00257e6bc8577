import { html, nothing, type TemplateResult } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import type { App } from '../app.js'
import type { Decisions } from '../decisions.js'
import type { Member } from '../roster.js'
import type { Session } from '../session.js'
import { count } from '../words.js'
import { decided, verdictOf } from './decided.js'
import { icon } from './icons.js'
import { proposal } from './proposal.js'

// Open proposals that are drawn, the latest; there can be 400.
const MAX_DRAWN = 50
// As the package has it, in bytes; letters beyond ASCII take more, which it then says.
const MAX_TITLE = 256
const MINUTE = 60_000
const WINDOWS: readonly (readonly [number, string])[] = [
  [MINUTE / 2, '30 s'],
  [5 * MINUTE, '5 minutes'],
  [60 * MINUTE, '1 hour'],
  [24 * 60 * MINUTE, '1 day'],
]

/** What is being decided, who decides, and what was decided. */
export function decisionsView(app: App, session: Session, decisions: Decisions): TemplateResult {
  const open = decisions.open()
  const ended = [...decisions.ended].reverse()
  const drawn = open.slice(0, MAX_DRAWN)
  return html`<section class="card decisions" aria-labelledby="decisions-title">
    <div class="title">
      <h2 id="decisions-title">Decisions</h2>
      ${electorate(app, session, decisions)}
    </div>
    ${proposeForm(app, decisions)}
    <div class="proposals" role="region" aria-label="Proposals" tabindex="0">
      <ul aria-label="Open">
        ${repeat(drawn, ({ id }) => id, one => html`<li>${proposal(app, session, decisions, one)}</li>`)}
      </ul>
      ${open.length > drawn.length ? html`<p class="hint">${open.length - drawn.length} more are open.</p>` : nothing}
      ${open.length === 0 ? html`<p class="empty">Nothing is to be decided.</p>` : nothing}
      ${ended.length === 0 ? nothing : html`<h3>Decided</h3>`}
      <ul aria-label="Decided">
        ${repeat(ended, ({ id }) => id, one => html`<li>${decided(app, session, one)}</li>`)}
      </ul>
    </div>
    ${checkFile(app, decisions)}
  </section>`
}

function electorate(app: App, session: Session, { electorate, silenced }: Decisions): TemplateResult {
  // Who only listens in a private mesh cannot vote, and has no agents there.
  const canVote = ({ kind, silent, agents }: Member) => kind !== 'relay' && !silent && (!session.membership || agents.length > 0)
  const here = session.members.filter(canVote).map(({ peerId }) => peerId)
  const elect = () => app.decide(decisions => decisions.elect(here))
  return html`<p class="facts">${who(session, electorate, silenced)}</p>
    ${electorate?.founder ? html`<button class="small" @click=${elect}>Let everybody here vote</button>` : nothing}`
}

function who(session: Session, electorate: Decisions['electorate'], silenced: boolean): string {
  if (!electorate) return ''
  const { voters, votes } = electorate
  if (silenced) return 'This browser could not keep a vote: this page votes no more until it joins anew.'
  if (voters.length === 0) return 'Nobody votes yet: the founder of the mesh says who does.'
  const listed = voters.includes(session.mesh.peerId)
  const you = votes ? 'you are one of them' : listed ? 'you are one of them, but cannot vote here' : 'you have no vote'
  return `${count(voters.length, 'voter')}, ${you}`
}

function proposeForm(app: App, { electorate }: Decisions): TemplateResult | typeof nothing {
  if (!electorate?.votes) return nothing
  const submit = (event: Event) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const title = form.elements.namedItem('title') as HTMLInputElement
    const text = title.value.trim()
    if (text === '') return
    const windowMs = Number((form.elements.namedItem('window') as HTMLSelectElement).value)
    void app.decide(decisions => decisions.propose(text, windowMs))
    title.value = ''
  }
  return html`<form class="propose" @submit=${submit}>
    <input name="title" aria-label="Propose a question" placeholder="Propose a question" maxlength=${MAX_TITLE} autocomplete="off" />
    <select name="window" aria-label="Time to vote">
      ${WINDOWS.map(([ms, label]) => html`<option value=${ms}>${label}</option>`)}
    </select>
    <button class="primary">Propose</button>
  </form>`
}

function checkFile(app: App, { checked }: Decisions): TemplateResult {
  const choose = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement
    const file = input.files?.[0]
    if (file) void app.decide(decisions => decisions.checkFile(file))
    input.value = ''
  }
  return html`<div class="check">
    <label class="button small">
      ${icon('file')}<span>Check a certificate</span>
      <input class="unseen" type="file" accept=".cbor" @change=${choose} />
    </label>
    ${checked ? html`<p class="facts"><bdi>${checked.name}</bdi>: ${verdictOf(checked.verdict)}</p>` : nothing}
  </div>`
}
