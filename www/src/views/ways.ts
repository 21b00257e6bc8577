import type { Member } from '../roster.js'
import { millis } from '../words.js'

/** How a node is reached, in a word or two. */
export function wayOf({ kind, way, silent }: Member): string {
  if (way === 'self') return 'this page'
  if (kind === 'relay') return way === 'none' ? 'lost relay' : 'relay'
  if (silent) return 'silent'
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

const REASONS: Readonly<Record<string, string>> = {
  upgrading: 'a direct connection is being made',
  'no-webrtc-here': 'there is no WebRTC here',
  'no-webrtc-there': 'there is no WebRTC at the other end',
  'relay-only': 'direct connections are switched off',
  'too-many-direct-links': 'there are as many direct connections as there may be',
}

/** Why a connection is not direct, when that is known. */
export const reasonOf = ({ reason }: Member) => (reason === undefined ? undefined : (REASONS[reason] ?? reason))
