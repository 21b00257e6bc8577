import { html, nothing, type TemplateResult } from 'lit-html'
import type { Transfer } from '../transfers.js'
import { bytes, clock } from '../words.js'
import { icon } from './icons.js'

/** A file, how far it has come, and what can be done with it. */
export function file(transfer: Transfer): TemplateResult {
  const { mine, at, url, name = 'A file', total, checksum } = transfer
  return html`<article class="said file" ?data-mine=${mine}>
    <div class="bubble">
      <p class="text">
        ${icon('file')}<bdi class="name">${name}</bdi> <span class="peer">${total > 0 ? bytes(total) : ''}</span>
      </p>
      ${going(transfer)}
      ${url === undefined
        ? nothing
        : html`<a class="button" href=${url} download=${name} title=${`SHA-256 ${checksum ?? ''}`}>
            ${icon('download')}Download
          </a>`}
      <p class="fate"><time>${clock(at)}</time>${fate(transfer)}</p>
    </div>
  </article>`
}

// Read out when asked for only: it changes twenty times a second.
function going({ state, bytes: done, total, rate, cancel, name = 'A file' }: Transfer): TemplateResult | typeof nothing {
  if (state !== 'going') return nothing
  const speed = rate === undefined || rate <= 0 ? '' : ` · ${bytes(rate)}/s`
  return html`<div class="going" aria-live="off">
    <progress max=${Math.max(total, 1)} value=${done} aria-label=${`Progress of ${name}`}></progress>
    <span class="peer">${total === 0 ? 0 : Math.floor((100 * done) / total)} %${speed}</span>
    ${cancel ? html`<button class="quiet" @click=${cancel}>Cancel</button>` : nothing}
  </div>`
}

function fate({ mine, state }: Transfer): TemplateResult | typeof nothing {
  if (state === 'going') return html` · ${mine ? 'sending' : 'receiving'}`
  if (state === 'done') return html` · ${mine ? 'delivered' : 'received, checksum verified'}`
  if (state === 'dropped') return html` · no longer kept: newer files needed the room`
  return html` · <strong class="failed">${state.failed}</strong>`
}
