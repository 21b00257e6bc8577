import type { GetInfo, MeshNode } from './generated/mesh_wasm.js'
import { definedOnly } from './agents.js'
import { addTree, bytesOf, type Directory, type DirectoryEntry, type FileBytes, type KnowledgeFile } from './content-files.js'
import type { Core } from './core.js'
import { MeshError, invalid } from './errors.js'
import type { EventHub } from './hub.js'
import { isLive, nothingThere, toInfo, type ReadOptions } from './knowledge-entry.js'
import { checkCall, checkCallback, checkDomain, checkKey, type CallOptions } from './options.js'
import { storageEstimate } from './store/database.js'

/** Content by its CID, or what a key stands for now; `domain` is `'shared'` by default. */
export type ContentName = string | { readonly key: string; readonly domain?: string | undefined }

/** What a node keeps. */
export interface KnowledgeStorage {
  /** Bytes that content takes, with 128 more for each block. */
  readonly used: number
  /** Bytes that it may take. */
  readonly max: number
  /** Blocks that are here. */
  readonly blocks: number
  /** Contents that others rely on this node for. */
  readonly placed: number
  /** Those of them that are here. */
  readonly held: number
  /** Entries that are known, of all domains, with those that take a key away. */
  readonly entries: number
  /** Their bytes. */
  readonly entryBytes: number
  /** Bytes of blocks that others were sent. */
  readonly sent: number
  /** Bytes of blocks that came from others. */
  readonly received: number
  /** In browsers: bytes that this site takes in all, and may take, as far as the browser tells. Neither is a promise. */
  readonly browser?: { readonly usage: number; readonly quota: number }
}

// What is not here, nor with somebody who is linked, takes longer than that.
const SEEK_AFTER_MS = 200

/** @internal Bytes that are read when the caller gives no bound. */
export const MAX_READ = 64 * 1024 * 1024

/** Content under its CID, as IPFS has it: files, directories, and who has what. A part of {@link Knowledge}. */
export class SharedContent {
  readonly #core: Core
  readonly #hub: EventHub

  /** @internal */
  constructor(core: Core, hub: EventHub) {
    this.#core = core
    this.#hub = hub
  }

  /**
   * Makes a file of bytes, and keeps it here, pinned: others that know its CID can read it. Its CID is the one that IPFS gives it.
   *
   * @throws MeshError `storage-full` when there is no room here, `store-failed`, `over-quota`, `invalid-argument`
   * @example
   * ```ts
   * const { cid } = await mesh.knowledge.addFile(new TextEncoder().encode('hello'))
   * ```
   */
  async addFile(bytes: FileBytes, options: CallOptions = {}): Promise<KnowledgeFile> {
    checkCall(options)
    const data = await bytesOf('a file', bytes)
    return this.#core.call(options, (node, signal) => node.addFile(data, signal))
  }

  /**
   * Makes a directory of files, by their names, and of directories in it; keeps all of it here, pinned as a whole.
   *
   * @throws MeshError as {@link Knowledge.addFile}; `too-large` when one directory has more entries than fit into a block
   * @example
   * ```ts
   * const digits = await mesh.knowledge.addFile(bytes)
   * const { cid } = await mesh.knowledge.addDirectory({ 'digits.bin': digits, docs: { 'readme.txt': new Blob(['hello']) } })
   * ```
   */
  async addDirectory(files: Directory, options: CallOptions = {}): Promise<KnowledgeFile> {
    checkCall(options)
    return this.#core.call(options, (node, signal) => addTree(node, files, signal))
  }

  /**
   * The bytes of a file, from here or from others.
   *
   * @throws MeshError `not-found` when nobody who can be reached has all of it, `too-large`, `integrity` when it is a directory
   * or damaged, `over-quota`, `invalid-argument`
   * @example
   * ```ts
   * const bytes = await mesh.knowledge.readFile(cid, { onProgress: ({ bytes }) => console.log(bytes) })
   * ```
   */
  async readFile(cid: string, options: ReadOptions = {}): Promise<Uint8Array> {
    checkRead(options)
    checkCid(cid)
    return this.read(cid, undefined, options)
  }

  /**
   * What is in a directory, of at most 10,000 entries.
   *
   * @throws MeshError as {@link Knowledge.readFile}
   * @example
   * ```ts
   * for (const { name, cid } of await mesh.knowledge.list(directory)) console.log(name, cid)
   * ```
   */
  async list(cid: string, options: CallOptions = {}): Promise<DirectoryEntry[]> {
    checkCall(options)
    checkCid(cid)
    return this.#sought(cid, options.signal, (node, signal) => node.listContent(cid, toGetInfo(options), signal))
  }

  /**
   * Gets content with all that is in it, of up to 1 GiB or `maxBytes`, and keeps it here until it is unpinned, through restarts.
   * Of a key it is what that stands for now.
   *
   * @returns its CID
   * @throws MeshError `not-found`, `storage-full`, `too-large`, `store-failed`, `invalid-argument`
   * @example
   * ```ts
   * const cid = await mesh.knowledge.pin({ key: 'weights/latest' })
   * ```
   */
  async pin(content: ContentName, options: ReadOptions = {}): Promise<string> {
    checkRead(options)
    const { signal, onProgress } = options
    const cid = await this.#cidOf(content, signal)
    const progress = onProgress && ((bytes: number) => this.#hub.guard(() => onProgress({ bytes })))
    await this.#sought(cid, signal, (node, signal) => node.pinContent(cid, toGetInfo(options), progress, signal))
    return cid
  }

  /**
   * Keeps content no longer for having been pinned. It may stay for other reasons, or for as long as there is room.
   *
   * @throws MeshError `not-found` when nothing is under the key, `store-failed`, `invalid-argument`
   * @example
   * ```ts
   * await mesh.knowledge.unpin(cid)
   * ```
   */
  async unpin(content: ContentName, options: CallOptions = {}): Promise<void> {
    checkCall(options)
    const cid = await this.#cidOf(content, options.signal)
    return this.#core.call(options, node => node.unpinContent(cid))
  }

  /**
   * The CIDs of what is pinned here.
   *
   * @example
   * ```ts
   * const isKept = (await mesh.knowledge.pins()).includes(cid)
   * ```
   */
  async pins(options: CallOptions = {}): Promise<string[]> {
    checkCall(options)
    return this.#core.call(options, node => node.pinnedContent())
  }

  /**
   * The peer ids of those who have content, this node included, as far as they answer: those are asked with whom it was placed,
   * or who might have it.
   *
   * @throws MeshError `not-found` when nothing is under the key, `invalid-argument`
   * @example
   * ```ts
   * const holders = await mesh.knowledge.whoHas({ key: 'weights/latest' })
   * ```
   */
  async whoHas(content: ContentName, options: CallOptions = {}): Promise<string[]> {
    checkCall(options)
    const cid = await this.#cidOf(content, options.signal)
    return this.#core.call(options, (node, signal) => node.whoHas(cid, signal))
  }

  /**
   * How much is kept here, and how much may be.
   *
   * @example
   * ```ts
   * const { used, max, browser } = await mesh.knowledge.storage()
   * ```
   */
  async storage(options: CallOptions = {}): Promise<KnowledgeStorage> {
    checkCall(options)
    return this.#core.call(options, async node => {
      const [here, browser] = await Promise.all([node.storage(), storageEstimate()])
      return { ...here, ...(browser && { browser }) }
    })
  }

  /** @internal The bytes of content of this size, or of any. */
  async read(cid: string, size: number | undefined, options: ReadOptions): Promise<Uint8Array> {
    const { signal, onProgress, maxBytes = MAX_READ } = options
    if (size !== undefined && size > maxBytes) {
      const message = `the content has ${size} bytes, at most ${maxBytes} are read: give a larger maxBytes`
      throw new MeshError('too-large', message, { details: { size, max: maxBytes } })
    }
    let last = -1
    const progress = onProgress && ((bytes: number) => {
      // Blocks are a little more than what is in them.
      const told = Math.min(bytes, size ?? bytes)
      if (told <= last) return
      last = told
      this.#hub.guard(() => onProgress({ bytes: told, ...definedOnly({ total: size }) }))
    })
    const info = toGetInfo({ ...options, maxBytes: size ?? maxBytes })
    const bytes = await this.#sought(cid, signal, (node, signal) => node.content(cid, info, progress, signal))
    progress?.(bytes.length)
    return bytes
  }

  // Who goes by a CID alone may have no link to those who have it. Whoever is asked, and has it, is linked from then on.
  async #sought<T>(cid: string, signal: AbortSignal | undefined, get: (node: MeshNode, signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    const seek = () => void this.#core.call({ signal }, (node, signal) => node.whoHas(cid, signal)).catch(() => {})
    const timer = setTimeout(seek, SEEK_AFTER_MS)
    try {
      return await this.#core.call({ signal }, get)
    } finally {
      clearTimeout(timer)
    }
  }

  async #cidOf(content: ContentName, signal: AbortSignal | undefined): Promise<string> {
    if (typeof content !== 'object' || content === null) {
      checkCid(content)
      return content
    }
    const { key, domain = 'shared' } = content
    checkDomain(domain)
    checkKey(key)
    const [first] = await this.#core.call({ signal }, node => node.knowledge(domain, key))
    const info = first && toInfo(first)
    if (!info || !isLive(info)) throw nothingThere({ key, domain })
    return info.cid!
  }
}

/** @internal The options of whatever gets content. */
export function checkRead(options: ReadOptions): void {
  checkCall(options)
  const { maxBytes, onProgress } = options
  checkCallback('onProgress', onProgress)
  if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes >= 0)) throw invalid('maxBytes must be a whole number of bytes')
}

function checkCid(cid: unknown): asserts cid is string {
  if (typeof cid !== 'string') throw invalid('a CID is a text, such as bafkrei…, as put() and addFile() give it')
}

function toGetInfo({ maxBytes, timeoutMs }: ReadOptions): GetInfo {
  return definedOnly({ maxBytes, timeoutMs })
}
