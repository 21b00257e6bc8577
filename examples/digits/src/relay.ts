/** Starts the native relay on free ports of this machine. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from './child.js'

/** The clone that this example is part of; from dist/ three folders up. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

export interface Relay {
  child: Child
  /** Resolves with the address that agents join by. */
  address: Promise<string>
  /** The URL of the page that browsers join by: from when the address is known, if it was asked for. */
  page: () => string | undefined
  /** Removes the relay's key, which only this run used. */
  forget: () => Promise<void>
}

/** With `page`, the relay serves the one that `npm run build -- --www` makes. */
export async function startRelay (mesh: string, { page }: { page: boolean }): Promise<Relay> {
  const binary = await findBinary()
  const folder = await mkdtemp(join(tmpdir(), 'neural-mesh-digits-'))
  const args = ['--json', '--mesh', mesh, '--key', join(folder, 'key'), '--listen', '/ip4/127.0.0.1/tcp/0/ws', '--http', '127.0.0.1:0', '--no-mdns', '--stun', 'off']
  if (page) args.push('--ui', '127.0.0.1:0', '--ui-directory', join(ROOT, 'www/dist'))

  let ready: (address: string) => void
  const address = new Promise<string>(resolve => { ready = resolve })
  let listening: string | undefined
  let ui: string | undefined
  const child = new Child('relay', binary, args, 'terminate', line => {
    const event = parseEvent(line)
    if (event.event === 'listening') listening ??= event.address
    if (event.event === 'ui') ui = event.address
    if (event.event === 'ready' && listening !== undefined) ready(listening)
  })
  return { child, address, page: () => ui, forget: () => rm(folder, { recursive: true, force: true }) }
}

async function findBinary (): Promise<string> {
  const script = new URL('../../../scripts/lib/relay.mjs', import.meta.url)
  const { relayBinary } = await import(script.href) as { relayBinary: () => string }
  return relayBinary()
}

/** The lines of `mesh-relay --json` that matter here. */
interface RelayEvent { event?: 'listening' | 'ui' | 'ready', address?: string }

function parseEvent (line: string): RelayEvent {
  try {
    return JSON.parse(line) as RelayEvent
  } catch {
    return {}
  }
}
