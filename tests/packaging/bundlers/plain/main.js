import { joinMesh } from 'neural-mesh'
import { meet } from '../meet.js'

globalThis.meet = options => meet(joinMesh, options)
