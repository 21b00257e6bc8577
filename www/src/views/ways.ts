import type { Member } from '../roster.js'
import { millis } from '../words.js'

/** How a node is reached, in a word or two. */
export function wayOf({ kind, way, silent }: Member): string {
  if (way === 'self') return 'this page'
  if (silent) return 'silent'
  if (kind === 'relay') return 'relay'
  return { direct: 'direct', relayed: 'via relay', none: 'connects on demand' }[way]
}

/** The same with the round trip. */
export function wayAndTime(member: Member): string {
  const time = timeOf(member)
  return time === '' ? wayOf(member) : `${wayOf(member)} · ${time}`
}

/** The round trip, when it is known and means something. */
export const timeOf = ({ rttMs, silent }: Member) => (rttMs === undefined || silent ? '' : millis(rttMs))

/** Whom a click on a node is for: its first agent, or itself; a relay and this page are nobody to talk to. */
export function addressee({ kind, agents, peerId }: Member): string | undefined {
  return kind === 'member' ? (agents[0]?.id ?? peerId) : undefined
}
