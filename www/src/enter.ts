import { MeshError, createMesh, joinMesh, type ErrorCode, type Mesh } from 'neural-mesh'
import type { Invitation } from './link.js'

/** Who joins, and where. */
export interface Ticket extends Invitation {
  readonly name: string
  readonly capabilities: readonly string[]
}

/** A mesh that was joined. */
export interface Entered {
  readonly mesh: Mesh
  /** Whether this browser keeps what is known in it. */
  readonly keeps: boolean
}

/** Milliseconds to come in by an invite: who has made it may have to be found through a relay first. */
const INVITED_MS = 30_000

/** Whether this browser can keep who a tab is and what it has said, which it can on secure pages only. */
export const canKeep = () => navigator.locks !== undefined && globalThis.indexedDB !== undefined

// What a store can fail with when it is opened.
const OF_STORES: readonly ErrorCode[] = ['in-use', 'store-failed', 'integrity']

/** Comes into the mesh of a ticket: by its invite, by founding it, by its charter or by its name. */
export async function enter(ticket: Ticket, { signal }: { signal: AbortSignal }): Promise<Entered> {
  const { mesh, relays, stun, capabilities, charter, invite, founding } = ticket
  // The same node after a reload, where the browser can keep it.
  const keeps = canKeep()
  const identity = keeps ? ('stored' as const) : undefined
  const agent = { id: ticket.name, type: 'page', capabilities }
  const options = { signal, agent, identity, ...(stun.length > 0 && { webrtc: { iceServers: stun } }) }
  // An identity belongs to a name, and several meshes can have that name: each has a store of its own. Where nothing can be
  // kept, this page only listens: a vote that is forgotten might be given twice.
  const store = (name: string) => (keeps ? name : undefined)
  if (invite) {
    // Who only listens cannot say who it is.
    const said = invite.role === 'observer' ? { agent: undefined } : {}
    const how = { ...options, ...said, store: store(`votes/${invite.meshId}`), timeoutMs: INVITED_MS }
    return { mesh: await joinMesh(invite.fragment, how), keeps }
  }
  if (founding) return { mesh: await createMesh(mesh, { ...options, relays, store: store('votes/founded') }), keeps }
  if (charter) return { mesh: await joinMesh(charter, { ...options, relays, store: store('votes') }), keeps }
  // Without votes and credentials, what is kept is a comfort: a store that cannot be had keeps nobody out.
  try {
    return { mesh: await joinMesh(mesh, { ...options, relays, store: store('open') }), keeps }
  } catch (error) {
    if (!keeps || !MeshError.isInstance(error) || !OF_STORES.includes(error.code)) throw error
    return { mesh: await joinMesh(mesh, { ...options, relays }), keeps: false }
  }
}
