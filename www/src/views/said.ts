import { html, nothing, type TemplateResult } from 'lit-html'
import type { Said } from '../talk.js'
import { clock, millis, shortId } from '../words.js'
import { avatar } from './agents.js'

/** One thing that was said. */
export function said(item: Said, { named }: { named: boolean }): TemplateResult {
  const { mine, who, peerId, text, at, topic } = item
  return html`<article class="said" ?data-mine=${mine}>
    ${named ? avatar(`${who}@${peerId}`) : nothing}
    <div class="bubble">
      ${named
        ? html`<p class="by">
            <bdi class="name">${who}</bdi><span class="peer">${mine ? 'you' : shortId(peerId)}</span>
            ${topic === undefined ? nothing : html`<bdi class="chip">${topic}</bdi>`}
          </p>`
        : nothing}
      <p class="text" dir="auto">${text}</p>
      <p class="fate"><time>${clock(at)}</time>${fate(item)}</p>
    </div>
  </article>`
}

function fate({ mine, state, roundTripMs }: Said): TemplateResult | typeof nothing {
  if (!mine || state === undefined) return nothing
  if (state === 'sending') return html` · sending…`
  if (state === 'sent') return roundTripMs === undefined ? html` · sent` : html` · delivered in ${millis(roundTripMs)}`
  return html` · <strong class="failed">${state.failed}</strong>`
}
