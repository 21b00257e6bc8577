import type { Role } from 'neural-mesh'

/**
 * Links into a mesh: `#m=<mesh name>&r=<relay>&r=<relay>&s=<STUN server>&c=<charter>`, after the address of any copy of this
 * page, or `#i=<invite>` for a private one. What stands behind `#` is not sent to the server that the page comes from.
 *
 * A private mesh that this browser has founded has `p=1` in its address, which brings nobody else there: it founds another.
 *
 * Whoever makes a link decides which relay its reader connects to, so a link only fills in the form; the reader joins.
 */
export interface Invitation {
  /** Name of the mesh: 1 to 128 bytes. */
  readonly mesh: string
  /** 1 to 8 multiaddrs of relays, by WebSocket. */
  readonly relays: readonly string[]
  /** Up to 4 STUN servers, as `stun:host:port`. Those of a link that cannot be one are passed over. */
  readonly stun: readonly string[]
  /** The charter, in a mesh that has one; in the link as base64url. Whether these bytes are one is not looked at here. */
  readonly charter?: Uint8Array
  /** Whether it is a private mesh that this browser founds, or has founded. */
  readonly founding?: true
  /** What lets one node into a private mesh. It tells the name and the relays. */
  readonly invite?: Invite
}

/** An invite as the form shows it. That it is genuine shows when it is used. */
export interface Invite {
  /** `#i=…`, which is what the package takes. */
  readonly fragment: string
  /** In hex. */
  readonly meshId: string
  /** The node that has to be there when it is used for the first time. */
  readonly invitedBy: string
  readonly role: Role
  /** Until when it may be used for the first time. */
  readonly until: Date
}

/**
 * What a fragment says: an invitation, an invite that is yet to be opened, or why it is neither; `undefined` when it does not
 * try to be one.
 */
export type Reading = { readonly invitation: Invitation } | { readonly invite: string } | { readonly error: string } | undefined

const MAX_FRAGMENT = 32 * 1024
/** Bytes of a charter, as the core has it. */
export const MAX_CHARTER = 16 * 1024
/** Bytes of a mesh's name, as the package has it. */
export const MAX_MESH_NAME = 128
const MAX_RELAYS = 8
const MAX_RELAY = 512
const MAX_STUN = 4

/** The fragment of a link, with its `#`. Slashes and colons stay readable. */
export function writeLink({ mesh, relays, stun, charter, founding, invite }: Invitation): string {
  if (invite) return invite.fragment
  const fields = new URLSearchParams([['m', mesh], ...relays.map(relay => ['r', relay]), ...stun.map(url => ['s', url])])
  if (charter) fields.set('c', toBase64Url(charter))
  if (founding) fields.set('p', '1')
  return `#${fields.toString().replaceAll('%2F', '/').replaceAll('%3A', ':')}`
}

/** Reads the fragment of a link. Anybody can have made it. */
export function readLink(fragment: string): Reading {
  if (!/^#(.*&)?[mi]=/.test(fragment)) return undefined
  if (fragment.length > MAX_FRAGMENT) return { error: 'the link is too long' }
  const fields = new URLSearchParams(fragment.slice(1))
  const invites = fields.getAll('i')
  if (invites.length > 0) return readInvite(invites)
  const names = fields.getAll('m')
  const mesh = names[0] ?? ''
  if (names.length !== 1) return { error: 'the link names several meshes' }
  if (!isMeshName(mesh)) return { error: 'the link has no usable name of a mesh' }
  const relays = [...new Set(fields.getAll('r'))]
  if (relays.length === 0) return { error: 'the link names no relay' }
  if (relays.length > MAX_RELAYS) return { error: `the link names more than ${MAX_RELAYS} relays` }
  const bad = relays.find(relay => !isRelay(relay))
  if (bad !== undefined) {
    return { error: `the link's relay is no WebSocket address that ends in /p2p/<peer id>: ${clip(bad)}` }
  }
  const charters = fields.getAll('c')
  const charter = charters.length === 1 ? fromBase64Url(charters[0]!) : undefined
  if (charters.length > 0 && !charter) return { error: 'the link has a part that is no charter' }
  const founding = fields.get('p') === '1'
  if (founding && charter) return { error: 'the link has a charter and founds a mesh' }
  const more = { ...(charter && { charter }), ...(founding && { founding }) }
  return { invitation: { mesh, relays, stun: stunServers(fields.getAll('s')), ...more } }
}

// All else in the link is passed over: an invite says it itself.
function readInvite([invite, ...others]: string[]): Reading {
  if (others.length > 0 || !invite || !/^[\w-]+$/.test(invite)) return { error: 'the link has a part that is no invite' }
  return { invite: `#i=${invite}` }
}

/** Whether a mesh can have that name. */
export function isMeshName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length
  return bytes > 0 && bytes <= MAX_MESH_NAME && !/[\u0000-\u001f\u007f-\u009f]/.test(name)
}

/** Whether this can be the multiaddr of a relay that a browser reaches. */
export function isRelay(address: string): boolean {
  if (address.length > MAX_RELAY || !/^(\/[A-Za-z0-9._:%-]+)+$/.test(address)) return false
  return /\/(wss?|udp\/\d{1,5}\/webrtc-direct\/certhash)(\/|$)/.test(address) && /\/p2p\/[A-Za-z0-9]{40,128}$/.test(address)
}

/** Those of a list that can be STUN servers. A mesh works without, so what is wrong is no reason to refuse. */
export function stunServers(list: readonly unknown[]): string[] {
  const fits = (url: unknown): url is string => typeof url === 'string' && url.length <= 262 && STUN.test(url)
  return [...new Set(list.filter(fits))].slice(0, MAX_STUN)
}

const STUN = /^stuns?:(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?$/i

function toBase64Url(bytes: Uint8Array): string {
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join('')
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

// Undefined when these are not the bytes of a charter, by their number or their letters.
function fromBase64Url(text: string): Uint8Array | undefined {
  if (!/^[\w-]+$/.test(text) || text.length % 4 === 1 || text.length > Math.ceil((MAX_CHARTER * 4) / 3)) return undefined
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), letter => letter.charCodeAt(0))
}

const clip = (text: string) => (text.length > 60 ? `${text.slice(0, 60)}…` : text)
