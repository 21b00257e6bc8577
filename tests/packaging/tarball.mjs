// What a packed npm package must hold, as pure checks on the list of its files and on their text. Each returns its
// complaints.

import { posix } from 'node:path'

const always = /^(package\.json|README(\..*)?|LICEN[CS]E(-.*|\..*)?|CHANGELOG(\..*)?)$/i

// pkg: the package.json; files: Map of path -> Buffer, as unpacked.
export function checkTarball(pkg, files) {
  return [...checkFields(pkg), ...checkFiles(pkg, files), ...checkExports(pkg, files), ...checkImports(pkg, files)]
}

function checkFields(pkg) {
  const wanted = { type: 'module', license: 'MIT OR Apache-2.0' }
  const complaints = Object.entries(wanted).filter(([k, v]) => pkg[k] !== v).map(([k, v]) => `package.json: ${k} should be "${v}"`)
  for (const field of ['name', 'version', 'description', 'exports', 'types', 'files', 'engines']) {
    if (!pkg[field]) complaints.push(`package.json: no ${field}`)
  }
  for (const hook of ['preinstall', 'install', 'postinstall']) {
    if (pkg.scripts?.[hook]) complaints.push(`package.json: an ${hook} script would run on the user's machine`)
  }
  return complaints
}

function checkFiles(pkg, files) {
  const names = [...files.keys()]
  const listed = (pkg.files ?? []).map(entry => entry.replace(/^\.\//, '').replace(/\/(\*\*?)?$/, ''))
  const inList = name => always.test(name) || listed.some(entry => name === entry || name.startsWith(`${entry}/`))
  const complaints = names.filter(name => !inList(name)).map(name => `${name} is not in "files"`)
  const strays = names.filter(name => /\.test\.|\.tsbuildinfo$|(^|\/)(tests?|node_modules)\/|(^|\/)\.[^/]/.test(name))
  complaints.push(...strays.map(name => `${name} does not belong in the package`))
  const wasm = names.filter(name => name.endsWith('.wasm'))
  const expected = ['dist/generated/mesh_sim_bg.wasm', 'dist/generated/mesh_wasm_bg.wasm']
  if (wasm.sort().join() !== expected.join()) complaints.push(`the core and the simulator should be there once: ${wasm.join(', ') || 'none'}`)
  // A second copy of it, as base64 inside a script, would show by its size.
  const big = names.filter(name => /\.[mc]?js$/.test(name) && files.get(name).length > 300_000)
  complaints.push(...big.map(name => `${name} has ${files.get(name).length} bytes`))
  for (const name of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) {
    if (!files.has(name)) complaints.push(`there is no ${name}`)
  }
  return complaints
}

function checkExports(pkg, files) {
  const complaints = []
  const exists = (target, where) => {
    if (!files.has(posix.normalize(target))) complaints.push(`${where}: ${target} is not in the package`)
  }
  const visit = (target, where) => {
    if (typeof target === 'string') {
      exists(target, where)
      return
    }
    const conditions = Object.keys(target ?? {})
    if (conditions.includes('types') && conditions[0] !== 'types') complaints.push(`${where}: "types" must come first`)
    if (conditions.includes('default') && conditions.at(-1) !== 'default') complaints.push(`${where}: "default" must come last`)
    conditions.forEach(condition => visit(target[condition], `${where} > ${condition}`))
  }
  const entries = Object.entries(pkg.exports ?? {})
  for (const [entry, target] of entries) {
    if (entry.includes('*')) continue
    visit(target, `exports["${entry}"]`)
    const code = JSON.stringify(target).includes('.js"')
    if (code && !JSON.stringify(target).includes('.d.ts"')) complaints.push(`exports["${entry}"]: no types`)
  }
  for (const [name, target] of Object.entries(pkg.imports ?? {})) visit(target, `imports["${name}"]`)
  for (const field of ['main', 'module', 'types']) if (pkg[field]) exists(pkg[field], field)
  return complaints
}

// Every import in the scripts and declarations resolves: inside the package with its full file name, outside to a
// declared dependency or to Node.js.
function checkImports(pkg, files) {
  const declared = new Set([...Object.keys(pkg.dependencies ?? {}), ...Object.keys(pkg.peerDependencies ?? {})])
  const complaints = []
  for (const [name, data] of files) {
    if (!/\.(js|d\.ts)$/.test(name)) continue
    for (const specifier of specifiers(data.toString())) {
      if (specifier.startsWith('node:')) continue
      if (specifier.startsWith('#')) {
        if (!pkg.imports?.[specifier]) complaints.push(`${name}: ${specifier} is not in "imports"`)
        continue
      }
      if (specifier.startsWith('.')) {
        const target = posix.join(posix.dirname(name), specifier)
        const twin = name.endsWith('.d.ts') ? target.replace(/\.js$/, '.d.ts') : target
        if (!files.has(target) || !files.has(twin)) complaints.push(`${name}: ${specifier} is not in the package`)
      } else {
        const owner = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
        if (!declared.has(owner) && owner !== pkg.name) complaints.push(`${name}: ${owner} is not a declared dependency`)
      }
    }
  }
  return complaints
}

function specifiers(text) {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  const patterns = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
    /\bnew URL\(\s*['"](\.[^'"]+)['"]\s*,\s*import\.meta\.url/g,
  ]
  return patterns.flatMap(pattern => [...code.matchAll(pattern)].map(match => match[1]))
}
