// How many things are done at a time.

/** @internal Lets so many run at a time; others wait for their turn, in the order in which they came. */
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      // Whoever waits gets this place, so that nobody who comes now is before it.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/**
 * @internal Does `work` with each of `items`, `width` at a time. Begins no more of them after one that threw; throws that when
 * those under way have ended.
 */
export async function each<T>(items: Iterable<T>, width: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]()
  const errors: unknown[] = []
  const some = async () => {
    while (errors.length === 0) {
      const next = rest.next()
      if (next.done) return
      await work(next.value).catch(error => errors.push(error))
    }
  }
  await Promise.all(Array.from({ length: width }, some))
  if (errors.length > 0) throw errors[0]
}
