/** Writes what happens to standard output: time since the start, who, what. Colour only on a terminal that wants it. */
import { performance } from 'node:perf_hooks'
import type { Claim } from './claims.js'

export class Transcript {
  readonly #started = performance.now()
  readonly #colour = process.stdout.isTTY && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb'

  /** One thing that happened. */
  say (who: string, text: string): void {
    this.line(`${this.#paint(2, `${this.#seconds().padStart(7)} s`)}  ${this.#paint(1, who.padEnd(5))}  ${text}`)
  }

  claims (claims: Claim[]): void {
    const failed = claims.filter(({ holds }) => !holds).length
    this.line()
    for (const { holds, text } of claims) {
      this.line(`${this.#paint(holds ? 32 : 31, (holds ? 'ok' : 'FAILED').padStart(9))}  ${text}`)
    }
    this.line()
    this.line(failed === 0
      ? `All ${claims.length} checks passed in ${this.#seconds()} s.`
      : `${failed} of ${claims.length} checks failed.`)
  }

  line (text = ''): void {
    process.stdout.write(text + '\n')
  }

  #seconds (): string {
    return ((performance.now() - this.#started) / 1000).toFixed(2)
  }

  #paint (code: number, text: string): string {
    return this.#colour ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}
