// What the agents of a test say to each other, and who has heard it.

const LIMIT_MS = 30_000
let topics = 0

// `rounds` times, each agent sends a direct message to each other one, and broadcasts when all of them are acknowledged.
// Resolves, when everything has arrived or `limitMs` after the last was said, to what did: messages { sent, acknowledged,
// failures, slowestMs }, broadcasts { expected, delivered }, and when the last had arrived, of the clock of
// performance.now().
export async function talk(agents, { rounds = 1, limitMs = LIMIT_MS } = {}) {
  const topic = ++topics
  const speaking = agents.map(agent => {
    const others = agents.filter(other => other !== agent).map(({ id }) => id)
    return agent.run(speak, topic, others, rounds, limitMs)
  })
  const said = await Promise.all(speaking)
  const expected = rounds * (agents.length - 1)
  const delivered = await Promise.all(agents.map(agent => agent.run(hear, topic, expected, limitMs)))
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

// Resolves when `condition` holds for what the metric `name` of a native member says. Asked `by` an agent: this process is
// not on the network.
export function metric(native, name, condition, by) {
  const url = `http://${native.host.address}:${native.httpPort}/metrics`
  return by.run(
    async ({ until }, url, name, condition) => {
      const holds = (0, eval)(condition)
      let value
      const ask = async () => {
        const line = (await (await fetch(url)).text()).split('\n').find(line => line.startsWith(`${name} `))
        value = Number(line?.slice(name.length))
        return holds(value)
      }
      await until(ask, { everyMs: 50, what: () => `${name} of ${url}: ${condition}; it is ${value}` })
      return value
    },
    url,
    name,
    condition.toString(),
  )
}

// In the agent's process.
async function speak({ mesh }, topic, others, rounds, timeoutMs) {
  const result = { acknowledged: 0, failures: [], slowestMs: 0 }
  const send = async (to, round) => {
    const began = performance.now()
    try {
      await mesh.send(to, { topic, round }, { timeoutMs })
      result.acknowledged++
    } catch ({ code, message }) {
      result.failures.push(`${code}: ${message}`)
    }
    result.slowestMs = Math.max(result.slowestMs, performance.now() - began)
  }
  for (let round = 0; round < rounds; round++) {
    await Promise.all(others.map(to => send(to, round)))
    await mesh.broadcast({ topic, round, by: mesh.peerId })
  }
  return result
}

// In the agent's process: how many broadcasts of others it has had. One that came twice would be an error, not two.
async function hear({ mesh, log, until }, topic, expected, limitMs) {
  const heard = () => {
    const ours = log.broadcasts.filter(({ payload }) => payload.topic === topic && payload.by !== mesh.peerId)
    const distinct = new Set(ours.map(({ payload }) => `${payload.by} ${payload.round}`))
    if (distinct.size < ours.length) throw new Error(`${ours.length - distinct.size} broadcasts came twice`)
    return distinct.size
  }
  const end = performance.now() + limitMs
  await until(() => heard() >= expected || performance.now() > end, { limitMs: 2 * limitMs, everyMs: 20 })
  return heard()
}

const sum = list => list.reduce((total, count) => total + count, 0)
