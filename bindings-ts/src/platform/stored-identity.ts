import { MeshError } from '../errors.js'
import type { StoredIdentity } from './platform.js'

const DATABASE = 'neural-mesh'
const STORE = 'identities'
// Tabs of one origin in one mesh that keep their identity. More get one that is not kept.
const MAX_SLOTS = 32
// How long a reloaded tab waits for the page that it was before to let go.
const RELOAD_MS = 2000

/**
 * @internal An identity of this origin in `mesh` that no other tab uses: the one that this tab had before it was
 * reloaded, else the first that is free, else a new one. It is this tab's until it is released, or the page goes.
 */
export async function storedIdentity(mesh: string): Promise<StoredIdentity> {
  const { indexedDB, navigator } = globalThis
  if (!indexedDB || !navigator?.locks) {
    throw new MeshError(
      'invalid-argument',
      "identity: 'stored' needs IndexedDB and Web Locks, which browsers have on secure pages (https, localhost) only. " +
        'Elsewhere keep the bytes of generateIdentity() yourself, and give them as identity',
    )
  }
  const held = await take(mesh)
  if (!held) return { identity: crypto.getRandomValues(new Uint8Array(32)), release: () => {} }
  try {
    const identity = await readOrMake(`${mesh}/${held.slot}`)
    remember(mesh, held.slot)
    return { identity, release: held.release }
  } catch (cause) {
    held.release()
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MeshError('internal', `the stored identity cannot be read (${reason}); clear this site's data to begin anew`, { cause })
  }
}

interface Held {
  readonly slot: number
  readonly release: () => void
}

async function take(mesh: string): Promise<Held | undefined> {
  const before = remembered(mesh)
  if (before !== undefined) {
    const held = await lock(mesh, before, { signal: AbortSignal.timeout(RELOAD_MS) })
    if (held) return held
  }
  for (let slot = 0; slot < MAX_SLOTS; slot++) {
    const held = await lock(mesh, slot, { ifAvailable: true })
    if (held) return held
  }
  return undefined
}

// Resolves when the lock is held, or known not to be had.
function lock(mesh: string, slot: number, options: LockOptions): Promise<Held | undefined> {
  return new Promise(resolve => {
    const whileHeld = (lock: Lock | null) => {
      if (!lock) return resolve(undefined)
      return new Promise<void>(release => resolve({ slot, release }))
    }
    navigator.locks.request(`${DATABASE}/${mesh}/${slot}`, options, whileHeld).catch(() => resolve(undefined))
  })
}

// A tab's own storage: it lives as long as the tab, and reloads keep it.
function remembered(mesh: string): number | undefined {
  const slot = Number(session()?.getItem(`${DATABASE}/${mesh}`) ?? NaN)
  return Number.isInteger(slot) && slot >= 0 && slot < MAX_SLOTS ? slot : undefined
}

function remember(mesh: string, slot: number): void {
  session()?.setItem(`${DATABASE}/${mesh}`, String(slot))
}

function session(): Storage | undefined {
  try {
    return globalThis.sessionStorage
  } catch {
    return undefined // Forbidden by the user: a reload then takes the first identity that is free.
  }
}

async function readOrMake(key: string): Promise<Uint8Array> {
  const database = await done(open())
  try {
    const store = database.transaction(STORE, 'readwrite').objectStore(STORE)
    const kept: unknown = await done(store.get(key))
    if (kept instanceof Uint8Array && kept.length === 32) return kept
    const made = crypto.getRandomValues(new Uint8Array(32))
    await done(store.put(made, key))
    return made
  } finally {
    database.close()
  }
}

function open(): IDBOpenDBRequest {
  const request = indexedDB.open(DATABASE, 1)
  request.onupgradeneeded = () => request.result.createObjectStore(STORE)
  return request
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
