/** What is remembered from visit to visit, where the browser lets us: how this agent is called, and the colours. */
export interface Settings {
  name?: string
  capabilities?: string
  theme?: 'light' | 'dark'
}

const KEY = 'neural-mesh'

export function loadSettings(): Settings {
  try {
    const { name, capabilities, theme } = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Record<string, unknown>
    return {
      ...(typeof name === 'string' && { name }),
      ...(typeof capabilities === 'string' && { capabilities }),
      ...((theme === 'light' || theme === 'dark') && { theme }),
    }
  } catch {
    return {}
  }
}

export function saveSettings(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...loadSettings(), ...settings }))
  } catch {
    // Then not.
  }
}

/** As whom a tab is joined, and the id of the mesh: of private ones, several can have one name. */
export interface Joined {
  readonly name: string
  readonly meshId: string
}

/** Remembers that for this tab, over reloads; nothing when it is not joined. Its address tells where. */
export function rememberJoined(joined: Joined | undefined): void {
  try {
    if (joined !== undefined) sessionStorage.setItem(KEY, JSON.stringify(joined))
    else sessionStorage.removeItem(KEY)
  } catch {
    // Then it asks again.
  }
}

/** As whom this tab was joined when it was reloaded, or copied. */
export function joinedAs(): Joined | undefined {
  try {
    const { name, meshId } = JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Partial<Joined>
    return typeof name === 'string' && typeof meshId === 'string' ? { name, meshId } : undefined
  } catch {
    return undefined
  }
}
