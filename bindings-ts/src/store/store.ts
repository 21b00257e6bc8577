/** One change: `value` absent removes the key. */
export interface StoreChange {
  /** Printable ASCII, 1 to 128 characters. */
  readonly key: string
  /** At most 400 KiB. */
  readonly value?: Uint8Array | undefined
}

/**
 * Keeps what a node must not forget, such as a voter its key and its votes: who forgets a vote may vote twice. A handful of
 * small records by key; all that one `write` brings is at most 16 MiB.
 */
export interface MeshStore {
  /**
   * Everything that is kept, in no order. Called once, before anything else; the store is this caller's until it is closed.
   *
   * @throws MeshError `in-use` when somebody else has it, `integrity` when something that was kept is lost,
   * `store-failed` when it cannot be read, `invalid-argument` when there is no such store here
   */
  load(): Promise<[key: string, value: Uint8Array][]>

  /**
   * Makes all changes, durably: when this resolves they survive a crash of the process and of the machine. One at a time:
   * a call while another is under way waits for it, in the order of the calls. If the process dies in the middle, each
   * change is there or not, in the order given: the first of them are, the others are not. The same holds when it rejects.
   *
   * @throws MeshError `store-failed` when that is not certain, then and for every later call; `invalid-argument` and
   * `too-large`, which change nothing; `closed`
   */
  write(changes: readonly StoreChange[]): Promise<void>

  /** Lets go of it, after the writes that are under way. Idempotent, and never rejects. */
  close(): Promise<void>
}
