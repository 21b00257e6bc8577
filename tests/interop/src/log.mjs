// What a node has told, in order, and waiting for what it will tell.

const LIMIT_MS = 25_000

export class Log {
  events = []
  #waiting = new Set()

  tell = (name, details = {}) => {
    const event = { name, ...details, at: performance.now() }
    this.events.push(event)
    for (const look of this.#waiting) look(event)
  }

  // Resolves when something more is told.
  next() {
    return new Promise(resolve => {
      const look = event => {
        this.#waiting.delete(look)
        resolve(event)
      }
      this.#waiting.add(look)
    })
  }

  // Resolves to the first event of this name whose fields are those of `match`, and that nobody has seen yet; it may have
  // been told already.
  seen(name, match = {}) {
    const fits = event => event.name === name && Object.entries(match).every(([key, value]) => event[key] === value)
    const told = this.events.findIndex(fits)
    if (told !== -1) return Promise.resolve(this.events.splice(told, 1)[0])
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const look = event => {
        if (!fits(event)) return
        done()
        this.events.splice(this.events.indexOf(event), 1)
        resolve(event)
      }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`no ${name} ${JSON.stringify(match)} within ${LIMIT_MS} ms; told: ${JSON.stringify(this.events)}`))
      }, LIMIT_MS)
      this.#waiting.add(look)
    })
  }
}
