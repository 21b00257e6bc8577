// What must not be in the scripts that a browser gets, as a pure check of their text. That no code is made of text shows
// by the content security policy instead: the glue of the wasm has a `new Function` that no browser comes to.

const BUILT_IN = 'node:\\w+|dgram|dns|events|fs|https?|module|net|os|path|stream|tls|url|util|zlib'
const STRANGERS = {
  'a built-in module of Node.js': new RegExp(`(?:\\bfrom|\\bimport|\\brequire)\\s*\\(?\\s*["'\`](?:${BUILT_IN})(?:/promises)?["'\`]`),
  'a call of require': /\brequire\s*\(/,
  'the package ws': /perMessageDeflate|Sec-WebSocket/i,
  'the package node-datachannel': /node-datachannel/,
}

// Returns its complaints.
export function strangersIn(name, text) {
  return Object.entries(STRANGERS).flatMap(([what, pattern]) => {
    const match = pattern.exec(text)
    return match ? [`${name} has ${what}: …${text.slice(Math.max(0, match.index - 40), match.index + 60)}…`] : []
  })
}
