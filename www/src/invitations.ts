import { readCharter, readInvite } from 'neural-mesh'
import { explain } from './explain.js'
import { isMeshName, isRelay, type Invitation, type Reading } from './link.js'

/** What a link says when what is inside of it was read too: its charter or its invite. */
export type Opened = { readonly invitation: Invitation } | { readonly error: string } | undefined

/** Reads that, or tells why it cannot be. It takes the package, so a link without any does not wait for it. */
export async function openLink(reading: Reading): Promise<Opened> {
  if (!reading || 'error' in reading) return reading
  if ('invite' in reading) return openInvite(reading.invite)
  const { charter, mesh } = reading.invitation
  if (!charter) return reading
  try {
    const { name } = await readCharter(charter)
    return name === mesh ? reading : { error: 'the link names another mesh than its charter' }
  } catch (error) {
    return { error: `the link has a part that is no charter (${explain(error).message})` }
  }
}

async function openInvite(fragment: string): Promise<Opened> {
  try {
    const { name: mesh, relays: all, meshId, invitedBy, role, until } = await readInvite(fragment)
    const relays = all.filter(isRelay)
    if (!isMeshName(mesh)) return { error: 'the invite has no usable name of a mesh' }
    if (relays.length === 0) return { error: 'the invite names no address that a browser can reach' }
    return { invitation: { mesh, relays, stun: [], invite: { fragment, meshId, invitedBy, role, until } } }
  } catch (error) {
    return { error: `the link has a part that is no invite (${explain(error).message})` }
  }
}
