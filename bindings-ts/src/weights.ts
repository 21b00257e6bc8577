import type { WeightsInfo } from './generated/mesh_wasm.js'
import { definedOnly } from './agents.js'
import { MAX_METADATA, encodeValue } from './codec.js'
import { gzip, sha256 } from './compress.js'
import type { Core } from './core.js'
import { MeshError, invalid, toMeshError } from './errors.js'
import type { EventHub } from './hub.js'
import { checkCall, checkCallback, checkName, type CallOptions } from './options.js'
import type { WeightsDesk } from './weights-desk.js'

/** How weights are compressed on the way. `gzip` saves little on float weights (about 7 %) and costs time on both sides. */
export type Compression = 'none' | 'gzip'

/** Weights to share. */
export interface SerializedWeights {
  /** The agent they come from; at most 256 bytes. */
  agentId: string
  /** The weights. Must not change until they are shared. */
  data: Uint8Array | ArrayBuffer
  /** SHA-256 of `data` in hex. Computed when absent, checked when given. */
  checksum?: string | undefined
  /** What `data` is; at most 64 bytes. Default `safetensors`. */
  format?: string | undefined
  /** A name for them; at most 256 bytes. */
  name?: string | undefined
  /** Anything else to tell about them: at most 1,024 bytes as CBOR. */
  metadata?: object | undefined
  /** Default for {@link ShareOptions.compression}. */
  compression?: Compression | undefined
}

/** Weights of somebody else, uncompressed and checked against their checksum. */
export interface ReceivedWeights {
  /** The transfer that brought them. */
  readonly transfer: string
  /** The peer id of the node they come from. */
  readonly from: string
  /** The agent they come from, in the sender's words. */
  readonly agentId: string
  /** A name for them. */
  readonly name?: string
  /** What `data` is, for example `safetensors`. */
  readonly format: string
  /** The weights. */
  readonly data: Uint8Array
  /** SHA-256 of `data`, in hex. */
  readonly checksum: string
  /** What else the sender told about them. */
  readonly metadata?: unknown
}

/** How far weights have come. */
export interface TransferProgress {
  /** The transfer. */
  readonly transfer: string
  /** `out` to `peerId`, or `in` from it. */
  readonly direction: 'in' | 'out'
  /** The node at the other end. */
  readonly peerId: string
  /** Bytes that have arrived there (`out`) or here (`in`), as compressed. */
  readonly bytes: number
  /** Bytes in all, as compressed. */
  readonly total: number
  /** Bytes per second since the first report of this transfer; absent in that one. */
  readonly rate?: number
}

/** How to share weights. */
export interface ShareOptions extends CallOptions {
  /** How to compress them on the way. Default: what the weights say, else `none`. Left away where it saves nothing. */
  compression?: Compression | undefined
  /** Called as they arrive at the other end; the last time with all bytes. */
  onProgress?: ((progress: TransferProgress) => unknown) | undefined
  /** Milliseconds without progress until the transfer is given up. Default 60,000. */
  timeoutMs?: number | undefined
}

/** Weights that have arrived at the other end, whole and checked. */
export interface ShareResult {
  /** The transfer. */
  readonly transfer: string
  /** The node that has them. */
  readonly peerId: string
  /** Bytes transferred, as compressed. */
  readonly bytes: number
  /** Bytes of the weights. */
  readonly rawSize: number
  /** SHA-256 of the weights, in hex. */
  readonly checksum: string
  /** How often the transfer broke off and was resumed. */
  readonly resumed: number
  /** Milliseconds from the offer to the last byte. */
  readonly durationMs: number
}

/** How to take weights. */
export interface OnWeightsOptions {
  /** Called as weights of others come in. */
  onProgress?: ((progress: TransferProgress) => unknown) | undefined
}

/** Model weights: {@link Mesh.weights}. They travel apart from messages, in chunks, and are resumed after a break. */
export class Weights {
  readonly #core: Core
  readonly #hub: EventHub
  readonly #desk: WeightsDesk

  /** @internal */
  constructor(core: Core, hub: EventHub, desk: WeightsDesk) {
    this.#core = core
    this.#hub = hub
    this.#desk = desk
  }

  /**
   * Sends weights to another node, and waits until it has them all and they are the bytes that were hashed here.
   *
   * @param to an agent's name, its address `name@peerId`, or a peer id
   * @throws MeshError `integrity` when `checksum` is not that of `data`; `too-large`, `refused`, `peer-unreachable`,
   *   `timeout`, `unknown-agent`, `ambiguous-agent`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.weights.share('ada', { agentId: 'bob', data: safetensors }, {
   *   onProgress: ({ bytes, total }) => console.log(`${Math.round((100 * bytes) / total)} %`),
   * })
   * ```
   */
  async share(to: string, weights: SerializedWeights, options: ShareOptions = {}): Promise<ShareResult> {
    checkShare(options)
    checkName('the receiver', to, MAX_LABEL)
    return this.#core.call({ signal: options.signal }, async (_, signal) => {
      const prepared = await prepare(weights, options.compression, signal)
      signal?.throwIfAborted()
      return this.#send(to, prepared, options)
    })
  }

  /**
   * Shares with many at once.
   *
   * @internal
   */
  async shareAll(
    targets: readonly string[],
    weights: SerializedWeights,
    options: ShareOptions = {},
  ): Promise<ShareResult[]> {
    checkShare(options)
    if (!Array.isArray(targets)) throw invalid('targets must be an array of agent ids, names or peer ids')
    targets.forEach((target, i) => checkName(`targets[${i}]`, target, MAX_LABEL))
    const distinct = [...new Set(targets)]
    return this.#core.call({ signal: options.signal }, async (_, signal) => {
      const prepared = await prepare(weights, options.compression, signal)
      signal?.throwIfAborted()
      const outcomes = await Promise.allSettled(distinct.map(target => this.#send(target, prepared, options)))
      return allOrError(distinct, outcomes)
    })
  }

  /**
   * Calls `handler` with weights of others, checked, until the returned function is called. Weights that arrive while
   * nobody takes any are kept, up to 16 of them and 256 MiB; then the oldest are dropped and a `lagged` event says so.
   * Weights that turn out to be damaged become a `weights-failed` event.
   *
   * @example
   * ```ts
   * const stop = mesh.weights.onWeights(({ from, agentId, data }) => model.load(data))
   * ```
   */
  onWeights(handler: (weights: ReceivedWeights) => unknown, options: OnWeightsOptions = {}): () => void {
    this.#core.checkOpen()
    return listenForWeights(this.#hub, handler, options)
  }

  /**
   * Weights of others as they come in, checked, from now on. A loop that lags more than 256 MiB behind loses the oldest,
   * and a `lagged` event says how many.
   *
   * @example
   * ```ts
   * for await (const { agentId, data } of mesh.weights.incoming()) merge(agentId, data)
   * ```
   */
  incoming(options: { signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<ReceivedWeights> {
    this.#core.checkOpen()
    checkCall({ signal: options.signal })
    return this.#hub.stream('weights-received', { signal: options.signal })
  }

  async #send(to: string, prepared: Prepared, options: ShareOptions): Promise<ShareResult> {
    const { info, body } = prepared
    const { signal, timeoutMs, onProgress } = options
    const share = await this.#desk.expect(to, body.length, onProgress)
    try {
      const receipt = await this.#core.call({ signal }, (node, signal) =>
        node.shareWeights(to, info, body, definedOnly({ timeoutMs }), signal),
      )
      share.complete(receipt)
      return { ...receipt, rawSize: info.rawSize, checksum: info.checksum }
    } finally {
      share.forget()
    }
  }
}

/** @internal */
export function listenForWeights(
  hub: EventHub,
  handler: (weights: ReceivedWeights) => unknown,
  options: OnWeightsOptions,
): () => void {
  const { onProgress } = options
  checkCallback('onProgress', onProgress)
  const stop = hub.on('weights-received', handler)
  const stopProgress =
    onProgress && hub.on('weights-progress', progress => (progress.direction === 'in' ? onProgress(progress) : undefined))
  return () => {
    stop()
    stopProgress?.()
  }
}

/** @internal */
export interface Prepared {
  info: WeightsInfo
  body: Uint8Array<ArrayBuffer>
}

const MAX_LABEL = 256
const MAX_FORMAT = 64
const SHA256_HEX = /^[0-9a-f]{64}$/

/** @internal What travels: hashed, and compressed where that saves anything. */
export async function prepare(
  weights: SerializedWeights,
  compression: Compression | undefined,
  signal?: AbortSignal,
): Promise<Prepared> {
  if (typeof weights !== 'object' || weights === null) throw invalid('weights must be an object with agentId and data')
  const { agentId, name, format = 'safetensors', metadata } = weights
  checkName('weights.agentId', agentId, MAX_LABEL)
  if (name !== undefined) checkName('weights.name', name, MAX_LABEL)
  checkName('weights.format', format, MAX_FORMAT)
  const encodedMetadata = metadata === undefined ? undefined : encodeValue('weights.metadata', metadata, MAX_METADATA)
  const data = toBytes(weights.data)
  const checksum = await checkedSum(data, weights.checksum)
  const wanted = compression ?? weights.compression ?? 'none'
  checkCompression(wanted)
  const compressed = wanted === 'gzip' ? await gzip(data, signal) : data
  const saves = compressed.length < data.length
  return {
    info: {
      agentId,
      format,
      codec: saves ? 'gzip' : 'none',
      rawSize: data.length,
      checksum,
      ...definedOnly({ name, metadata: encodedMetadata }),
    },
    body: saves ? compressed : data,
  }
}

async function checkedSum(data: Uint8Array<ArrayBuffer>, given: unknown): Promise<string> {
  const wanted = typeof given === 'string' ? given.toLowerCase() : given
  if (wanted !== undefined && !(typeof wanted === 'string' && SHA256_HEX.test(wanted))) {
    throw invalid('weights.checksum must be a SHA-256 in hex, 64 digits')
  }
  const checksum = await sha256(data)
  if (wanted !== undefined && wanted !== checksum) {
    throw new MeshError('integrity', `weights.checksum is ${wanted}, but the data's is ${checksum}`, {
      details: { given: wanted, computed: checksum },
    })
  }
  return checksum
}

function toBytes(data: unknown): Uint8Array<ArrayBuffer> {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (!(data instanceof Uint8Array)) throw invalid('weights.data must be a Uint8Array or an ArrayBuffer')
  // WebCrypto and streams take no shared memory.
  return data.buffer instanceof ArrayBuffer ? (data as Uint8Array<ArrayBuffer>) : new Uint8Array(data)
}

function checkShare(options: ShareOptions): void {
  checkCall(options)
  checkCallback('onProgress', options.onProgress)
  if (options.compression !== undefined) checkCompression(options.compression)
}

function checkCompression(compression: unknown): void {
  if (compression !== 'none' && compression !== 'gzip') throw invalid("compression must be 'none' or 'gzip'")
}

/** @internal All results, or one error that lists each target that failed. */
export function allOrError(
  targets: readonly string[],
  outcomes: readonly PromiseSettledResult<ShareResult>[],
): ShareResult[] {
  const results: ShareResult[] = []
  const delivered: string[] = []
  const failures: { target: string; error: MeshError }[] = []
  outcomes.forEach((outcome, i) => {
    const target = targets[i]!
    if (outcome.status === 'rejected') return failures.push({ target, error: toMeshError(outcome.reason) })
    results.push(outcome.value)
    return delivered.push(target)
  })
  const [first] = failures
  if (first === undefined) return results
  const list = failures.map(({ target, error }) => `${target}: ${error.code}, ${error.message}`)
  throw new MeshError(
    first.error.code,
    `weights did not reach ${failures.length} of ${targets.length} targets: ${list.join('; ')}`,
    {
      details: {
        delivered,
        failures: failures.map(({ target, error: { code, message } }) => ({ target, code, message })),
      },
      cause: new AggregateError(failures.map(({ error }) => error)),
    },
  )
}
