import { joinMesh } from 'neural-mesh'
import { meet, type Meeting } from '../meet.js'

Object.assign(globalThis, { meet: (meeting: Meeting) => meet(joinMesh, meeting) })
