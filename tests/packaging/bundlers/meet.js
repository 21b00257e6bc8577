// What every page and worker here does, however the package came into it: joins, says hello to the agent that echoes,
// waits until the way to it is settled, says something on that way, and answers how it went.

export async function meet(joinMesh, { mesh: name, relays, agent }) {
  const mesh = await joinMesh(name, { relays, agent: { id: agent } })
  try {
    const [echo] = await mesh.agents.find({ capabilities: ['echo'] }, { limit: 1, timeoutMs: 10_000 })
    await mesh.send(echo.id, 'hello')
    const link = await settled(mesh, echo.peerId)
    await mesh.send(echo.id, { relayed: link.relayed })
    const replies = []
    for await (const { payload } of mesh.messages.inbox()) if (replies.push(payload) === 2) break
    return { link, replies }
  } finally {
    await mesh.close()
  }
}

// Resolves to the connection to that node once it is direct, or known to stay relayed.
function settled(mesh, peerId) {
  return new Promise((resolve, reject) => {
    const look = async () => {
      const { links } = await mesh.health.topology()
      const link = links.find(link => link.peerId === peerId)
      if (link && (!link.relayed || link.reason !== 'upgrading')) resolve(link)
    }
    mesh.on('path-changed', () => look().catch(reject))
    look().catch(reject)
  })
}
