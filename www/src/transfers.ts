import type { Mesh, MeshEvent, ReceivedWeights, TransferProgress } from 'neural-mesh'
import { explain } from './explain.js'
import { Recent } from './recent.js'

/** A file on its way, out or in. */
export interface Transfer {
  readonly kind: 'file'
  readonly key: number
  readonly mine: boolean
  readonly peerId: string
  readonly at: number
  /** What the sender calls it; of one that comes in, known when it is here. */
  name: string | undefined
  bytes: number
  total: number
  rate: number | undefined
  /** `dropped`: it was here, and its bytes had to make room for later ones. */
  state: 'going' | 'done' | 'dropped' | { readonly failed: string }
  /** Where the browser keeps what has arrived. */
  url: string | undefined
  checksum: string | undefined
  cancel: (() => void) | undefined
}

/** Bytes of the largest file that is sent: what a receiver takes if it was not told otherwise. */
export const MAX_FILE = 256 * 1024 * 1024
/** Bytes of received files that are kept for downloading. Past it, the oldest are let go. */
const MAX_KEPT = 512 * 1024 * 1024
const MAX_KEPT_FILES = 100
// The bound of the package for a name, in bytes.
const MAX_NAME = 256

let keys = 0
export const nextKey = () => ++keys

/** Files in both directions; `add` puts each where it is shown, when it begins. */
export class Transfers {
  readonly #mesh: Mesh
  readonly #add: (transfer: Transfer) => void
  readonly #changed: () => void
  readonly #incoming = new Map<string, Transfer>()
  readonly #kept = new Recent<Transfer>(MAX_KEPT_FILES, transfer => this.#drop(transfer))

  constructor(mesh: Mesh, add: (transfer: Transfer) => void, changed: () => void) {
    this.#mesh = mesh
    this.#add = add
    this.#changed = changed
    mesh.weights.onWeights(weights => this.#received(weights), { onProgress: progress => this.#progressed(progress) })
    mesh.on('weights-failed', failure => this.#failed(failure))
  }

  /** Sends a file; `begin` puts it where it is shown. Never rejects: what went wrong stands in the transfer. */
  async send(file: File, to: { id: string; peerId: string }, from: string, begin: (transfer: Transfer) => void): Promise<void> {
    const controller = new AbortController()
    const transfer = newTransfer(to.peerId, true, { name: file.name, total: file.size, cancel: () => controller.abort() })
    begin(transfer)
    this.#changed()
    try {
      if (file.size > MAX_FILE) throw new RangeError('It is larger than 256 MiB, which is what receivers take.')
      const data = await file.arrayBuffer()
      const { checksum } = await this.#mesh.weights.share(
        to.id,
        { agentId: from, name: fitting(file.name), format: formatOf(file.name), data },
        { signal: controller.signal, onProgress: progress => this.#update(transfer, progress) },
      )
      Object.assign(transfer, { state: 'done', bytes: file.size, checksum })
    } catch (error) {
      transfer.state = { failed: explain(error).text }
    }
    transfer.cancel = undefined
    this.#changed()
  }

  /** Lets go of what was received. */
  close(): void {
    for (const transfer of this.#kept) this.#drop(transfer)
  }

  #progressed(progress: TransferProgress): void {
    this.#update(this.#arriving(progress.transfer, progress.peerId), progress)
  }

  #update(transfer: Transfer, { bytes, total, rate }: TransferProgress): void {
    Object.assign(transfer, { bytes, total, rate })
    this.#changed()
  }

  #received({ transfer: id, from, name, data, checksum }: ReceivedWeights): void {
    const transfer = this.#arriving(id, from)
    this.#incoming.delete(id)
    const blob = new Blob([data as Uint8Array<ArrayBuffer>], { type: 'application/octet-stream' })
    Object.assign(transfer, { name: name ?? 'weights', bytes: data.length, total: data.length, state: 'done', checksum })
    transfer.url = URL.createObjectURL(blob)
    this.#keep(transfer)
    this.#changed()
  }

  #failed({ transfer: id, peerId, message }: MeshEvent<'weights-failed'>): void {
    const transfer = this.#arriving(id, peerId)
    this.#incoming.delete(id)
    transfer.state = { failed: message }
    this.#changed()
  }

  // The transfer of that id, which is new when nothing was heard of it yet.
  #arriving(id: string, peerId: string): Transfer {
    const known = this.#incoming.get(id)
    if (known) return known
    const transfer = newTransfer(peerId, false)
    this.#incoming.set(id, transfer)
    this.#add(transfer)
    return transfer
  }

  #keep(transfer: Transfer): void {
    this.#kept.push(transfer)
    const held = () => [...this.#kept].filter(({ url }) => url !== undefined)
    while (held().length > 1 && held().reduce((sum, { total }) => sum + total, 0) > MAX_KEPT) this.#drop(held()[0]!)
  }

  #drop(transfer: Transfer): void {
    if (transfer.url === undefined) return
    URL.revokeObjectURL(transfer.url)
    Object.assign(transfer, { url: undefined, state: 'dropped' })
  }
}

function newTransfer(peerId: string, mine: boolean, known: Partial<Transfer> = {}): Transfer {
  return {
    ...{ kind: 'file', key: nextKey(), mine, peerId, at: Date.now(), name: undefined, bytes: 0, total: 0, rate: undefined },
    ...{ state: 'going', url: undefined, checksum: undefined, cancel: undefined },
    ...known,
  }
}

const formatOf = (name: string) => (name.toLowerCase().endsWith('.safetensors') ? 'safetensors' : 'raw')

// As much of a file's name as the package takes.
function fitting(name: string): string {
  const clean = name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '')
  const cut = new TextEncoder().encode(clean).slice(0, MAX_NAME)
  return new TextDecoder().decode(cut).replace(/\ufffd$/, '') || 'file'
}
