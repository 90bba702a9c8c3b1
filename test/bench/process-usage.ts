/** What a process has used, as the system counts it. From `/proc`, else from `ps`, whose times are coarser. */

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const hasProc = existsSync('/proc/self/schedstat')

/** Microseconds on a CPU, of all threads. On Linux a thread that has ended no longer counts. */
export function cpuMicros(pid: number): number {
  if (!hasProc) return secondsOf(ps(pid, 'time')) * 1e6
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`))
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0])
    } catch {
      // It ended meanwhile.
    }
  return nanoseconds / 1e3
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  if (!hasProc) return Number(ps(pid, 'rss')) * 1024
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(resident?.[1]) * 1024
}

function ps(pid: number, field: string): string {
  return execFileSync('ps', ['-o', `${field}=`, '-p', String(pid)], { encoding: 'utf8' }).trim()
}

/** `1-02:03:04.56`, where all but minutes and seconds may be missing. */
function secondsOf(time: string): number {
  const [days, clock] = time.includes('-') ? time.split('-', 2) : ['0', time]
  return clock!.split(':').reduce((total, part) => total * 60 + Number(part), 0) + Number(days) * 86_400
}
