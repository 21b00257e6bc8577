import { build } from 'esbuild'

const common = {
  bundle: true,
  minify: true,
  outdir: 'esbuild/dist',
  // The import of neural-mesh/mesh.wasm gives the address of a copy of the file, below publicPath.
  loader: { '.wasm': 'file' },
  publicPath: '/esbuild/dist',
}

await build({ ...common, entryPoints: ['esbuild/main.ts'], format: 'esm' })
await build({ ...common, entryPoints: ['esbuild/worker.ts'], format: 'iife' })
