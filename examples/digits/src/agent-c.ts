/** Cleo joins late, knows nobody, finds who can read digits, and says hello to all. */
import { performance } from 'node:perf_hooks'
import { CAPABILITY, QUIET, reportBroadcasts, run } from './agent.js'
import { duration } from './format.js'
import { report } from './report.js'

run(async join => {
  const started = performance.now()
  const mesh = await join({ id: 'cleo' })
  reportBroadcasts(mesh)
  const agents = await mesh.agents.find({ capabilities: [CAPABILITY] }, { limit: 2, quietMs: QUIET })
  const ms = performance.now() - started
  const names = agents.map(agent => agent.name).sort()
  report('found', `found ${names.join(' and ') || 'nobody'} by capability, ${duration(ms)} after she began to join`, { names, ms })

  const payload = 'hello'
  report('said', `says to all: "${payload}"`, { payload })
  await mesh.broadcast(payload)
})
