/** One block, as IPFS has them: bytes under the hash of them. */
export interface StoredBlock {
  /** Base32 CIDv1: 1 to 128 characters of a to z and 0 to 9. */
  readonly cid: string
  /** At most 2 MiB. Not to be changed until what it was given to has resolved. */
  readonly data: Uint8Array
}

/**
 * Keeps blocks, up to 2 MiB each, by CID: what can be fetched again from others, so that losing one is a nuisance, and not
 * the end of a vote as with a `MeshStore`.
 *
 * What comes out is as long as what went in. That its hash is the one in the CID is for the reader to check, as the core does
 * with each block that it reads: a disk may have spoiled it, and a `put` takes every CID at its word.
 *
 * No failure is final. After `storage-full` and `store-failed` everything that was acknowledged is still there to be read,
 * and later calls work as soon as they can. Only who has lost the whole store to somebody else, or to a browser that has
 * cleared it, is told so by `store-failed` for ever, and opens it anew.
 */
export interface BlockStore {
  /**
   * Every block that is kept, its CID and its size in bytes, in no order. Called once, before anything else; the store is
   * this caller's until it is closed. What a crash has left half done is cleared away. When this rejects, the store is
   * closed, and another one can be opened.
   *
   * @example
   * ```ts
   * const sizes = new Map(await store.list())
   * ```
   *
   * @throws MeshError `in-use` when somebody else has it, `storage-full`, `store-failed`, `invalid-argument` when there is
   * no such store here, `closed`
   */
  list(): Promise<[cid: string, bytes: number][]>

  /**
   * The bytes of a block, the caller's own; undefined when it is not kept, or is not whole any more. Calls do not wait for
   * each other, nor for changes: of one that is under way this sees all of that block or nothing.
   *
   * @example
   * ```ts
   * const data = await store.get('bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e')
   * ```
   *
   * @throws MeshError `store-failed` when it cannot be read; `invalid-argument`, `closed`
   */
  get(cid: string): Promise<Uint8Array | undefined>

  /**
   * Keeps blocks, at most 64 MiB at a time, over those of the same CIDs: when this resolves they survive a crash of the
   * process, though perhaps not of the machine. When it rejects, or the process dies before, each of them is there wholly,
   * or not, or as it was before. Changes are made one at a time, in the order of the calls.
   *
   * @example
   * ```ts
   * await store.put([{ cid: 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e', data: new TextEncoder().encode('hello') }])
   * ```
   *
   * @throws MeshError `storage-full` when there is no room left on the disk, or the browser gives this origin no more;
   * `store-failed`; `too-large` and `invalid-argument`, which change nothing; `closed`
   */
  put(blocks: readonly StoredBlock[]): Promise<void>

  /**
   * Removes blocks; those that are not there are no error. A change like `put`: when it rejects, any of them may be gone.
   *
   * @example
   * ```ts
   * await store.delete(['bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'])
   * ```
   *
   * @throws MeshError `storage-full` where even removing takes room, `store-failed`; `invalid-argument`, which changes
   * nothing; `closed`
   */
  delete(cids: readonly string[]): Promise<void>

  /**
   * Lets go of it, after the calls that are under way. Idempotent, and never rejects.
   *
   * @example
   * ```ts
   * await store.close()
   * ```
   */
  close(): Promise<void>
}
