/** Ben was never trained. He finds who can read digits, asks for the weights by direct message, and then can too. */
import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Mesh, PeerAgent, ReceivedWeights } from 'neural-mesh'
import { CAPABILITY, QUIET, reportBroadcasts, run, WEIGHTS_REQUEST } from './agent.js'
import { Classifier } from './classifier.js'
import { loadDigits } from './digits.js'
import { count, duration, percent, short } from './format.js'
import { report } from './report.js'

/** Not Ada's: his network starts from other random weights than hers. */
const SEED = 2

run(async join => {
  const heldOut = await loadDigits('held-out')
  const before = Classifier.random(SEED).accuracy(heldOut)
  report('measured', `has random weights: reads ${percent(before)} of ${count(heldOut.count)} held-out digits (chance is 10 %)`, { accuracy: before })

  const mesh = await join({ id: 'ben' })
  reportBroadcasts(mesh)
  const teacher = await discover(mesh)
  const { data } = await request(mesh, teacher)
  const checksum = createHash('sha256').update(data).digest('hex')
  report('received', `received ${count(data.length)} bytes of safetensors from ${teacher.name}, SHA-256 ${short(checksum)}`, { checksum, bytes: data.length })

  const after = Classifier.fromSafetensors(data).accuracy(heldOut)
  report('learned', `reads ${percent(after)} of the same held-out digits`, { accuracy: after })
  const id = await mesh.agents.announce({ id: 'ben', capabilities: [CAPABILITY] })
  report('announced', `announced himself as ${short(id)} with the capability "${CAPABILITY}"`, { id })
})

async function discover (mesh: Mesh): Promise<PeerAgent> {
  const started = performance.now()
  const [teacher] = await mesh.agents.find({ capabilities: [CAPABILITY] }, { limit: 1, quietMs: QUIET })
  const ms = performance.now() - started
  if (teacher === undefined) throw new Error(`nobody in the mesh has the capability "${CAPABILITY}"`)
  report('discovered', `asked who has the capability "${CAPABILITY}": found ${short(teacher.id)} in ${duration(ms)}`, { id: teacher.id, ms })
  return teacher
}

async function request (mesh: Mesh, teacher: PeerAgent): Promise<ReceivedWeights> {
  const arrival = new Promise<ReceivedWeights>(resolve => {
    mesh.weights.onWeights(received => {
      if (received.from === teacher.peerId) resolve(received)
    })
  })
  const started = performance.now()
  await mesh.send(teacher.id, WEIGHTS_REQUEST)
  const ms = performance.now() - started
  report('asked', `asked ${teacher.name} for the weights by direct message, acknowledged in ${duration(ms)}`, { to: teacher.id, ms })
  return arrival
}
