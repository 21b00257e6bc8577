// What every page and worker here does, however the package came into it: joins, says hello to the agent that echoes,
// waits until the way to it is settled, says something on that way, and answers how it went.

export async function meet(joinMesh, { mesh: name, relays, agent }) {
  const mesh = await joinMesh(name, { relays, agent: { id: agent } })
  try {
    const [echo] = await mesh.agents.find({ capabilities: ['echo'] }, { limit: 1, timeoutMs: 10_000 })
    await mesh.send(echo.id, `hello from ${agent}`)
    const link = await settled(mesh, echo.peerId)
    await mesh.send(echo.id, { agent, relayed: link.relayed })
    const replies = []
    for await (const { payload } of mesh.messages.inbox()) if (replies.push(payload) === 2) break
    return { link, replies }
  } finally {
    await mesh.close()
  }
}

// Resolves to the connection to that node, once nothing better will come.
function settled(mesh, peerId) {
  const link = async () => (await mesh.health.topology()).links.find(link => link.peerId === peerId)
  return new Promise((resolve, reject) => {
    const look = async () => {
      const now = await link()
      if (now && (!now.relayed || now.reason !== 'upgrading')) resolve(now)
    }
    mesh.on('path-changed', () => look().catch(reject))
    look().catch(reject)
  })
}
