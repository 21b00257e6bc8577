// `npm run build -w bindings-ts`: src/ -> dist/, with the wasm core, the simulator and their glue, which another build has
// put into src/generated/, copied along.

import { cpSync, existsSync, rmSync } from 'node:fs'
import { inPackage, tsc } from './tools.mjs'

if (!['mesh_wasm', 'mesh_sim'].every(name => existsSync(inPackage(`src/generated/${name}_bg.wasm`)))) {
  console.error('bindings-ts/src/generated holds no wasm core, or no simulator. Build it first, in the root folder: npm run build -- --wasm')
  process.exit(1)
}
// A file that is gone from src/ must not live on in dist/.
rmSync(inPackage('dist'), { recursive: true, force: true })
// The comments belong into the declarations, where editors show them. In the JavaScript they would be a quarter of its bytes.
for (const project of ['tsconfig.json', 'tsconfig.node.json']) {
  tsc(project, '--emitDeclarationOnly')
  tsc(project, '--declaration', 'false', '--stripInternal', 'false', '--removeComments')
}
// The compiler does not copy declarations that are written by hand.
cpSync(inPackage('src/platform/mesh-wasm.d.ts'), inPackage('dist/platform/mesh-wasm.d.ts'))
cpSync(inPackage('src/generated'), inPackage('dist/generated'), { recursive: true })
