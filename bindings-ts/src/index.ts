import '#platform'

export * from './api.js'
