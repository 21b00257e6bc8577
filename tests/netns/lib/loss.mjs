// Drops packets at random as they arrive at a host, by its own packet filter, and counts them. What the host sends is not
// touched: a dropped packet that goes out is an error to its sender, which a lossy link is not.

import { output } from './network.mjs'

const CHAIN = ['inet', 'loss', 'arriving']
const LOOPBACK = 'lo'

const iptables = host => {
  const run = (...args) => output(host[0], [...host.slice(1), 'iptables', '-w', ...args])
  return {
    start(percent) {
      run('-A', 'INPUT', '!', '-i', LOOPBACK)
      run('-A', 'INPUT', '!', '-i', LOOPBACK, '-m', 'statistic', '--mode', 'random', '--probability', String(percent / 100), '-j', 'DROP')
    },
    stop: () => run('-F', 'INPUT'),
    counts() {
      const rules = run('-L', 'INPUT', '-v', '-n', '-x').trim().split('\n').slice(2)
      const [arrived, dropped] = rules.map(rule => Number(rule.trim().split(/\s+/)[0]))
      return { arrived, dropped }
    },
  }
}

const nft = host => {
  const run = (...args) => output(host[0], [...host.slice(1), 'nft', ...args])
  return {
    start(percent) {
      const others = `iifname != "${LOOPBACK}"`
      const rules = [`${others} counter`, `${others} numgen random mod 100 < ${percent} counter drop`].join('; ')
      run(`table ${CHAIN[0]} ${CHAIN[1]} { chain ${CHAIN[2]} { type filter hook input priority 0; ${rules}; } }`)
    },
    stop: () => run('delete', 'table', ...CHAIN.slice(0, 2)),
    counts() {
      const text = run('list', 'chain', ...CHAIN)
      const [arrived, dropped] = [...text.matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count))
      return { arrived, dropped }
    },
  }
}

// What drops packets on the host that `command` leads to: the first that its kernel takes. Throws what each said when
// there is none.
export function dropperIn(command) {
  const complaints = []
  for (const make of [iptables, nft]) {
    const dropper = make(command)
    try {
      dropper.start(1)
      dropper.stop()
      return dropper
    } catch (error) {
      complaints.push(error.message)
    }
  }
  throw new Error(`nothing here drops packets:\n${complaints.join('\n')}`)
}
