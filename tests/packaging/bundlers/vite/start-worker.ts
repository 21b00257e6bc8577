import type { Meeting, Outcome } from '../meet.js'

const worker = new Worker(new URL('worker.ts', import.meta.url), { type: 'module' })

function meet(meeting: Meeting): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Outcome>) => resolve(data)
    worker.onerror = event => reject(new Error(event.message))
    worker.postMessage(meeting)
  })
}

Object.assign(globalThis, { meet })
