// An agent in a tab that shows nothing: pages/agent.html, driven by code of the test.

export class BrowserAgent {
  constructor(world, tab, watch) {
    this.world = world
    this.tab = tab
    this.watch = watch
  }

  // Joins, and writes down what happens in `log`: { messages, broadcasts, weights, events }.
  async join(agent, options) {
    const { mesh, relay } = this.world
    await this.tab.waitForFunction(() => globalThis.neuralMesh !== undefined)
    this.peerId = await this.tab.evaluate(async ([mesh, relays, agent, options]) => {
      const joined = await neuralMesh.joinMesh(mesh, { relays, agent, ...options })
      const log = { messages: [], broadcasts: [], weights: [], events: [] }
      const kinds = { message: log.messages, broadcast: log.broadcasts, 'weights-received': log.weights }
      const types = ['agent-joined', 'agent-left', 'peer-connected', 'path-changed', 'peer-disconnected', 'peer-suspected']
      types.push('relay-connected', 'relay-disconnected')
      for (const type of [...types, ...Object.keys(kinds)]) joined.on(type, event => (kinds[type] ?? log.events).push(event))
      Object.assign(globalThis, { mesh: joined, log })
      return joined.peerId
    }, [mesh, relay.address, agent, options])
    this.id = `${agent.id}@${this.peerId}`
  }

  // Runs `code` in the tab, where `mesh` is the mesh, `log` what has happened, and `neuralMesh` the package.
  run(code, arg) {
    return this.tab.evaluate(code, arg)
  }

  // Resolves when `code` gives something true in the tab.
  until(code, arg) {
    return this.tab.waitForFunction(code, arg)
  }

  // Resolves when it is connected to `other` without a relay between them.
  connectsTo(other) {
    return this.run(async peerId => {
      const isDirect = async () => (await mesh.health.topology()).links.some(link => link.peerId === peerId && !link.relayed)
      while (!(await isDirect())) await new Promise(resolve => setTimeout(resolve, 20))
    }, other.peerId)
  }

  close() {
    return this.tab.context().close()
  }
}
