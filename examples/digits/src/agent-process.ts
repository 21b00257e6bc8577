/** An agent as the conductor sees it. */
import { Child } from './child.js'
import { parseReport, type Report, type Step, type Steps } from './report.js'

/** Reports of an agent that are kept; the run needs a dozen, and with --stay others may cause any number. */
const KEPT_REPORTS = 1000

/** A child whose lines are reports, which can be awaited. */
export class AgentProcess {
  readonly child: Child
  readonly #reports: Report[] = []
  readonly #waiting: (() => void)[] = []
  /** What {@link step} waits for, in words. */
  readonly awaited = new Set<string>()

  constructor (name: string, script: string, args: string[], onReport: (report: Report) => void) {
    this.child = new Child(name, process.execPath, [script, ...args], 'close-stdin', line => {
      const report = parseReport(line)
      if (report === undefined) return
      onReport(report)
      if (this.#reports.length < KEPT_REPORTS) this.#reports.push(report)
      for (const wake of this.#waiting.splice(0)) wake()
    })
  }

  /** The facts of the first report of a step that fits, whether it came already or comes later. */
  async step<S extends Step> (step: S, fits: (facts: Steps[S]) => boolean = () => true): Promise<Steps[S]> {
    const is = (report: Report): report is Report<S> => report.step === step && fits(report.facts as Steps[S])
    this.awaited.add(step)
    try {
      let next = 0
      while (true) {
        for (; next < this.#reports.length; next++) {
          const report = this.#reports[next]
          if (is(report)) return report.facts
        }
        await new Promise<void>(resolve => this.#waiting.push(resolve))
      }
    } finally {
      this.awaited.delete(step)
    }
  }
}
