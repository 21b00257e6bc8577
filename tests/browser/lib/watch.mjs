// What a tab tells beside what it shows: errors, warnings, and everything that it asks the network for.

// Every visit asks the server whether it is a relay; Chromium itself writes down that it is not.
const ALWAYS = [/relay\.json.*404/]

export class Watch {
  // All that was complained of and not expected, one a line.
  complaints = []
  // Addresses of requests and sockets, in order.
  requests = []

  constructor(tab, expect = []) {
    const expected = [...ALWAYS, ...expect]
    const complain = text => {
      if (!expected.some(pattern => pattern.test(text))) this.complaints.push(text)
    }
    tab.on('console', message => {
      if (!['error', 'warning'].includes(message.type())) return
      complain(`console ${message.type()}: ${message.location().url} ${message.text()}`)
    })
    tab.on('pageerror', error => complain(`uncaught: ${error.stack ?? error.message}`))
    tab.on('crash', () => complain('the tab crashed'))
    tab.on('request', request => this.requests.push(request.url()))
    tab.on('websocket', socket => this.requests.push(socket.url()))
  }
}
