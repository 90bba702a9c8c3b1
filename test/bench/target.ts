/** Something that calls can be sent to: the upstream itself, the raw proxy in front of it, or a gateway. */

import type { Child } from './child.ts'
import { postBytes } from './framing.ts'
import type { Workload } from './workloads.ts'

export interface Target {
  readonly name: string
  readonly port: number
  /** Of the process whose CPU time and memory count. */
  readonly pid: number
  readonly modelPrefix: string
  readonly headers: Readonly<Record<string, string>>
}

/** A target without keys and model prefixes. */
export function plainTarget(name: string, { url, pid }: Child): Target {
  return { name, port: Number(new URL(url).port), pid, modelPrefix: '', headers: {} }
}

/** A workload as bytes for one target. */
export function requestBytes(target: Target, workload: Workload): Buffer {
  return postBytes(workload.path, target.headers, workload.body(target.modelPrefix))
}
