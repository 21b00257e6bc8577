import { serve } from './serve.mjs'

// A Node.js process that does nothing: what its memory is, is not the library's.
serve({ memory: () => process.memoryUsage().rss / 2 ** 20 })
