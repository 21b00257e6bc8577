import { html, svg, type TemplateResult } from 'lit-html'

// 20 × 20, drawn with the pen of the text around them.
const DRAWINGS = {
  clip: svg`<path d="m15.5 9-6 6a3.3 3.3 0 0 1-4.7-4.7l6.4-6.4a2.2 2.2 0 0 1 3.1 3.1l-6.3 6.3a1 1 0 0 1-1.5-1.5l5.5-5.5" />`,
  check: svg`<path d="m4 10.5 4 4 8-9" />`,
  close: svg`<path d="m5 5 10 10M15 5 5 15" />`,
  download: svg`<path d="M10 3v10m-4-4 4 4 4-4M4 17h12" />`,
  file: svg`<path d="M11 2.5H5.5v15h9V6zM11 2.5V6h3.5" />`,
  info: svg`<circle cx="10" cy="10" r="7.5" /><path d="M10 9v5M10 6v.5" />`,
  invite: svg`<circle cx="8" cy="6.5" r="3.5" /><path d="M2 17c0-3.5 2.5-5.5 6-5.5 1.2 0 2.3.2 3.2.7M15 11v6m-3-3h6" />`,
  lock: svg`<rect x="4" y="9" width="12" height="8" rx="2" /><path d="M6.5 9V6.5a3.5 3.5 0 0 1 7 0V9" />`,
  leave: svg`<path d="M8 3.5H3.5v13H8M8 10h8.5m-3.5-4 4 4-4 4" />`,
  link: svg`<path d="m8.5 11.5 3-3M9 6l1.8-1.8a3.5 3.5 0 0 1 5 5L14 11m-3 3-1.8 1.8a3.5 3.5 0 0 1-5-5L6 9" />`,
  mesh: svg`<path d="M5 15 10 4l5 11zM10 4v6" /><circle cx="10" cy="4" r="2" fill="currentColor" /><circle cx="5" cy="15" r="2" fill="currentColor" /><circle cx="15" cy="15" r="2" fill="currentColor" />`,
  moon: svg`<path d="M16 12A6.8 6.8 0 0 1 8 4a6.8 6.8 0 1 0 8 8z" />`,
  search: svg`<circle cx="9" cy="9" r="5.5" /><path d="m13 13 4 4" />`,
  send: svg`<path d="M3 10 17 3.5 12.5 17 9.5 11z" />`,
  sun: svg`<circle cx="10" cy="10" r="3.5" /><path d="M10 2v2m0 12v2M2 10h2m12 0h2M4.3 4.3l1.4 1.4m8.6 8.6 1.4 1.4m0-11.4-1.4 1.4m-8.6 8.6-1.4 1.4" />`,
  warning: svg`<path d="M10 3 2.5 16.5h15zM10 8v4m0 2v.5" />`,
}

/** An ornament: what it stands for is said in words beside it. */
export function icon(name: keyof typeof DRAWINGS): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">${DRAWINGS[name]}</svg>`
}
