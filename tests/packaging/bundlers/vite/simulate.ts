import { createSimMesh } from 'neural-mesh/testing'
import { simulate } from '../simulate.js'

Object.assign(globalThis, { simulate: () => simulate(createSimMesh) })
