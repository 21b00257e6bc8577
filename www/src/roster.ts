import type { NetworkTopology, PeerAgent } from 'neural-mesh'
import { nameOf, shortId } from './words.js'

/** How this page reaches a node. `none`: there is no connection now; one is made when there is something to send. */
export type Way = 'self' | 'direct' | 'relayed' | 'none'

/** A node of the mesh, as the picture and the table show it. */
export interface Member {
  readonly peerId: string
  readonly kind: 'self' | 'relay' | 'member'
  readonly agents: readonly PeerAgent[]
  /** The name of its first agent, or the end of its peer id. */
  readonly name: string
  readonly way: Way
  /** The relay that carries the connection, or would. */
  readonly via?: string
  /** Why the connection is not direct, in words of the package. */
  readonly reason?: string
  readonly rttMs?: number
  /** Whether it has been silent for longer than it should. */
  readonly silent: boolean
}

/**
 * Everybody that is known: this node, its relays, then the others by peer id, so that places change little. `relays` are
 * peer ids of relays that this page wants, and `connected` those that it has: of a relay that is not in the mesh itself, the
 * topology does not tell.
 */
export function roster(
  topology: NetworkTopology,
  agents: Iterable<PeerAgent>,
  relays: Iterable<string> = [],
  connected: ReadonlySet<string> = new Set(),
): Member[] {
  const links = new Map(topology.links.map(link => [link.peerId, link]))
  const silent = new Set(topology.peers.filter(peer => peer.status === 'suspect').map(peer => peer.peerId))
  const theirs = new Map<string, PeerAgent[]>()
  for (const agent of agents) {
    const others = theirs.get(agent.peerId)
    if (others) others.push(agent)
    else theirs.set(agent.peerId, [agent])
  }
  const wanted = new Set(relays)
  const firstRelay = topology.links.find(link => link.relay)?.peerId ?? [...wanted].find(peerId => connected.has(peerId))
  const known = [...wanted, ...links.keys(), ...topology.peers.map(peer => peer.peerId), ...theirs.keys()]
  const ids = [topology.peerId, ...[...new Set(known)].filter(id => id !== topology.peerId).sort()]
  const members = ids.map(peerId => {
    const agents = theirs.get(peerId) ?? []
    const link = links.get(peerId)
    const kind = peerId === topology.peerId ? 'self' : link?.relay || wanted.has(peerId) ? 'relay' : 'member'
    const none = kind === 'relay' && connected.has(peerId) ? 'direct' : 'none'
    const way = kind === 'self' ? 'self' : link === undefined ? none : link.relayed ? 'relayed' : 'direct'
    const mayCome = way === 'none' && kind === 'member'
    const via = way === 'relayed' ? (carrier(link!.address) ?? firstRelay) : mayCome ? firstRelay : undefined
    return {
      peerId,
      kind,
      agents,
      name: agents[0] ? nameOf(agents[0].id) : shortId(peerId),
      way,
      silent: silent.has(peerId),
      ...(via !== undefined && { via }),
      ...(link?.rttMs !== undefined && { rttMs: link.rttMs }),
      ...(link?.reason !== undefined && { reason: link.reason }),
    } satisfies Member
  })
  return members.sort((a, b) => rank(a) - rank(b))
}

const rank = ({ kind }: Member) => ['self', 'relay', 'member'].indexOf(kind)

// /…/p2p/<relay>/p2p-circuit/p2p/<peer>
const carrier = (address: string) => /\/p2p\/([A-Za-z0-9]+)\/p2p-circuit(\/|$)/.exec(address)?.[1]
