import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app.js'
import type { Verdict } from '../certificates.js'
import type { Ended } from '../decisions.js'
import { save } from '../save.js'
import type { Session } from '../session.js'
import { clock } from '../words.js'
import { icon } from './icons.js'
import { saidList } from './proposal.js'

const OUTCOMES: Readonly<Record<Ended['outcome'], string>> = {
  approved: 'approved',
  rejected: 'rejected',
  lapsed: 'lapsed: time was over',
}

/** A proposal that was decided, how, and what proves it. */
export function decided(app: App, session: Session, ended: Ended): TemplateResult {
  const { id, title, kind, author, outcome, ballots, at, verdict } = ended
  const download = () => app.decide(async decisions => save(`decision-${id.slice(0, 8)}.cbor`, await decisions.certificate(ended)))
  const check = () => app.decide(decisions => decisions.check(ended))
  return html`<article class="proposal" data-proposal=${id} data-state=${outcome} aria-labelledby=${`proposal-${id}`}>
    <p class="by">
      <bdi class="name" dir="auto" id=${`proposal-${id}`}>${title}</bdi>
      ${kind === '' ? nothing : html`<bdi class="chip">${kind}</bdi>`}
      <strong class="outcome">${OUTCOMES[outcome]}</strong>
    </p>
    <p class="facts">
      ${author === '' ? nothing : html`by <bdi>${session.whoIs(author)}</bdi> · `}<time>${clock(at)}</time> · ${votes(ended)}
    </p>
    ${ballots.length === 0 ? nothing : html`<details><summary>Votes</summary>${saidList(session, ballots)}</details>`}
    <div class="proof">
      <button class="small" @click=${download}>${icon('download')}Download certificate</button>
      <button class="small" @click=${check}>${icon('check')}Check</button>
    </div>
    ${verdict ? html`<p class="facts">${verdictOf(verdict)}</p>` : nothing}
  </article>`
}

function votes({ votes: { approve, reject, abstain, missing }, signers }: Ended): string {
  const unheard = missing > 0 ? `, ${missing} not heard` : ''
  return `${approve} for, ${reject} against, ${abstain} abstained${unheard} · ${signers} have signed`
}

/** What a look at a certificate gave. */
export const verdictOf = ({ holds, text }: Verdict) => html`<span class="verdict" ?data-holds=${holds} dir="auto">${text}</span>`
