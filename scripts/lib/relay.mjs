// Where the relay is, once scripts/build.mjs has built it.

import { at, exe } from './paths.mjs'

// Absolute path of the relay: the dev build, or the release build when MESH_RELAY_PROFILE=release (bench).
export function relayBinary() {
  const profile = process.env.MESH_RELAY_PROFILE === 'release' ? 'release' : 'debug'
  return at('target', profile, `mesh-relay${exe}`)
}
