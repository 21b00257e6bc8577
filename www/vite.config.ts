import { defineConfig } from 'vite'

export default defineConfig({
  // The page works wherever it is put: at the root of a relay, or in a folder of some server.
  base: './',
  build: {
    // No data: URLs, which the page's content security policy does not let in.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
