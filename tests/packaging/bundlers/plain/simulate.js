import { createSimMesh } from 'neural-mesh/testing'
import { simulate } from '../simulate.js'

globalThis.simulate = () => simulate(createSimMesh)
