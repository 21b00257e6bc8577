import { html, nothing, type TemplateResult } from 'lit-html'
import type { ConsensusResult } from 'neural-mesh'
import type { App } from '../app.js'
import type { Verdict } from '../certificates.js'
import type { Ended } from '../decisions.js'
import { save } from '../save.js'
import type { Session } from '../session.js'
import { clock } from '../words.js'
import { icon } from './icons.js'
import { saidList } from './proposal.js'

const OUTCOMES: Readonly<Record<ConsensusResult['outcome'], string>> = {
  approved: 'approved',
  rejected: 'rejected',
  lapsed: 'lapsed: time was over',
}

/** A proposal that was decided, how, and what proves it. */
export function decided(app: App, session: Session, ended: Ended): TemplateResult {
  const { result, at, verdict } = ended
  const { id, proposal, outcome, ballots } = result
  const short = id.slice(0, 8)
  const download = () => app.decide(async decisions => save(`decision-${short}.cbor`, await decisions.certificate(ended)))
  const check = () => app.decide(decisions => decisions.check(ended))
  return html`<article class="proposal" data-proposal=${id} data-state=${outcome} aria-labelledby=${`proposal-${id}`}>
    <p class="by">
      <bdi class="name" dir="auto" id=${`proposal-${id}`}>${proposal?.title ?? `Proposal ${short}…`}</bdi>
      ${proposal ? html`<bdi class="chip">${proposal.kind}</bdi>` : nothing}
      <strong class="outcome">${OUTCOMES[outcome]}</strong>
    </p>
    <p class="facts">
      ${proposal ? html`by <bdi>${session.whoIs(proposal.author)}</bdi> · ` : nothing}<time>${clock(at)}</time> · ${votes(result)}
    </p>
    <details>
      <summary>Votes</summary>
      ${saidList(session, ballots)}
    </details>
    <div class="proof">
      <button class="small" @click=${download}>${icon('download')}Download certificate</button>
      <button class="small" @click=${check}>${icon('check')}Check</button>
    </div>
    ${verdict ? html`<p class="facts">${verdictOf(verdict)}</p>` : nothing}
  </article>`
}

function votes({ votes: { approve, reject, abstain, missing }, signers }: ConsensusResult): string {
  const unheard = missing > 0 ? `, ${missing} not heard` : ''
  return `${approve} for, ${reject} against, ${abstain} abstained${unheard} · ${signers} have signed`
}

/** What a look at a certificate gave. */
export const verdictOf = ({ holds, text }: Verdict) => html`<span class="verdict" ?data-holds=${holds} dir="auto">${text}</span>`
