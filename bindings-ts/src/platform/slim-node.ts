// Node's socket comes along; the wasm that node.ts would read stays unread when initialize() is given one.
import './node.js'
export * from './slim.js'
