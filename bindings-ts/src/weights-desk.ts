import type { MeshEvent as CoreEvent } from './generated/mesh_wasm.js'
import { definedOnly } from './agents.js'
import { MAX_METADATA, decodeValue } from './codec.js'
import { gunzip, sha256 } from './compress.js'
import type { Core } from './core.js'
import { MeshError, toMeshError } from './errors.js'
import type { MeshEvent } from './events.js'
import type { EventHub } from './hub.js'
import type { ReceivedWeights, TransferProgress } from './weights.js'

/** @internal Weights that wait until they are checked; more than that are turned down. */
export const MAX_UNCHECKED = 16
/** @internal Weights that are kept until somebody takes them. */
export const MAX_UNCLAIMED = 16
/** @internal Their bytes. */
export const MAX_UNCLAIMED_BYTES = 256 * 1024 * 1024
// Transfers whose rate is followed; the oldest is forgotten past that.
const MAX_RATES = 64

type Received = CoreEvent & { type: 'weights-received' }
type Progress = CoreEvent & { type: 'weights-progress' }

interface Share {
  transfer: string | undefined
  peerId: string | undefined
  total: number
  reported: number
  onProgress: ((progress: TransferProgress) => unknown) | undefined
}

/**
 * What comes in: checks weights one after the other, keeps them until somebody takes them, and tells progress to those
 * who asked for it.
 *
 * @internal
 */
export class WeightsDesk {
  readonly #core: Core
  readonly #hub: EventHub
  readonly #maxBytes: number
  readonly #shares = new Set<Share>()
  readonly #rates = new Map<string, { at: number; bytes: number }>()
  #checking = Promise.resolve()
  #unchecked = 0
  #unclaimed: MeshEvent<'weights-received'>[] = []

  constructor(core: Core, hub: EventHub, maxBytes: number) {
    this.#core = core
    this.#hub = hub
    this.#maxBytes = maxBytes
    hub.watch(type => {
      if (type !== 'weights-received' && type !== undefined) return
      // From a microtask, so that `onWeights()` has returned before its handler is first called.
      if (this.#unclaimed.length > 0) queueMicrotask(() => this.#offerUnclaimed())
    })
  }

  /** Registers a transfer to come, so that its progress finds its way. */
  async expect(
    to: string,
    total: number,
    onProgress: Share['onProgress'],
  ): Promise<{ complete(receipt: { transfer: string; peerId: string }): void; forget(): void }> {
    if (!onProgress) return { complete() {}, forget() {} }
    const share: Share = { transfer: undefined, peerId: await this.#peerOf(to), total, reported: -1, onProgress }
    this.#shares.add(share)
    return {
      // The last report can be behind the receipt in the queue of events.
      complete: ({ transfer, peerId }) => {
        if (share.reported >= total) return
        this.#tell(share, this.#rated({ transfer, direction: 'out', peerId, bytes: total, total }))
      },
      forget: () => this.#shares.delete(share),
    }
  }

  progress(event: Progress): void {
    const { type, transfer, direction, peerId, bytes, total } = event
    const progress = this.#rated({ transfer, direction, peerId, bytes, total })
    this.#hub.emit({ type, ...progress })
    const share = direction === 'out' ? this.#shareOf(event) : undefined
    if (share) this.#tell(share, progress)
  }

  received(event: Received): void {
    if (this.#unchecked >= MAX_UNCHECKED) {
      const busy = new MeshError('over-quota', `${MAX_UNCHECKED} weights are waiting to be checked already`)
      return this.#fail(event, busy)
    }
    this.#unchecked++
    this.#checking = this.#checking.then(async () => {
      try {
        const weights = await unpack(event, this.#maxBytes)
        if (this.#core.open) this.#offer({ type: 'weights-received', ...weights })
      } catch (error) {
        if (this.#core.open) this.#fail(event, toMeshError(error))
      } finally {
        this.#unchecked--
      }
    })
  }

  #offer(event: MeshEvent<'weights-received'>): void {
    if (this.#hub.listens(event.type) || this.#hub.streams(event).length > 0) {
      return this.#hub.emit(event, event.data.length)
    }
    this.#unclaimed.push(event)
    const bytes = () => this.#unclaimed.reduce((sum, { data }) => sum + data.length, 0)
    while (this.#unclaimed.length > 1 && (this.#unclaimed.length > MAX_UNCLAIMED || bytes() > MAX_UNCLAIMED_BYTES)) {
      this.#unclaimed.shift()
      this.#hub.emit({ type: 'lagged', dropped: 1, buffer: 'weights' })
    }
  }

  #offerUnclaimed(): void {
    const unclaimed = this.#unclaimed
    this.#unclaimed = []
    if (this.#core.open) for (const event of unclaimed) this.#offer(event)
  }

  #fail(event: Received, error: MeshError): void {
    const { transfer, peerId } = event
    const { code, message } = error
    this.#hub.emit({ type: 'weights-failed', transfer, direction: 'in', peerId, code, message })
  }

  #rated(progress: TransferProgress): TransferProgress {
    const { transfer, bytes } = progress
    const now = performance.now()
    const first = this.#rates.get(transfer)
    if (first) return now > first.at ? { ...progress, rate: (1000 * (bytes - first.bytes)) / (now - first.at) } : progress
    this.#rates.set(transfer, { at: now, bytes })
    if (this.#rates.size > MAX_RATES) this.#rates.delete(this.#rates.keys().next().value!)
    return progress
  }

  #tell(share: Share, progress: TransferProgress): void {
    share.reported = progress.bytes
    this.#hub.guard(() => share.onProgress?.(progress))
  }

  // The core names a transfer when it is done; until then it is known by its receiver and its size, in the order made.
  #shareOf(event: Progress): Share | undefined {
    const shares = [...this.#shares]
    const known = shares.find(share => share.transfer === event.transfer)
    if (known) return known
    const next = shares.find(
      share =>
        share.transfer === undefined &&
        share.total === event.total &&
        (share.peerId === undefined || share.peerId === event.peerId),
    )
    if (next) next.transfer = event.transfer
    return next
  }

  // A bare name is looked up, so that transfers of one size to several names are told apart.
  async #peerOf(to: string): Promise<string | undefined> {
    const [name, peerId] = to.split('@')
    if (peerId !== undefined) return peerId
    const agents = await this.#core.call({}, node => node.agents()).catch(() => [])
    const [only, another] = agents.filter(agent => agent.name === name)
    if (only === undefined) return agents.some(agent => agent.peerId === to) ? to : undefined
    return another === undefined ? only.peerId : undefined
  }
}

/** @internal Uncompressed, and checked against what was announced. Sizes are the sender's words until then. */
export async function unpack(event: Received, maxBytes: number): Promise<ReceivedWeights> {
  const { transfer, peerId, info } = event
  const { agentId, name, format, codec, rawSize, checksum } = info
  const body = event.body as Uint8Array<ArrayBuffer>
  if (!(Number.isSafeInteger(rawSize) && rawSize >= 0 && rawSize <= maxBytes)) {
    throw new MeshError('too-large', `the weights have ${rawSize} bytes uncompressed, at most ${maxBytes} are accepted`, {
      details: { size: rawSize, max: maxBytes },
    })
  }
  const data = codec === 'gzip' ? await gunzip(body, rawSize) : body
  if (data.length !== rawSize) {
    throw new MeshError('integrity', `the weights are ${data.length} bytes and not the ${rawSize} announced`)
  }
  const computed = await sha256(data)
  if (computed !== checksum.toLowerCase()) {
    throw new MeshError('integrity', `the weights' checksum is ${computed} and not the announced ${checksum}`)
  }
  const metadata = info.metadata && toMetadata(info.metadata)
  return { transfer, from: peerId, agentId, format, data, checksum: computed, ...definedOnly({ name, metadata }) }
}

function toMetadata(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes, MAX_METADATA)
  } catch (error) {
    throw new MeshError('integrity', "the weights' metadata is not the CBOR of a value", { cause: error })
  }
}
