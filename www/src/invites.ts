import type { Mesh, Role } from 'neural-mesh'
import { qrCode, type QrCode } from './qr.js'
import { Recent } from './recent.js'

/** An invite that this page has made. */
export interface Issued {
  readonly link: string
  /** Unless the link is too long for one. */
  readonly code: QrCode | undefined
  readonly role: Role
  /** Until when it may be used, unix milliseconds. */
  readonly until: number
  /** Who has used it. */
  used?: Arrival
}

/** Somebody who came in by an invite of this page. */
export interface Arrival {
  readonly peerId: string
  readonly at: number
}

/** Arrivals that are shown; the oldest go. */
export const MAX_ARRIVALS = 5

/** Whom this page lets into a private mesh: one invite at a time, and who came in by those before. */
export class Invites {
  /** The last one that was made. */
  current: Issued | undefined
  making = false
  readonly arrivals = new Recent<Arrival>(MAX_ARRIVALS)
  readonly #mesh: Mesh
  // When those end of which nobody knows yet that they were used.
  #open: number[] = []

  /** `changed` is called after everything that can be seen, with a sentence for those who do not look. */
  constructor(mesh: Mesh, changed: (news?: string) => void, whoIs: (peerId: string) => string) {
    this.#mesh = mesh
    mesh.on('invite-used', ({ peerId }) => {
      this.#used({ peerId, at: Date.now() })
      changed(`${whoIs(peerId)} has come in by an invite of yours`)
    })
  }

  /** Makes one. `page` is the address of this page. */
  async make(page: string, role: Role, lifetimeMs: number): Promise<void> {
    this.making = true
    try {
      const link = await this.#mesh.createInvite({ link: page, role, lifetimeMs })
      const until = Date.now() + lifetimeMs
      this.current = { link, code: qrCode(link), role, until }
      this.#open.push(until)
    } finally {
      this.making = false
    }
  }

  /** Puts the current one away; it can still be used. */
  next(): void {
    this.current = undefined
  }

  // The mesh does not say which invite it was: that is known only when one alone can have been.
  #used(arrival: Arrival): void {
    this.arrivals.push(arrival)
    this.#open = this.#open.filter(until => until > arrival.at)
    if (this.#open.length !== 1) return
    if (this.current) this.current.used = arrival
    this.#open = []
  }
}
