import { MAX_CHARTER, isMeshName, isRelay, stunServers, type Invitation } from './link.js'

const PATIENCE_MS = 3000
const MAX_BYTES = 64 * 1024
const MAX_ADDRESSES = 4

/** What a relay tells; `closed` when its mesh is private: then its name brings nobody in. */
export interface RelayDefaults extends Invitation {
  readonly closed?: true
}

/**
 * What the relay that serves this page says of itself in `relay.json`. Most servers have no such file, and many answer
 * with a page of theirs instead: both mean that there is nothing to fill in.
 */
export async function relayDefaults(base: URL): Promise<RelayDefaults | undefined> {
  try {
    const response = await fetch(new URL('relay.json', base), { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (!response.ok) return undefined
    const text = await response.text()
    return text.length > MAX_BYTES ? undefined : readDefaults(JSON.parse(text), base)
  } catch {
    return undefined
  }
}

/** Whether a page that came by https may connect there: by WebSocket only with TLS. */
export const isForSecurePages = (address: string) => /\/(wss|tls|webrtc-direct)(\/|$)/.test(address)

/** The mesh, its charter and the relay's addresses, those that this page can use, as reached the way the page was. */
export function readDefaults(answer: unknown, base: URL): RelayDefaults | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  const { mesh, addresses, stun, charter: hex, private: closed } = answer as Record<string, unknown>
  if (typeof mesh !== 'string' || !isMeshName(mesh) || !Array.isArray(addresses)) return undefined
  const charter = typeof hex === 'string' ? fromHex(hex) : undefined
  if (hex !== undefined && hex !== null && !charter) return undefined
  const usable = addresses.filter((address): address is string => typeof address === 'string' && isRelay(address))
  const secure = base.protocol === 'https:' ? usable.filter(isForSecurePages) : usable
  const same = secure.filter(address => host(address) === base.hostname.replace(/^\[|\]$/g, ''))
  const relays = (same.length > 0 ? same : secure).slice(0, MAX_ADDRESSES)
  if (relays.length === 0) return undefined
  const where = { mesh, relays, stun: stunServers(Array.isArray(stun) ? stun : []) }
  if (closed === true) return { ...where, closed }
  return { ...where, ...(charter && { charter }) }
}

function fromHex(hex: string): Uint8Array | undefined {
  if (hex.length > 2 * MAX_CHARTER || !/^([0-9a-f]{2})+$/i.test(hex)) return undefined
  return Uint8Array.from(hex.match(/../g)!, byte => Number.parseInt(byte, 16))
}

// /ip4/127.0.0.1/… and /dns/example.org/… begin alike.
const host = (address: string) => address.split('/')[2]
