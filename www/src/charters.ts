import { readCharter } from 'neural-mesh'
import { explain } from './explain.js'
import type { Reading } from './link.js'

/** What a link says, or why its charter is none. Reading one takes the package, so a link without one does not wait for it. */
export async function withCharter(reading: Reading): Promise<Reading> {
  if (!reading || !('invitation' in reading) || !reading.invitation.charter) return reading
  const { charter, mesh } = reading.invitation
  try {
    const { name } = await readCharter(charter)
    return name === mesh ? reading : { error: 'the link names another mesh than its charter' }
  } catch (error) {
    return { error: `the link has a part that is no charter (${explain(error).message})` }
  }
}
