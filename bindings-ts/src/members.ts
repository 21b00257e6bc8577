import { decodeInvite } from './generated/mesh_wasm.js'
import type { Core } from './core.js'
import { invalid, toMeshError } from './errors.js'
import { checkCall, checkRelays, type CallOptions } from './options.js'
import { loadWasm } from './wasm.js'

/** What a node may do in a private mesh: listen, everything but vote, or that and be meant for the next electorate. */
export type Role = 'observer' | 'member' | 'voter'

/** What this node is in its mesh. */
export interface Membership {
  /** Whether anybody may come in. Nobody needs an invite then. */
  readonly open: boolean
  /** Whether this node has founded the mesh: it may let in anybody as anything. */
  readonly founder: boolean
  /** What it may do; absent in an open mesh, and when its credential is over or was revoked. */
  readonly role?: Role
  /** How many others it may let in a day. */
  readonly invitesPerDay: number
  /** Until when, unless it gets the next credential, as it does by itself while who has issued it is there. */
  readonly until?: Date
}

/** Whom {@link Members.createInvite} lets in. */
export interface InviteOptions extends CallOptions {
  /** As what. Only founders let in voters. Default `'member'`. */
  role?: Role | undefined
  /** How many others it may let in a day; only founders give that. Default 0. */
  invitesPerDay?: number | undefined
  /** Milliseconds in which the invite may be used, at most a week. Default a day. */
  lifetimeMs?: number | undefined
  /** The address of a page that takes invites, to which the invite is appended as `#i=…`. Default `neural-mesh:`. */
  link?: string | undefined
  /** By which addresses the mesh is reached. Default: where this node listens, and the relays that it was given. */
  relays?: string | readonly string[] | undefined
}

/** What {@link readInvite} tells. */
export interface InviteInfo {
  /** The id of the mesh, in hex. */
  readonly meshId: string
  /** What people call it. */
  readonly name: string
  /** The peer id of who invites. It has to be in the mesh when the invite is used. */
  readonly invitedBy: string
  /** As what whoever uses it is let in. */
  readonly role: Role
  /** How many others that one may let in a day. */
  readonly invitesPerDay: number
  /** Until when it may be used. */
  readonly until: Date
  /** By which addresses the mesh is reached. */
  readonly relays: readonly string[]
}

const DAY_MS = 24 * 3600_000
const MAX_LIFETIME_MS = 7 * DAY_MS
const MAX_INVITES_PER_DAY = 10_000
const ROLES: readonly Role[] = ['observer', 'member', 'voter']
const MAX_RELAYS = 8
// The last part of a link, or one of several.
const INVITE = /#(?:[^#]*&)?i=([A-Za-z0-9_-]+)/

/** Who is in: {@link Mesh.members}. Only in a private mesh anybody has to be let in. */
export class Members {
  readonly #core: Core
  readonly #relays: readonly string[]

  /** @internal */
  constructor(core: Core, relays: readonly string[]) {
    this.#core = core
    this.#relays = [...core.listening, ...relays]
  }

  /**
   * Makes an invite for one node: a link, which fits in a QR code. Whoever opens it first is in, for as long as this node, or a
   * founder, goes on giving it credentials. This node has to be in the mesh when the invite is used for the first time.
   *
   * @throws MeshError `not-a-member` when this node may let in nobody, or not as that, `over-quota` when it has let in all that
   * it may today, `store-failed`, `invalid-argument`, also in an open mesh
   * @example
   * ```ts
   * const link = await mesh.members.createInvite({ link: 'https://lab.example/' })
   * ```
   */
  async createInvite(options: InviteOptions = {}): Promise<string> {
    checkCall(options)
    const { role = 'member', invitesPerDay = 0, lifetimeMs = DAY_MS, link = 'neural-mesh:', relays = this.#relays } = options
    checkWhat(role, invitesPerDay)
    if (typeof lifetimeMs !== 'number' || !(lifetimeMs >= 1000 && lifetimeMs <= MAX_LIFETIME_MS)) {
      throw invalid(`lifetimeMs must be from 1000 to ${MAX_LIFETIME_MS} milliseconds, which is a week`)
    }
    if (typeof link !== 'string' || link.includes('#')) throw invalid("link must be the address of a page, without a part after '#'")
    const invite = { role, invitesPerDay, lifetimeS: Math.floor(lifetimeMs / 1000), relays: checkRelays(relays).slice(0, MAX_RELAYS) }
    return `${link}#i=${toBase64Url(await this.#core.call(options, node => node.invite(invite)))}`
  }

  /**
   * Lets in a node whose peer id is known, such as a relay or a server, without an invite: its pass, for {@link joinMesh}. It is no
   * secret, for it is of use to that node alone.
   *
   * @throws MeshError as {@link Members.createInvite}
   * @example
   * ```ts
   * await writeFile('server.pass', await mesh.members.issuePass(serverPeerId))
   * ```
   */
  async issuePass(peerId: string, options: Pick<InviteOptions, 'role' | 'invitesPerDay' | keyof CallOptions> = {}): Promise<Uint8Array> {
    checkCall(options)
    if (typeof peerId !== 'string') throw invalid('peerId must be a peer id')
    const { role = 'member', invitesPerDay = 0 } = options
    checkWhat(role, invitesPerDay)
    return this.#core.call(options, node => node.issue(peerId, role, invitesPerDay))
  }

  /**
   * Takes back what this node has given, or as a founder what anybody has: a member's credential, by its peer id, or an invite, by
   * its link. Whoever stands on it is shut out everywhere, with all that it has let in, as soon as the others hear of it.
   *
   * @throws MeshError `not-a-member` when somebody else has given it, `unknown-agent` when no such member is known here,
   * `store-failed`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.members.revoke(peerId)
   * ```
   */
  async revoke(which: string, options: CallOptions = {}): Promise<void> {
    checkCall(options)
    const invite = inviteIn(which)
    if (invite) return this.#core.call(options, node => node.revokeInvite(invite))
    return this.#core.call(options, node => node.revokePeer(which))
  }

  /**
   * What this node is in its mesh.
   *
   * @example
   * ```ts
   * const { role, until } = await mesh.members.own()
   * ```
   */
  async own(options: CallOptions = {}): Promise<Membership> {
    checkCall(options)
    const { open, founder, role, invitesPerDay, until } = await this.#core.call(options, node => node.membership())
    return { open, founder, invitesPerDay, ...(role && { role }), ...(until !== undefined && { until: new Date(until) }) }
  }

  /**
   * What this node comes in with, for {@link joinMesh}: the charter, and its credentials. A node with a store need not keep it.
   * `undefined` in a mesh without a charter.
   *
   * @example
   * ```ts
   * const pass = await mesh.members.pass()
   * ```
   */
  async pass(options: CallOptions = {}): Promise<Uint8Array | undefined> {
    checkCall(options)
    return this.#core.call(options, node => node.pass())
  }
}

/**
 * Reads an invite without using it: what mesh it is for, and who invites. That it is genuine shows when it is used.
 *
 * @throws MeshError `invalid-argument` when it is none
 * @example
 * ```ts
 * const { name, role, until } = await readInvite(location.href)
 * ```
 */
export async function readInvite(link: string): Promise<InviteInfo> {
  const invite = inviteIn(link)
  if (!invite) throw invalid("an invite is a link that holds '#i=' and what createInvite() made")
  await loadWasm()
  try {
    const { until, ...info } = decodeInvite(invite)
    return { ...info, until: new Date(until) }
  } catch (error) {
    throw toMeshError(error)
  }
}

/** @internal The bytes of the invite in a link; `undefined` if there is none. */
export function inviteIn(link: unknown): Uint8Array | undefined {
  const text = typeof link === 'string' ? INVITE.exec(link)?.[1] : undefined
  if (text === undefined) return undefined
  try {
    return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), char => char.charCodeAt(0))
  } catch {
    throw invalid('the invite is damaged: copy the whole link')
  }
}

function checkWhat(role: unknown, invitesPerDay: unknown): void {
  if (!ROLES.includes(role as Role)) throw invalid("role must be 'observer', 'member' or 'voter'")
  if (!Number.isInteger(invitesPerDay) || (invitesPerDay as number) < 0 || (invitesPerDay as number) > MAX_INVITES_PER_DAY) {
    throw invalid(`invitesPerDay must be a whole number from 0 to ${MAX_INVITES_PER_DAY}`)
  }
}

function toBase64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes))
  return text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
}
