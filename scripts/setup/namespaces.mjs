// Step: what the tests in network namespaces need: `ip`, and iptables or nft to drop packets. Whatever is there will do;
// else Debian's packages, where we may install. Whether namespaces are permitted is another question: lib/namespaces.mjs.

import { namespaceTools } from '../lib/namespaces.mjs'
import { Stop } from '../lib/print.mjs'
import { apt, canInstallDebian } from './debian.mjs'

const next = 'install iproute2 and iptables, by apt-get install or as this system does it'

export const namespacesStep = {
  name: 'network namespaces',
  done() {
    const { ip, dropper } = namespaceTools()
    return ip && dropper && `${ip}, ${dropper}`
  },
  how: () => `apt-get install ${missing().join(' ')}`,
  async act() {
    if (!canInstallDebian()) throw new Stop(`there is no ${missing().join(' and no ')} here for the tests in network namespaces`, next)
    try {
      await apt('update')
      await apt('install', '-y', '--no-install-recommends', ...missing())
    } catch (error) {
      throw new Stop(error.message, next, error.output)
    }
  },
}

function missing() {
  const { ip, dropper } = namespaceTools()
  return [...(ip ? [] : ['iproute2']), ...(dropper ? [] : ['iptables'])]
}
