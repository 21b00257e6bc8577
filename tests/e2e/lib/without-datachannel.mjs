// With `node --import` this file, node-datachannel is as if it were not installed.

import { register } from 'node:module'

const hooks = `
  export async function resolve(specifier, context, next) {
    if (!specifier.startsWith('node-datachannel')) return next(specifier, context)
    throw Object.assign(new Error('Cannot find package ' + specifier), { code: 'ERR_MODULE_NOT_FOUND' })
  }`
register('data:text/javascript,' + encodeURIComponent(hooks))
