/** Keeps what is measured and what measures it on different cores, where the system can. */

import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** The command to put in front of a candidate's, and what to tell the reader. */
export interface Pinning {
  readonly candidatePrefix: readonly string[]
  readonly description: string
}

/** Moves this process, and with it all it starts later, off the first core, which candidates get for themselves. */
export function pinCores(): Pinning {
  const cores = availableParallelism()
  const free = { candidatePrefix: [], description: 'not pinned to cores' }
  if (process.platform !== 'linux' || cores < 2) return free
  try {
    execFileSync('taskset', ['-apc', cores === 2 ? '1' : `1-${cores - 1}`, String(process.pid)], { stdio: 'ignore' })
  } catch {
    return { ...free, description: 'not pinned to cores (no taskset)' }
  }
  return {
    candidatePrefix: ['taskset', '-c', '0'],
    description: 'gateway and raw proxy on core 0, everything else on the others',
  }
}
