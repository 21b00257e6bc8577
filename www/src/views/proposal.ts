import { html, nothing, type TemplateResult } from 'lit-html'
import type { Ballot, Vote } from 'neural-mesh'
import type { App } from '../app.js'
import type { Decisions, Open } from '../decisions.js'
import type { Session } from '../session.js'
import { timeLeft } from '../words.js'
import { avatar } from './agents.js'

// As the package has it, in bytes.
const MAX_REASON = 256
const SAID: Readonly<Record<Vote, string>> = { approve: 'for', reject: 'against', abstain: 'abstained' }
const BUTTONS: readonly (readonly [Vote, string])[] = [
  ['approve', 'Approve'],
  ['reject', 'Reject'],
  ['abstain', 'Abstain'],
]

/** A proposal that is open: what it is, who has said what, and this page's own vote. */
export function proposal(app: App, session: Session, { electorate }: Decisions, open: Open): TemplateResult {
  const { id, title, kind, author, ballots, asked } = open
  const own = ballots.find(({ peerId }) => peerId === session.mesh.peerId)
  return html`<article class="proposal" data-proposal=${id} data-state="open" aria-labelledby=${`proposal-${id}`}>
    <p class="by">
      <bdi class="name" dir="auto" id=${`proposal-${id}`}>${title}</bdi><bdi class="chip">${kind}</bdi>
    </p>
    <p class="facts">by <bdi>${session.whoIs(author)}</bdi> · <span role="timer">${rest(open)}</span></p>
    <p class="tally">${tally(ballots, electorate?.voters.length)}</p>
    ${saidList(session, ballots)} ${asked ? ballotForm(app, open) : nothing}
    ${own ? html`<p class="own">You have said: ${SAID[own.vote]}</p>` : nothing}
  </article>`
}

function rest({ stalled, leftMs }: Open): string {
  if (stalled) return 'Too few voters can be reached; it stays open'
  return leftMs > 0 ? `${timeLeft(leftMs)} left` : 'time is over, voters are agreeing on the outcome'
}

function tally(ballots: readonly Ballot[], voters: number | undefined): string {
  const votes = (['approve', 'reject', 'abstain'] as const).map(vote => `${ballots.filter(ballot => ballot.vote === vote).length} ${SAID[vote]}`)
  return `${votes.join(', ')}${voters === undefined ? '' : ` of ${voters}`}`
}

/** Who has said what. */
export function saidList(session: Session, ballots: readonly Ballot[]): TemplateResult | typeof nothing {
  if (ballots.length === 0) return nothing
  return html`<ul class="ballots" aria-label="Votes">
    ${ballots.map(({ peerId, vote, reason }) => {
      const name = session.whoIs(peerId)
      return html`<li data-vote=${vote}>
        ${avatar(`${name}@${peerId}`)}
        <span><bdi class="name">${name}</bdi> ${SAID[vote]}${reason === '' ? nothing : html`: <bdi dir="auto">${reason}</bdi>`}</span>
      </li>`
    })}
  </ul>`
}

function ballotForm(app: App, { id, voting }: Open): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const reason = form.elements.namedItem('reason') as HTMLInputElement
    const vote = (event.submitter as HTMLButtonElement).value as Vote
    void app.decide(decisions => decisions.vote(id, vote, reason.value.trim()))
    // The button goes: who is here by keyboard stays near.
    form.closest<HTMLElement>('.proposals')?.focus({ preventScroll: true })
  }
  // Enter in the reason must not be taken for the first of the buttons.
  const keydown = (event: KeyboardEvent) => event.key === 'Enter' && event.preventDefault()
  return html`<form class="ballot" @submit=${submit}>
    <input name="reason" aria-label="Reason, if you like" placeholder="Reason, if you like" maxlength=${MAX_REASON} autocomplete="off" @keydown=${keydown} />
    ${BUTTONS.map(([vote, label]) => html`<button value=${vote} data-vote=${vote} ?disabled=${voting}>${label}</button>`)}
  </form>`
}
