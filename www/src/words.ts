/** How things are said on the page. */

/** The last characters of a peer id: the first are alike in all of them. */
export const shortId = (peerId: string) => `…${peerId.slice(-6)}`

/** `ada` of `ada@12D3KooW…`; of a bare peer id, its last characters. */
export function nameOf(address: string): string {
  const at = address.lastIndexOf('@')
  return at < 0 ? shortId(address) : address.slice(0, at)
}

/** The node of an address `name@peerId` or of a bare peer id. */
export const peerOf = (address: string) => address.slice(address.lastIndexOf('@') + 1)

/** 203,952 bytes as `204 kB`. */
export function bytes(count: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB']
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toPrecision(2)} ${units[unit]}`
}

/** A round trip. */
export const millis = (ms: number) => (ms < 1 ? '< 1 ms' : `${Math.round(ms)} ms`)

/** `1 agent`, `2 agents`; `1 entry`, `2 entries`. */
export const count = (n: number, what: string, many = `${what}s`) => `${n} ${n === 1 ? what : many}`

/** The time of day, as this place writes it. */
export const clock = (unix: number) => new Date(unix).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })

/** The day and the time, as this place writes them. */
export const dateAndTime = (date: Date) => date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** Not longer than `max`, cut between characters. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

const MAX_TEXT = 4000

/** What a message says, whatever value it is. */
export function payloadText(payload: unknown, max = MAX_TEXT): string {
  return clip(typeof payload === 'string' ? payload : (JSON.stringify(payload, portable, 1) ?? 'null'), max)
}

function portable(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}`
  if (value instanceof Uint8Array) return `<${count(value.length, 'byte')}>`
  return value
}

/** Words separated by commas or blanks, each once. */
export const wordsOf = (text: string) => [...new Set(text.split(/[\s,]+/).filter(word => word !== ''))]

/** One of `tones` colours, always the same for the same id. */
export function toneOf(id: string, tones = 8): number {
  let hash = 2166136261
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619)
  return (hash >>> 8) % tones
}

/** Time that is left: seconds up to two minutes, then minutes, then hours. */
export function timeLeft(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}

/** How long ago that was: `now` below five seconds, then seconds, minutes, hours, and days. */
export function ago(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 5) return 'now'
  if (seconds < 60) return `${seconds} s ago`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`
}
