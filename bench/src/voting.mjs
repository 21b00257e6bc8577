/**
 * How an agent of ours takes part in decisions, in a process or in a page.
 *
 * @param {() => import('neural-mesh').Mesh} joined
 */
export const voting = joined => ({
  /** @param {string[]} peers */
  async elect(peers) {
    await joined().consensus.elect(peers)
  },

  /** @param {number} voters */
  async approve(voters) {
    const { consensus } = joined()
    consensus.setPolicy(() => 'approve')
    /** @type {Promise<void>} */
    const elected = new Promise(resolve => joined().on('electorate', event => event.voters.length === voters && resolve()))
    if ((await consensus.electorate()).voters.length !== voters) await elected
  },

  /** @param {number} number */
  async propose(number) {
    const { approved } = await joined().consensus.propose({ action: 'bench', number }, { simple: true })
    return approved
  },

  /** @param {string} resource */
  async acquire(resource) {
    await (await joined().consensus.acquire(resource, { lengthMs: 60_000 })).release()
  },
})
