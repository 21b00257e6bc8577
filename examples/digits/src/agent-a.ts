/** Ada learns to read handwritten digits, announces it, gives her weights to whoever asks, and answers a hello. */
import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Mesh } from 'neural-mesh'
import { asText, CAPABILITY, fail, nameOf, reportBroadcasts, run } from './agent.js'
import { Classifier } from './classifier.js'
import { loadDigits } from './digits.js'
import { count, duration, percent, short } from './format.js'
import { report } from './report.js'
import { train } from './trainer.js'

const SEED = 1

run(async join => {
  const { classifier, accuracy } = await learn()
  const weights = classifier.toSafetensors({ architecture: '784-64-10, ReLU', 'held-out accuracy': accuracy.toFixed(4) })
  const checksum = createHash('sha256').update(weights).digest('hex')

  // She listens before she is announced: nobody can then find her and not be heard.
  const mesh = await join()
  reportBroadcasts(mesh)
  mesh.on('broadcast', ({ from, payload }) => {
    if (isHello(payload)) greetAll(mesh, from, accuracy).catch(fail)
  })
  mesh.on('message', ({ from, payload }) => {
    if (asksForWeights(payload)) share(mesh, from, weights, checksum).catch(fail)
    else if (isHello(payload)) greet(mesh, from, accuracy).catch(fail)
    else report('heard', `got from ${short(from)}: "${asText(payload)}"`, { from, payload: asText(payload) })
  })

  const id = await mesh.agents.announce({ id: 'ada', capabilities: [CAPABILITY] })
  report('announced', `announced herself as ${short(id)} with the capability "${CAPABILITY}"`, { id })
})

async function learn (): Promise<{ classifier: Classifier, accuracy: number }> {
  const [training, heldOut] = await Promise.all([loadDigits('training'), loadDigits('held-out')])
  report('loaded', `loaded ${count(training.count)} handwritten digits to learn from, ${count(heldOut.count)} others held out`, { count: training.count })

  const classifier = Classifier.random(SEED)
  const before = classifier.accuracy(heldOut)
  const started = performance.now()
  train(classifier, training)
  const ms = performance.now() - started
  const accuracy = classifier.accuracy(heldOut)
  report('trained', `trained for ${duration(ms)}: reads ${percent(accuracy)} of the held-out digits (${percent(before)} before)`, { accuracy, ms })
  return { classifier, accuracy }
}

async function share (mesh: Mesh, to: string, weights: Uint8Array, checksum: string): Promise<void> {
  const started = performance.now()
  await mesh.weights.share(to, { agentId: 'ada', name: 'digits', data: weights })
  const ms = performance.now() - started
  report('shared', `gave ${short(to)} her weights: ${count(weights.length)} bytes of safetensors in ${duration(ms)}`, { checksum, bytes: weights.length, ms })
}

async function greetAll (mesh: Mesh, from: string, accuracy: number): Promise<void> {
  const payload = greeting(await nameOf(mesh, from), accuracy)
  await mesh.broadcast(payload)
  report('said', `answered to all: "${payload}"`, { payload })
}

async function greet (mesh: Mesh, from: string, accuracy: number): Promise<void> {
  const payload = greeting(from.split('@')[0], accuracy)
  await mesh.send(from, payload)
  report('said', `got a hello from ${short(from)} and answered: "${payload}"`, { payload })
}

/** Does not itself begin with "hello", so that two adas in one mesh do not greet each other for ever. */
function greeting (name: string, accuracy: number): string {
  return `welcome, ${short(name)}, I read ${percent(accuracy)} of handwritten digits`
}

function isHello (payload: unknown): boolean {
  return typeof payload === 'string' && /^hello\b/i.test(payload)
}

function asksForWeights (payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && 'ask' in payload && payload.ask === 'weights'
}
