// The page as its users have it: what they see and do, by the names that a screen reader would say.

export class MeshPage {
  constructor(world, tab, watch) {
    this.world = world
    this.tab = tab
    this.watch = watch
  }

  get state() {
    return this.tab.locator('.state')
  }

  get alert() {
    return this.tab.getByRole('alert')
  }

  get picture() {
    return this.tab.getByRole('img', { name: /^Picture of the mesh/ })
  }

  get agents() {
    return this.tab.getByRole('region', { name: 'Agents' })
  }

  get conversation() {
    return this.tab.locator('section.conversation')
  }

  get messages() {
    return this.tab.getByRole('log', { name: 'Messages' })
  }

  get broadcasts() {
    return this.tab.getByRole('log', { name: 'Broadcasts' })
  }

  get decisions() {
    return this.tab.getByRole('region', { name: 'Decisions' })
  }

  // Proposals of this title, open or decided.
  proposal(title) {
    return this.decisions.getByRole('article', { name: title, exact: true })
  }

  // Votes as a user does: by a button of the open proposal. The last vote also ends it.
  async vote(title, button, reason = '') {
    const proposal = this.proposal(title)
    await proposal.getByRole('textbox', { name: 'Reason' }).fill(reason)
    await proposal.getByRole('button', { name: button }).click()
    await proposal.getByRole('textbox', { name: 'Reason' }).waitFor({ state: 'detached' })
  }

  get knowledge() {
    return this.tab.getByRole('region', { name: 'Knowledge' })
  }

  // A key of the chosen domain, in the list.
  key(key) {
    return this.knowledge.locator(`.keys button[data-key=${JSON.stringify(key)}]`)
  }

  // A domain, in the list.
  domain(name) {
    return this.knowledge.locator(`.domains button[data-domain="${name}"]`)
  }

  // The entry that is open.
  get entry() {
    return this.knowledge.getByRole('article')
  }

  // Opens a key, and waits until what it stands for is known.
  async openKey(key) {
    await this.key(key).click()
    await this.entry.getByRole('heading', { name: key, exact: true }).waitFor()
    await this.entry.getByRole('button', { name: 'Save' }).waitFor()
  }

  // Puts a text, or `json`, under a key, as a user does.
  async put(key, { text, json, domain, ttl } = {}) {
    const form = this.knowledge.getByRole('form')
    await form.getByRole('button', { name: json === undefined ? 'Text' : 'JSON', exact: true }).click()
    await form.getByRole('textbox', { name: 'Key' }).fill(key)
    if (domain !== undefined) await form.getByRole('textbox', { name: 'Domain' }).fill(domain)
    if (ttl !== undefined) await form.getByRole('combobox', { name: 'Time to live' }).selectOption(ttl)
    await form.getByRole('textbox', { name: json === undefined ? 'Text' : 'JSON', exact: true }).fill(json ?? text)
    await form.getByRole('button', { name: 'Put' }).click()
  }

  get dialog() {
    return this.tab.getByRole('dialog')
  }

  // Makes an invite into a private mesh, as a user does, for what the choices say; resolves to its link.
  async invite({ role, lifetime } = {}) {
    await this.tab.getByRole('button', { name: 'Invite', exact: true }).click()
    if (role !== undefined) await this.dialog.getByLabel('For', { exact: true }).selectOption(role)
    if (lifetime !== undefined) await this.dialog.getByLabel('Valid for').selectOption(lifetime)
    await this.dialog.getByRole('button', { name: 'Make an invite' }).click()
    return this.dialog.getByRole('textbox', { name: 'Invite link' }).inputValue()
  }

  // Fills in what is given and joins.
  async join({ name, capabilities, mesh, relay } = {}) {
    const fill = (label, text) => (text === undefined ? undefined : this.tab.getByLabel(label, { exact: true }).fill(text))
    await fill('Your agent’s name', name)
    await fill('What it can do', capabilities)
    await fill('Mesh', mesh)
    await fill('Relay', relay)
    await this.tab.getByRole('button', { name: 'Join', exact: true }).click()
    await this.state.filter({ hasText: /^Joined/ }).waitFor()
    this.peerId = await this.tab.locator('.node[data-kind=self]').getAttribute('data-peer')
    this.name = name
    this.id = `${name}@${this.peerId}`
  }

  // The button of an agent in the list.
  agent(id) {
    return this.agents.locator(`button[data-id="${id}"]`)
  }

  // A node in the picture.
  node(peerId) {
    return this.picture.locator(`.node[data-peer="${peerId}"]`)
  }

  // Resolves when all of these are in the list and in the picture.
  async sees(...ids) {
    await Promise.all(ids.flatMap(id => [this.agent(id).waitFor(), this.node(peerOf(id)).waitFor()]))
  }

  // Resolves when that agent is not there any more; who was talked to is still in the list, as one who has left.
  async misses(id, options) {
    await this.agent(id).filter({ hasNotText: 'has left' }).waitFor({ state: 'detached', ...options })
  }

  // Resolves when this page has a connection to that node, or has none any more.
  async reaches(peerId, connected, options) {
    const reached = this.tab.locator(`.node[data-peer="${peerId}"]:is([data-way=direct], [data-way=relayed])`)
    await reached.waitFor({ state: connected ? 'attached' : 'detached', ...options })
  }

  // Chooses an agent, and waits until its conversation is there.
  async open(id) {
    await this.agent(id).click()
    await this.conversation.getByText(peerOf(id)).waitFor()
  }

  async send(id, text) {
    await this.open(id)
    const box = this.conversation.getByRole('textbox')
    await box.fill(text)
    await box.press('Enter')
    await this.messages.locator('.said[data-mine]', { hasText: text }).filter({ hasText: 'delivered in' }).waitFor()
  }

  async broadcast(text) {
    const box = this.tab.getByRole('textbox', { name: 'Say something to everybody' })
    await box.fill(text)
    await box.press('Enter')
    await this.broadcasts.locator('.said[data-mine]', { hasText: text }).filter({ hasText: 'sent' }).waitFor()
  }

  // Drops a file on what `target` finds, as a desktop does: one of these bytes, or of `size` zeros.
  async drop(target, { name, data, size }) {
    const transfer = await this.tab.evaluateHandle(
      ([name, base64, size]) => {
        const bytes = base64 === undefined ? new Uint8Array(size) : Uint8Array.from(atob(base64), letter => letter.charCodeAt(0))
        const transfer = new DataTransfer()
        transfer.items.add(new File([bytes], name))
        return transfer
      },
      [name, data && Buffer.from(data).toString('base64'), size],
    )
    await target.dispatchEvent('dragover', { dataTransfer: transfer })
    await target.dispatchEvent('drop', { dataTransfer: transfer })
  }

  // Closes the tab as a user does: the page gets to say goodbye.
  close() {
    return this.tab.close({ runBeforeUnload: true })
  }

  // Ends the tab as a defect of the browser would: the page does not get to say anything.
  async crash() {
    const crashed = this.tab.waitForEvent('crash')
    this.tab.goto('chrome://crash').catch(() => {})
    await crashed
  }
}

const peerOf = id => id.slice(id.lastIndexOf('@') + 1)
