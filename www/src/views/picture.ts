import { html, nothing, svg, type SVGTemplateResult, type TemplateResult } from 'lit-html'
import { keyed } from 'lit-html/directives/keyed.js'
import { repeat } from 'lit-html/directives/repeat.js'
import { ref } from 'lit-html/directives/ref.js'
import type { App } from '../app.js'
import { layout, line, type Layout, type Place, type Size } from '../layout.js'
import type { Member } from '../roster.js'
import type { Session } from '../session.js'
import { clip, count, toneOf } from '../words.js'
import { dropTarget } from './drop.js'
import { addressee, reasonOf, timeOf, wayAndTime, wayOf } from './ways.js'

// Nodes that are drawn; the table has more.
const MAX_DRAWN = 160
const MAX_LABEL = 16
// Lines to others are bent, so that they do not run through the relay; those straight up to the left, where its name is not.
const BEND = 0.2

// The picture is drawn as large as there is room, so that its letters are as large as all others.
let size: Size = { width: 600, height: 400 }
let observer: ResizeObserver | undefined

/** Who is there and which way leads to them. What it shows stands in the table too, for those who do not see it. */
export function picture(app: App, session: Session, changed: () => void): TemplateResult {
  const drawn = session.members.slice(0, MAX_DRAWN)
  const of = (kind: Member['kind']) => drawn.filter(member => member.kind === kind).map(({ peerId }) => peerId)
  const plan = layout(session.mesh.peerId, of('relay'), of('member'), size)
  // What is drawn last is in front.
  const front = ({ kind, agents }: Member) => (kind !== 'member' ? 1 : agents.some(({ id }) => id === app.selected) ? 2 : 0)
  const ordered = [...drawn].sort((a, b) => front(a) - front(b))
  const left = session.members.length - drawn.length
  return html`<div class="picture" ${ref(element => watch(element, changed))}>
      <svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label=${summary(session.members)}>
        <g class="rings">
          ${plan.rings.map(({ x, y }) => svg`<ellipse cx=${plan.middle.x} cy=${plan.middle.y} rx=${x} ry=${y} />`)}
        </g>
        <g class="links">${repeat(drawn, ({ peerId }) => peerId, member => link(member, session, plan))}</g>
        <g class="nodes">${repeat(ordered, ({ peerId }) => peerId, member => node(app, session, member, plan))}</g>
      </svg>
    </div>
    <ul class="legend" aria-hidden="true">
      <li data-way="direct">direct</li>
      <li data-way="relayed">via relay</li>
      <li data-way="none">connects on demand</li>
      ${left > 0 ? html`<li class="more">${left} more in the table</li>` : nothing}
    </ul>`
}

function watch(element: Element | undefined, changed: () => void): void {
  observer?.disconnect()
  observer = undefined
  if (!element) return
  observer = new ResizeObserver(([entry]) => {
    const { width, height } = entry!.contentRect
    if (width === 0 || (width === size.width && height === size.height)) return
    size = { width: Math.round(width), height: Math.round(height) }
    changed()
  })
  observer.observe(element)
}

function summary(members: readonly Member[]): string {
  const others = members.filter(({ kind }) => kind === 'member')
  const ways = { direct: 'direct', relayed: 'through a relay', none: 'without a connection at the moment' } as const
  const parts = (['direct', 'relayed', 'none'] as const)
    .map(way => [others.filter(member => member.way === way).length, ways[way]] as const)
    .filter(([n]) => n > 0)
    .map(([n, words]) => `${n} ${words}`)
  const relays = count(members.filter(({ kind }) => kind === 'relay').length, 'relay')
  const how = parts.length > 0 ? `: ${parts.join(', ')}` : ''
  return `Picture of the mesh: this page, ${relays}, ${count(others.length, 'other node')}${how}`
}

// A direct connection leads from this page to the other; a relayed one, and the one to come, from the relay to it.
function link(member: Member, session: Session, { places }: Layout): SVGTemplateResult | typeof nothing {
  const to = places.get(member.peerId)!
  if (member.kind === 'self') return nothing
  const self = places.get(session.mesh.peerId)!
  const direct = member.way === 'direct'
  if (member.kind === 'relay' && member.way === 'none') return nothing
  const from = direct || member.kind === 'relay' ? self : places.get(member.via ?? '')
  if (!from) return nothing
  const bend = direct && member.kind === 'member' ? (to.x < self.x + 1 ? -BEND : BEND) : 0
  return svg`<path data-way=${member.way} data-kind=${member.kind} d=${line(from, to, bend)} />`
}

function node(app: App, session: Session, member: Member, { places, labels }: Layout): SVGTemplateResult {
  const place = places.get(member.peerId)!
  const to = addressee(member)
  const chosen = to !== undefined && member.agents.some(({ id }) => id === app.selected)
  const { over, leave, drop } = dropTarget(files => to !== undefined && app.sendFiles(to, files))
  const select = () => to !== undefined && app.select(to)
  return svg`<g
    class="node"
    transform="translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})"
    data-peer=${member.peerId}
    data-kind=${member.kind}
    data-way=${member.way}
    ?data-silent=${member.silent}
    ?data-chosen=${chosen}
    ?data-open=${to !== undefined}
    @click=${select}
    @dragover=${to === undefined ? undefined : over}
    @dragleave=${leave}
    @drop=${to === undefined ? undefined : drop}
  >
    <title>${[member.name, wayAndTime(member), reasonOf(member)].filter(Boolean).join(', ')}</title>
    ${pulse(session.pulses.get(member.peerId), place)}
    ${chosen ? svg`<circle class="halo" r=${place.r + 5} />` : nothing}
    ${member.kind === 'relay' ? relayShape(place) : memberShape(member, place)}
    ${label(member, chosen ? { ...place, r: place.r + 5 } : place, chosen && labels === 'none' ? 'names' : labels)}
  </g>`
}

const relayShape = ({ r }: Place) =>
  svg`<rect class="shape" x=${-r * 0.8} y=${-r * 0.8} width=${r * 1.6} height=${r * 1.6} rx="5" transform="rotate(45)" />
    <path class="waves" d="M-6 -1 0 -6 6 -1M-6 5 0 0 6 5" />`

function memberShape({ name, peerId, agents }: Member, { r }: Place): SVGTemplateResult {
  const letter = [...name.replace('…', '')][0] ?? '?'
  return svg`<circle class="shape" r=${r} data-tone=${toneOf(peerId)} />
    ${r >= 12 ? svg`<text class="letter" dy=".36em">${agents.length > 0 ? letter.toUpperCase() : '·'}</text>` : nothing}
    ${agents.length > 1 && r >= 12 ? badge(agents.length, r * 0.72) : nothing}`
}

const badge = (many: number, aside: number) => svg`<g transform="translate(${aside} ${-aside})">
    <circle class="badge" r="8" /><text class="many" dy=".36em">${many}</text>
  </g>`

// Shown once for each thing that this node has said.
function pulse(times: number | undefined, { r }: Place): unknown {
  return times === undefined ? nothing : keyed(times, svg`<circle class="pulse" r=${r} />`)
}

function label(member: Member, { r }: Place, labels: Layout['labels']): SVGTemplateResult | typeof nothing {
  if (member.kind === 'self') return writing(clip(member.name, MAX_LABEL), 'you', r)
  if (member.kind === 'relay') return svg`<g class="aside">${writing(wayOf(member), timeOf(member), -8, r + 8)}</g>`
  if (labels === 'none') return nothing
  return writing(clip(member.name, MAX_LABEL), labels === 'full' && shown(member) ? wayAndTime(member) : '', r)
}

// That nothing connects us yet is what the line says already.
const shown = ({ way, silent }: Member) => silent || way !== 'none'

const writing = (name: string, below: string, r: number, x = 0) =>
  svg`<text class="name" x=${x} y=${r + 15}>${name}</text>
    ${below === '' ? nothing : svg`<text class="below" x=${x} y=${r + 29}>${below}</text>`}`
