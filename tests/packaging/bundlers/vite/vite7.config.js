import { defineConfig } from 'vite7'

export default defineConfig({
  cacheDir: 'node_modules/.vite7',
  // The dev server of Vite 7 and older bundles dependencies without their assets, and would not find the wasm.
  optimizeDeps: { exclude: ['neural-mesh'] },
})
