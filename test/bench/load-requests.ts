/** Load of whole answers: as many as go through at once, or so many per second whatever the answers do. */

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { MessageReader } from './framing.ts'
import { cpuMicros } from './process-usage.ts'
import { nowMicros } from './stamp.ts'
import { requestBytes } from './target.ts'
import type { Target } from './target.ts'
import type { Workload } from './workloads.ts'

export interface Throughput {
  readonly requestsPerSecond: number
  /** Of the target's process. */
  readonly cpuMicrosPerRequest: number
}

/** Time for the connections to open before a slice is measured. */
const settleMs = 100

/** Keeps `concurrency` requests under way, each on a connection of its own, and measures for `durationMs`. */
export async function saturate(
  target: Target,
  workload: Workload,
  { concurrency, durationMs }: { readonly concurrency: number; readonly durationMs: number },
): Promise<Throughput> {
  const bytes = requestBytes(target, workload)
  let answers = 0
  const failures: unknown[] = []
  const sockets = Array.from({ length: concurrency }, () => {
    const connection = open(target, () => {
      answers++
      connection.socket.write(bytes)
    })
    connection.failed.catch((error: unknown) => failures.push(error))
    connection.socket.write(bytes)
    return connection.socket
  })
  await pause(settleMs)
  const before = { answers, micros: nowMicros(), cpu: cpuMicros(target.pid) }
  await pause(durationMs)
  const count = answers - before.answers
  const cpu = cpuMicros(target.pid) - before.cpu
  const seconds = (nowMicros() - before.micros) / 1e6
  for (const socket of sockets) socket.destroy()
  if (failures.length > 0) throw failures[0]
  return { requestsPerSecond: count / seconds, cpuMicrosPerRequest: cpu / count }
}

/** Sends requests at a fixed rate for `durationMs`. Returns how long each took, in microseconds. */
export async function latencies(
  target: Target,
  workload: Workload,
  { ratePerSecond, durationMs }: { readonly ratePerSecond: number; readonly durationMs: number },
): Promise<readonly number[]> {
  const bytes = requestBytes(target, workload)
  const taken: number[] = []
  const idle: Connection[] = []
  const all: Connection[] = []
  const failures: unknown[] = []
  const send = (): void => {
    const connection = idle.pop() ?? openIdle()
    connection.sentMicros = nowMicros()
    connection.socket.write(bytes)
  }
  const openIdle = (): Connection => {
    const connection: Connection = open(target, () => {
      taken.push(nowMicros() - connection.sentMicros)
      idle.push(connection)
    })
    connection.failed.catch((error: unknown) => failures.push(error))
    all.push(connection)
    return connection
  }
  const startMicros = nowMicros()
  const total = (ratePerSecond * durationMs) / 1000
  for (let sent = 0; sent < total;) {
    const due = ((nowMicros() - startMicros) * ratePerSecond) / 1e6
    for (; sent < Math.min(due, total); sent++) send()
    await pause(1)
  }
  while (taken.length < total && failures.length === 0) await pause(10)
  for (const { socket } of all) socket.destroy()
  if (failures.length > 0) throw failures[0]
  return taken
}

interface Connection {
  readonly socket: Socket
  /** Rejects when an answer is no success or the connection breaks. */
  readonly failed: Promise<never>
  sentMicros: number
}

function open({ name, port }: Target, onAnswer: () => void): Connection {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const failed = new Promise<never>((_, reject) => {
    const reader = new MessageReader((head, body) => {
      if (head.startsWith('HTTP/1.1 200')) onAnswer()
      else reject(new Error(`${name} answered ${head}${body.toString()}`))
    })
    socket.on('data', (bytes: Buffer) => reader.push(bytes))
    socket.on('error', reject)
    socket.on('end', () => reject(new Error(`${name} closed a connection`)))
  })
  return { socket, failed, sentMicros: 0 }
}

/** Waits so many milliseconds of real time: what is measured here is a real machine. */
export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}
