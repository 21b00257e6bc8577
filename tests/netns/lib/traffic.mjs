// What the agents of a test say to each other, and who has heard it.

import { until } from '../../e2e/lib/until.mjs'

const LIMIT_MS = 30_000
let topics = 0

// `rounds` times, each agent sends a direct message to each other one, and broadcasts whenever one is acknowledged, unless
// `broadcasts` is false. Resolves, when everything has arrived or `limitMs` after the last was said, to what did: messages
// { sent, acknowledged, failures, slowestMs }, broadcasts { expected, delivered }, and when that was, by the clock of
// performance.now().
export async function talk(agents, { rounds = 1, broadcasts = true, limitMs = LIMIT_MS } = {}) {
  const topic = ++topics
  const speaking = agents.map(agent => {
    const others = agents.filter(other => other !== agent).map(({ id }) => id)
    return agent.run(speak, { topic, others, rounds, broadcasts, limitMs })
  })
  const said = await Promise.all(speaking)
  const expected = broadcasts ? rounds * (agents.length - 1) ** 2 : 0
  const delivered = await Promise.all(agents.map(agent => agent.run(hear, { topic, expected, limitMs })))
  return {
    sent: rounds * agents.length * (agents.length - 1),
    acknowledged: sum(said.map(({ acknowledged }) => acknowledged)),
    failures: said.flatMap(({ failures }) => failures),
    slowestMs: Math.max(...said.map(({ slowestMs }) => slowestMs)),
    expected: expected * agents.length,
    delivered: sum(delivered),
    at: performance.now(),
  }
}

// Resolves when `condition` holds for a metric of a native member. Asked `by` an agent: this process is not on the network.
export async function metric(native, name, condition, by) {
  let value
  const ask = async () => {
    value = await by.run(valueOf, native.status, name)
    return condition(value)
  }
  await until(ask, { everyMs: 50, what: () => `${name} of ${native.status}: ${condition}; it is ${value}` })
}

// In the agent's process.
async function valueOf(_, url, name) {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find(line => line.startsWith(`${name} `))
  return line && Number(line.slice(name.length))
}

// In the agent's process.
async function speak({ mesh }, { topic, others, rounds, broadcasts, limitMs }) {
  const result = { acknowledged: 0, failures: [], slowestMs: 0 }
  const send = async (to, round) => {
    const began = performance.now()
    try {
      await mesh.send(to, { topic, round }, { timeoutMs: limitMs })
      result.acknowledged++
    } catch ({ code, message }) {
      result.failures.push(`${code}: ${message}`)
    }
    result.slowestMs = Math.max(result.slowestMs, performance.now() - began)
    if (broadcasts) await mesh.broadcast({ topic, key: `${mesh.peerId} ${round} ${to}` })
  }
  for (let round = 0; round < rounds; round++) await Promise.all(others.map(to => send(to, round)))
  return result
}

// In the agent's process: how many broadcasts of others it has had. One that came twice is an error, not two.
async function hear({ mesh, log, until }, { topic, expected, limitMs }) {
  const heard = () => {
    const keys = log.broadcasts.map(({ payload }) => payload).filter(payload => payload.topic === topic).map(({ key }) => key)
    const ofOthers = keys.filter(key => !key.startsWith(mesh.peerId))
    if (new Set(ofOthers).size < ofOthers.length) throw new Error('a broadcast came twice')
    return ofOthers.length
  }
  const end = performance.now() + limitMs
  await until(() => heard() >= expected || performance.now() > end, { limitMs: 2 * limitMs, everyMs: 20 })
  return heard()
}

const sum = list => list.reduce((total, count) => total + count, 0)
