import { decodeCharter, encodeCharter, peerIdOf as corePeerIdOf, verifyDecision as coreVerifyDecision, verifyRecord as coreVerifyRecord } from './generated/mesh_wasm.js'
import type { VerifiedDecision as CoreDecision } from './generated/mesh_wasm.js'
import { toProposal, type CoordinationProposal, type Proposal } from './consensus.js'
import { invalid, toMeshError } from './errors.js'
import { loadWasm } from './wasm.js'

/** One who may vote. */
export interface Voter {
  /** Its node. */
  readonly peerId: string
  /** The key that signs its votes: {@link Electorate.votingKey}. */
  readonly votingKey: string
}

/** What a mesh is founded on. */
export interface Charter {
  /** The id of the mesh, a hash of all the rest, in hex: what people pin. */
  readonly meshId: string
  /** What people call it. */
  readonly name: string
  /** The peer ids of those who may say who votes. */
  readonly founders: readonly string[]
  /** How many of them have to sign. */
  readonly threshold: number
  /** Who votes at first. */
  readonly voters: readonly Voter[]
  /** Whether anybody may come in and listen. */
  readonly open: boolean
}

/** What {@link createCharter} takes. */
export interface CharterOptions {
  /** What people call the mesh, at most 128 bytes. */
  name: string
  /** Peer ids of those who may say who votes, at most 16: {@link peerIdOf} tells that of an identity. */
  founders: string | readonly string[]
  /** How many of them have to sign. Default 1; with more, voters cannot be changed from within a mesh. */
  threshold?: number | undefined
  /** Who votes at first. Default: nobody, until the founder has called {@link Consensus.elect}. */
  voters?: readonly Voter[] | undefined
  /** Whether anybody may come in who has the charter. Else everybody but the founders needs an invite or a pass. Default `true`. */
  open?: boolean | undefined
}

/** A decision that holds. */
export interface VerifiedDecision<T = CoordinationProposal> {
  /** The id of its mesh, in hex. That this is your mesh is for you to know. */
  readonly meshId: string
  /** What people call the mesh. */
  readonly mesh: string
  /** The proposal's id. */
  readonly id: string
  /** How it ended; `granted` is that of a claim. */
  readonly outcome: 'approved' | 'rejected' | 'lapsed' | 'granted'
  /** The epoch whose voters decided. */
  readonly epoch: number
  /** How many could vote. */
  readonly voters: number
  /** How many have signed. */
  readonly signers: number
  /** Whose proposal it was. */
  readonly author?: string
  /** What was approved, if the file holds it. */
  readonly proposal?: Proposal<T>
  /** The resource that was granted. */
  readonly resource?: string
  /** To whom. */
  readonly holder?: string
}

/**
 * Makes the founding document of a mesh in which people vote. Its hash is the id of the mesh, so everybody who joins needs
 * these very bytes: a relay by `--charter FILE`, an agent by {@link joinMesh}. They are no secret.
 *
 * @throws MeshError `invalid-argument`
 * @example
 * ```ts
 * const identity = generateIdentity() // the founder's: keep it
 * const charter = await createCharter({ name: 'lab', founders: await peerIdOf(identity) })
 * await writeFile('lab.charter', charter)
 * ```
 */
export async function createCharter(options: CharterOptions): Promise<Uint8Array> {
  if (typeof options !== 'object' || options === null) throw invalid("options are missing: createCharter({ name: 'lab', founders: peerId })")
  const { name, founders, threshold = 1, voters = [], open = true } = options
  const list = typeof founders === 'string' ? [founders] : founders
  if (typeof name !== 'string' || name === '') throw invalid('name must be a text')
  if (!Array.isArray(list) || list.length === 0) throw invalid('founders must be at least one peer id')
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > list.length) throw invalid(`threshold must be from 1 to ${list.length}, the number of founders`)
  if (typeof open !== 'boolean') throw invalid('open must be true or false')
  return guarded(() => encodeCharter({ meshId: '', name, founders: [...list], threshold, voters: [...voters], open }))
}

/**
 * Reads a charter, or that in a pass.
 *
 * @throws MeshError `invalid-argument` when it is none
 * @example
 * ```ts
 * const { meshId, name } = await readCharter(await readFile('lab.charter'))
 * ```
 */
export async function readCharter(charter: Uint8Array): Promise<Charter> {
  checkBytes('charter', charter)
  return guarded(() => decodeCharter(charter))
}

/**
 * The peer id of an identity.
 *
 * @example
 * ```ts
 * const peerId = await peerIdOf(generateIdentity())
 * ```
 */
export async function peerIdOf(identity: Uint8Array): Promise<string> {
  checkBytes('identity', identity)
  return guarded(() => corePeerIdOf(identity))
}

/**
 * Checks a decision without the network, the clock or a key: whether a quorum of the voters of its epoch has signed it.
 *
 * @param certificate {@link ConsensusResult.certificate}
 * @param charter of the mesh that you believe in, or a pass to it
 * @param chain the electorates since: {@link Consensus.chain}
 * @throws MeshError `integrity` when it does not hold, `invalid-argument` when it is no certificate
 * @example
 * ```ts
 * const { outcome, signers, voters } = await verifyDecision(result.certificate, charter, await mesh.consensus.chain())
 * ```
 */
export async function verifyDecision(certificate: Uint8Array, charter: Uint8Array, chain: readonly Uint8Array[] = []): Promise<VerifiedDecision> {
  checkBytes('certificate', certificate)
  checkBytes('charter', charter)
  if (!Array.isArray(chain)) throw invalid('chain must be a list of records, as consensus.chain() gives it')
  for (const record of chain) checkBytes('a record of chain', record)
  return toDecision(await guarded(() => coreVerifyDecision(certificate, charter, [...chain])))
}

/**
 * Checks a file that proves a decision: {@link Consensus.proof}. It holds the charter too, so compare `meshId` with the one that
 * you know.
 *
 * @throws MeshError `integrity` when it does not hold, `invalid-argument` when it is no such file
 * @example
 * ```ts
 * const { meshId, outcome, proposal } = await verifyRecord(await readFile('decision.cbor'))
 * ```
 */
export async function verifyRecord(record: Uint8Array): Promise<VerifiedDecision> {
  checkBytes('record', record)
  return toDecision(await guarded(() => coreVerifyRecord(record)))
}

function checkBytes(what: string, bytes: unknown): void {
  if (!(bytes instanceof Uint8Array)) throw invalid(`${what} must be a Uint8Array`)
}

function toDecision(decision: CoreDecision): VerifiedDecision {
  const { meshId, mesh, id, outcome, epoch, voters, signers, author, grant } = decision
  const proposal = decision.proposal && toProposal(decision.proposal)
  return {
    meshId, mesh, id, outcome, epoch, voters, signers,
    ...(author !== undefined && { author }),
    ...(proposal && { proposal }),
    ...(grant && { resource: grant.resource, ...(grant.holder !== undefined && { holder: grant.holder }) }),
  }
}

async function guarded<T>(work: () => T): Promise<T> {
  await loadWasm()
  try {
    return work()
  } catch (error) {
    throw toMeshError(error)
  }
}
