import { MeshError, verifyRecord, type VerifiedDecision } from 'neural-mesh'
import { explain } from './explain.js'
import { clip, count } from './words.js'

/** What a look at a certificate gave. */
export interface Verdict {
  readonly holds: boolean
  readonly text: string
}

// That of the core: 257 charters and a decision.
const MAX_FILE = 257 * 16 * 1024 + 60 * 1024

/** Checks a file that somebody has chosen. Never rejects: a wrong file is a verdict too. */
export async function checkFile(file: Blob, meshId: string): Promise<Verdict> {
  if (file.size > MAX_FILE) return { holds: false, text: 'This is no certificate: it is larger than any.' }
  return check(new Uint8Array(await file.arrayBuffer()), meshId)
}

/** Checks a certificate as anybody could, without the mesh; with an `id`, that it is about that proposal. */
export async function check(record: Uint8Array, meshId: string, id?: string): Promise<Verdict> {
  try {
    const decision = await verifyRecord(record)
    const other = id !== undefined && decision.id !== id
    return other ? { holds: false, text: 'It is about another proposal.' } : verdict(decision, meshId)
  } catch (error) {
    const wrong = MeshError.isInstance(error) && error.code === 'integrity' ? 'Does not hold' : 'This is no certificate'
    return { holds: false, text: `${wrong}: ${explain(error).message}` }
  }
}

/** Says of a decision that holds what it means for those who are in the mesh `meshId`. */
export function verdict(decision: VerifiedDecision, meshId: string): Verdict {
  const { signers, voters, mesh, outcome, proposal, resource, holder } = decision
  const signed = `${signers} of ${count(voters, 'voter')} have signed`
  if (decision.meshId !== meshId) {
    return { holds: false, text: `Of another mesh, not of this one: there ${signed}. It is called ${mesh}, its id is ${decision.meshId}.` }
  }
  const what = proposal ? `“${clip(proposal.title, 256)}” is` : resource !== undefined ? `“${clip(resource, 256)}” is` : 'it is'
  const to = holder === undefined ? '' : ` to ${holder}`
  return { holds: true, text: `Holds: ${signed} that ${what} ${outcome}${to}. It is of this mesh.` }
}
