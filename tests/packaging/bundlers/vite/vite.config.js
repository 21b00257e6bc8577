import { defineConfig } from 'vite'

export default defineConfig({
  build: {
    outDir: 'vite/dist',
    rollupOptions: { input: ['vite/index.html', 'vite/worker.html', 'vite/simulate.html'] },
  },
})
