// What the agents of a test say to each other, and who has heard it.

const LIMIT_MS = 30_000
let spoken = 0

// Each agent sends a direct message to the next and broadcasts, `rounds` times, each when the one before was acknowledged.
// Resolves, when everything has arrived or `limitMs` after the last was said, to what did:
// { sent, acknowledged, slowestMs, expected, delivered, lastMs }.
export async function talk(agents, { rounds = 1, limitMs = LIMIT_MS } = {}) {
  const topic = `topic ${spoken++}`
  const said = await Promise.all(agents.map((agent, n) => agent.run(speak, topic, agents[(n + 1) % agents.length].id, rounds, limitMs)))
  const began = performance.now()
  const expected = rounds * (agents.length - 1)
  const delivered = await Promise.all(agents.map(agent => agent.run(hear, topic, expected, limitMs)))
  const sum = list => list.reduce((total, count) => total + count, 0)
  return {
    sent: rounds * agents.length,
    acknowledged: sum(said.map(({ acknowledged }) => acknowledged)),
    failures: said.flatMap(({ failures }) => failures),
    slowestMs: Math.max(...said.map(({ slowestMs }) => slowestMs)),
    expected: expected * agents.length,
    delivered: sum(delivered),
    lastMs: performance.now() - began,
  }
}

// In the agent's process.
async function speak({ mesh }, topic, to, rounds, timeoutMs) {
  const result = { acknowledged: 0, failures: [], slowestMs: 0 }
  for (let round = 0; round < rounds; round++) {
    const began = performance.now()
    await mesh.send(to, { topic, round }, { timeoutMs }).then(
      () => result.acknowledged++,
      ({ code, message }) => result.failures.push(`${code}: ${message}`),
    )
    result.slowestMs = Math.max(result.slowestMs, performance.now() - began)
    await mesh.broadcast({ topic, round, by: mesh.peerId })
  }
  return result
}

// In the agent's process: how many broadcasts of others it has had, each counted once.
async function hear({ mesh, log, until }, topic, expected, limitMs) {
  const heard = () => {
    const ours = log.broadcasts.filter(({ payload }) => payload.topic === topic && payload.by !== mesh.peerId)
    return new Set(ours.map(({ payload }) => `${payload.by} ${payload.round}`)).size
  }
  await until(() => heard() >= expected, { limitMs, everyMs: 20 }).catch(() => {})
  return heard()
}
