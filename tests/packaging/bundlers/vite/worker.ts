import { joinMesh } from 'neural-mesh'
import { meet, type Meeting } from '../meet.js'

onmessage = async ({ data }: MessageEvent<Meeting>) => postMessage(await meet(joinMesh, data))
