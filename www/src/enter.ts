import { createMesh, joinMesh, type Mesh } from 'neural-mesh'
import type { Invitation } from './link.js'

/** Who joins, and where. */
export interface Ticket extends Invitation {
  readonly name: string
  readonly capabilities: readonly string[]
}

/** Milliseconds to come in by an invite: who has made it may have to be found through a relay first. */
const INVITED_MS = 30_000

/** Whether this browser can keep who a tab is and what it has said, which it can on secure pages only. */
export const canKeep = () => navigator.locks !== undefined && globalThis.indexedDB !== undefined

/** Comes into the mesh of a ticket: by its invite, by founding it, by its charter or by its name. */
export function enter(ticket: Ticket, { signal }: { signal: AbortSignal }): Promise<Mesh> {
  const { mesh, relays, stun, capabilities, charter, invite, founding } = ticket
  // The same node after a reload, where the browser can keep it.
  const identity = canKeep() ? ('stored' as const) : undefined
  const agent = { id: ticket.name, type: 'page', capabilities }
  const options = { signal, agent, identity, ...(stun.length > 0 && { webrtc: { iceServers: stun } }) }
  // An identity belongs to a name, and several meshes can have that name: each has a store of its own. Where nothing can be
  // kept, this page only listens: a vote that is forgotten might be given twice.
  const store = (name: string) => (identity ? name : undefined)
  if (invite) {
    // Who only listens cannot say who it is.
    const said = invite.role === 'observer' ? { agent: undefined } : {}
    return joinMesh(invite.fragment, { ...options, ...said, store: store(`votes/${invite.meshId}`), timeoutMs: INVITED_MS })
  }
  if (founding) return createMesh(mesh, { ...options, relays, store: store('votes/founded') })
  return joinMesh(charter ?? mesh, { ...options, relays, store: charter && store('votes') })
}
