// Reads the part of TOML that wasm-pack.toml and Cargo.lock are written in: tables, arrays of tables, strings, whole
// numbers, booleans, and arrays of those. Anything else is an error that names the line, never a guess.

export function parseToml(text) {
  const result = {}
  let table = result
  const lines = text.split(/\r?\n/)
  for (let i = 0; i < lines.length; i++) {
    let line = strip(lines[i])
    if (line === '') continue
    const fail = () => {
      throw new Error(`line ${i + 1}: cannot read ${JSON.stringify(line)}`)
    }
    const header = /^(\[\[?)\s*([\w.-]+)\s*(\]\]?)$/.exec(line)
    if (header) {
      table = open(result, header[2].split('.'), header[1] === '[[')
      continue
    }
    const pair = /^("[^"]+"|[\w-]+)\s*=\s*(.*)$/.exec(line)
    if (!pair) fail()
    let value = pair[2]
    while (value.startsWith('[') && !value.endsWith(']')) {
      if (++i >= lines.length) fail()
      value = `${value} ${strip(lines[i])}`.trim()
    }
    table[pair[1].replaceAll('"', '')] = read(value) ?? fail()
  }
  return result
}

function open(result, path, isArray) {
  let table = result
  for (const name of path.slice(0, -1)) {
    table = table[name] ??= {}
    if (Array.isArray(table)) table = table.at(-1)
  }
  const last = path.at(-1)
  if (!isArray) return (table[last] ??= {})
  const list = (table[last] ??= [])
  list.push({})
  return list.at(-1)
}

function read(value) {
  if (value === 'true') return true
  if (value === 'false') return false
  if (/^[+-]?\d[\d_]*$/.test(value)) return Number(value.replaceAll('_', ''))
  if (/^"([^"\\]|\\.)*"$/.test(value)) return JSON.parse(value)
  if (!value.startsWith('[')) return undefined
  const items = value.slice(1, -1).match(/"([^"\\]|\\.)*"|[^\s,"]+/g) ?? []
  const list = items.map(read)
  return list.includes(undefined) ? undefined : list
}

// Without its comment: a # that is not inside a string.
function strip(line) {
  const match = /^(?:"(?:[^"\\]|\\.)*"|[^"#])*/.exec(line)
  return match[0].trim()
}
