import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claims, type Evidence } from '../src/claims.js'

/** A run in which everything went well. */
function good (): Evidence {
  return {
    ada: {
      trained: { accuracy: 0.95, ms: 2000 },
      joined: { peerId: 'A', ms: 100 },
      announced: { id: 'ada@A' },
      shared: { checksum: 'aa', bytes: 4, ms: 10 },
      heard: { from: 'C', payload: 'hello' },
      said: { payload: 'welcome' }
    },
    ben: {
      measured: { accuracy: 0.25 },
      discovered: { id: 'ada@A', ms: 20 },
      received: { checksum: 'aa', bytes: 4 },
      learned: { accuracy: 0.95 },
      heard: { from: 'A', payload: 'welcome' }
    },
    cleo: {
      joined: { peerId: 'C', ms: 100 },
      found: { names: ['ada', 'ben'], ms: 3000 },
      said: { payload: 'hello' },
      heard: { from: 'A', payload: 'welcome' }
    }
  }
}

test('a good run, at the limits of what is allowed, holds', () => {
  assert.deepEqual(claims(good()).filter(({ holds }) => !holds), [])
})

const broken: [string, (evidence: Evidence) => void, RegExp][] = [
  ['ben could read before', ({ ben }) => { ben.measured.accuracy = 0.2505 }, /^before/],
  ['ben found somebody else', ({ ben }) => { ben.discovered.id = 'ada@B' }, /found ada/],
  ['the weights differ', ({ ben }) => { ben.received.checksum = 'ab' }, /byte for byte/],
  ['nobody learned enough', ({ ada, ben }) => { ada.trained.accuracy = ben.learned.accuracy = 0.9 }, /^after/],
  ['accuracy is not a number', ({ ada, ben }) => { ada.trained.accuracy = ben.learned.accuracy = NaN }, /^after/],
  ['ben reads other digits than ada', ({ ben }) => { ben.learned.accuracy = 0.96 }, /exactly/],
  ['cleo found only ada', ({ cleo }) => { cleo.found.names = ['ada'] }, /joining late/],
  ['cleo took too long', ({ cleo }) => { cleo.found.ms = 3000.5 }, /joining late/],
  ['ada heard somebody else', ({ ada }) => { ada.heard.from = 'B' }, /reached ada/],
  ['ben heard something else', ({ ben }) => { ben.heard.payload = 'hello' }, /reached ben and cleo/],
  ['cleo heard somebody else', ({ cleo }) => { cleo.heard.from = 'B' }, /reached ben and cleo/]
]

for (const [what, change, claim] of broken) {
  test(`does not hold when ${what}`, () => {
    const evidence = good()
    change(evidence)
    assert.ok(claims(evidence).some(({ holds, text }) => !holds && claim.test(text)))
  })
}
