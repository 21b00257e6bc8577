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

/** Remembers for this tab, over reloads, as whom it is joined; nothing when it is not. Its address tells where. */
export function rememberJoined(name: string | undefined): void {
  try {
    if (name !== undefined) sessionStorage.setItem(KEY, name)
    else sessionStorage.removeItem(KEY)
  } catch {
    // Then it asks again.
  }
}

/** As whom this tab was joined when it was reloaded. */
export function joinedAs(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined
  } catch {
    return undefined
  }
}
