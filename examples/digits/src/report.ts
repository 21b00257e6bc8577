/**
 * How an agent tells the conductor what happened: one JSON object a line on its standard output.
 * `text` is for the transcript; the facts beside it are what the conductor checks.
 */
export interface Steps {
  loaded: { count: number }
  trained: { accuracy: number, ms: number }
  measured: { accuracy: number }
  joined: { peerId: string, ms: number }
  announced: { id: string }
  discovered: { id: string, ms: number }
  asked: { to: string, ms: number }
  shared: { checksum: string, bytes: number, ms: number }
  received: { checksum: string, bytes: number }
  learned: { accuracy: number }
  found: { names: string[], ms: number }
  said: { payload: string }
  /** `from` is a peer id for a broadcast, name@peerId for a direct message. */
  heard: { from: string, payload: string }
  failed: Record<string, never>
}

export type Step = keyof Steps

export interface Report<S extends Step = Step> { step: S, text: string, facts: Steps[S] }

export function report<S extends Step> (step: S, text: string, facts: Steps[S]): void {
  process.stdout.write(JSON.stringify({ step, text, facts }) + '\n')
}

/** Undefined for a line that is not a report, such as a stray `console.log` of a library. */
export function parseReport (line: string): Report | undefined {
  try {
    const value = JSON.parse(line) as Partial<Report> | null
    if (typeof value?.step === 'string' && typeof value.text === 'string' && typeof value.facts === 'object') return value as Report
  } catch {}
  return undefined
}
