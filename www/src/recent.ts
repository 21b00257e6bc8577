/** The last `limit` things. Past it, the oldest is given up, and `onDrop` is told. */
export class Recent<T> implements Iterable<T> {
  readonly #items: T[] = []
  readonly #limit: number
  readonly #onDrop: (item: T) => void

  constructor(limit: number, onDrop: (item: T) => void = () => {}) {
    this.#limit = limit
    this.#onDrop = onDrop
  }

  get length(): number {
    return this.#items.length
  }

  push(item: T): void {
    this.#items.push(item)
    if (this.#items.length > this.#limit) this.#onDrop(this.#items.shift()!)
  }

  /** Gives up everything, without telling. */
  clear(): void {
    this.#items.length = 0
  }

  at(index: number): T | undefined {
    return this.#items.at(index)
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]()
  }
}
