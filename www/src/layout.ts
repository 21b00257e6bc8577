/** Where the picture puts whom: relays in the middle, this node at the bottom, everybody else on ellipses around them. */

export interface Size {
  readonly width: number
  readonly height: number
}

export interface Place {
  readonly x: number
  readonly y: number
  /** Radius of the node. */
  readonly r: number
}

export interface Layout {
  readonly places: ReadonlyMap<string, Place>
  /** How much may be written at each node without names running into each other. */
  readonly labels: 'full' | 'names' | 'none'
  readonly middle: { readonly x: number; readonly y: number }
  /** Radii of the rings that nodes stand on, the outer first. */
  readonly rings: readonly { readonly x: number; readonly y: number }[]
}

// Room for names at the edges.
const SIDE = 58
const TOP = 30
const BOTTOM = 52
/** Radius of each ring as a share of the outer one's, by their number. */
const RINGS = [[1], [1, 0.62], [1, 0.74, 0.48]] as const
const RELAY_RING = 0.2
/** Pixels between neighbours on the outer ring below which there is another ring, by the number of rings. */
const CLOSE = [72, 48]
/** Pixels between neighbours that two lines of writing need, and that names do. */
const FULL = 84
const NAMES = 56
const MAX_RADIUS = 19
const MIN_RADIUS = 5

export function layout(self: string, relays: readonly string[], others: readonly string[], size: Size): Layout {
  const middle = { x: size.width / 2, y: TOP + (size.height - TOP - BOTTOM) / 2 }
  const outer = { x: Math.max(40, size.width / 2 - SIDE), y: Math.max(40, (size.height - TOP - BOTTOM) / 2) }
  const circle = new Ellipse(outer.x, outer.y)
  const { rings, shares } = spread(others.length, circle.length)
  const gap = rings.length > 1 ? outer.y * (rings[0]! - rings[1]!) : Infinity
  const spacing = circle.length / (shares[0]! + 1)
  const r = Math.max(MIN_RADIUS, Math.min(MAX_RADIUS, spacing * 0.28, gap * 0.36))
  const places = new Map<string, Place>()
  const put = (id: string, turn: number, ring: number, r: number) => {
    const { x, y } = circle.at(turn)
    places.set(id, { x: middle.x + x * ring, y: middle.y + y * ring, r })
  }

  relays.forEach((id, i) => put(id, (i + 0.5) / relays.length, relays.length === 1 ? 0 : RELAY_RING, 16))
  let next = 0
  shares.forEach((share, ring) => {
    // This node takes its place on the outer ring, as wide as it is; the others' rings are turned against each other.
    const own = ring === 0 ? Math.max(1, (2 * MAX_RADIUS) / spacing) : 0
    const slots = share + own
    for (let i = 0; i < share; i++) put(others[next++]!, (own / 2 + i + 0.5) / slots, rings[ring]!, r)
  })
  put(self, 0, 1, Math.max(r, 14) + 3)
  const labels = rings.length > 2 || spacing < NAMES ? 'none' : rings.length === 1 && spacing >= FULL ? 'full' : 'names'
  return { places, labels, middle, rings: rings.map(ring => ({ x: outer.x * ring, y: outer.y * ring })) }
}

// As few rings as hold them well, and how many go on which: as their lengths are.
function spread(count: number, length: number): { rings: readonly number[]; shares: number[] } {
  const choices = RINGS.map(rings => {
    const whole = rings.reduce<number>((sum, ring) => sum + ring, 0)
    const inner = rings.slice(1).map(ring => Math.floor((count * ring) / whole))
    return { rings, shares: [count - inner.reduce((sum, share) => sum + share, 0), ...inner] }
  })
  return choices.find(({ shares }, i) => length / (shares[0]! + 1) >= (CLOSE[i] ?? 0))!
}

const STEPS = 256

/** An ellipse whose points are told by how far they are along it, clockwise from the bottom. */
class Ellipse {
  readonly length: number
  readonly #points: { x: number; y: number; far: number }[] = []

  constructor(rx: number, ry: number) {
    let far = 0
    for (let i = 0; i <= STEPS; i++) {
      const angle = (i / STEPS) * 2 * Math.PI
      const point = { x: -Math.sin(angle) * rx, y: Math.cos(angle) * ry }
      const last = this.#points.at(-1)
      if (last) far += Math.hypot(point.x - last.x, point.y - last.y)
      this.#points.push({ ...point, far })
    }
    this.length = far
  }

  /** The point at that share of its length. */
  at(turn: number): { x: number; y: number } {
    const far = turn * this.length
    const after = Math.max(1, this.#points.findIndex(point => point.far >= far))
    const [a, b] = [this.#points[after - 1]!, this.#points[after]!]
    const part = (far - a.far) / (b.far - a.far)
    return { x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part }
  }
}

/** A line from one place to another that begins and ends at their rims; `bend` pulls it aside, as a share of its length. */
export function line(from: Place, to: Place, bend = 0): string {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const length = Math.hypot(dx, dy) || 1
  const [ux, uy] = [dx / length, dy / length]
  const start = `${fixed(from.x + ux * from.r)} ${fixed(from.y + uy * from.r)}`
  const end = `${fixed(to.x - ux * to.r)} ${fixed(to.y - uy * to.r)}`
  const control = `${fixed(from.x + dx / 2 - dy * bend)} ${fixed(from.y + dy / 2 + dx * bend)}`
  // Always a curve: then one shape can turn into the other.
  return `M${start}Q${control} ${end}`
}

const fixed = (n: number) => n.toFixed(1)
