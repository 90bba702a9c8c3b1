/** Load of streams: so many at once, each begun anew when it ends, with the time every chunk took to arrive. */

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { lastChunk } from './framing.ts'
import { pause } from './load-requests.ts'
import { cpuMicros } from './process-usage.ts'
import { nowMicros, StampReader } from './stamp.ts'
import { requestBytes } from './target.ts'
import type { Target } from './target.ts'
import type { Workload } from './workloads.ts'

/** What one slice of a stream load has seen. */
export interface StreamSlice {
  readonly chunks: number
  /** Of the target's process. */
  readonly cpuMicrosPerChunk: number
  /** Median microseconds from the upstream's write to the client's read. */
  readonly transitMicros: number
  /** Median microseconds from the request to the first chunk. */
  readonly firstChunkMicros: number
  /** Streams that broke off, or ended without the end their format has. */
  readonly failed: number
}

interface Samples {
  chunks: number
  failed: number
  readonly transits: number[]
  readonly firsts: number[]
}

const ending = /\[DONE\]|message_stop/
/** Longest text that may separate the end of the format from the end of the body. */
const endingLength = 200

/** Open streams against one target. */
export class StreamLoad {
  readonly #target: Target
  readonly #bytes: Buffer
  readonly #sockets = new Set<Socket>()
  #samples: Samples = newSamples()
  #closing = false

  constructor(target: Target, workload: Workload) {
    this.#target = target
    this.#bytes = requestBytes(target, workload)
  }

  /** Opens more streams, evenly over a time. */
  async open(count: number, overMs: number): Promise<void> {
    const steps = Math.max(1, Math.floor(overMs / 10))
    for (let step = 0, opened = 0; step < steps; step++) {
      for (; opened < ((step + 1) * count) / steps; opened++) this.#openOne()
      await pause(10)
    }
  }

  /** Watches the streams for a while. */
  async measure(durationMs: number): Promise<StreamSlice> {
    this.#samples = newSamples()
    const cpuBefore = cpuMicros(this.#target.pid)
    await pause(durationMs)
    const cpu = cpuMicros(this.#target.pid) - cpuBefore
    const { chunks, failed, transits, firsts } = this.#samples
    return {
      chunks,
      failed,
      cpuMicrosPerChunk: cpu / chunks,
      transitMicros: middle(transits),
      firstChunkMicros: middle(firsts),
    }
  }

  /** Leaves all streams. */
  close(): void {
    this.#closing = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** One connection with one stream after another. */
  #openOne(): void {
    const socket = connect({ port: this.#target.port, host: '127.0.0.1', noDelay: true })
    this.#sockets.add(socket)
    let stamps: StampReader
    let sentMicros = 0
    let begun = false
    let tail = ''
    const send = (): void => {
      stamps = new StampReader()
      begun = false
      tail = ''
      sentMicros = nowMicros()
      socket.write(this.#bytes)
    }
    const fail = (): void => {
      if (this.#closing || socket.destroyed) return
      this.#samples.failed++
      socket.destroy()
      this.#sockets.delete(socket)
    }
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1')
      if (tail === '' && !text.startsWith('HTTP/1.1 200')) return fail()
      const arrived = nowMicros()
      stamps.push(text, (written) => {
        this.#samples.chunks++
        this.#samples.transits.push(arrived - written)
        if (begun) return
        begun = true
        this.#samples.firsts.push(arrived - sentMicros)
      })
      tail = (tail + text).slice(-endingLength)
      if (!tail.endsWith(`\r\n${lastChunk}`)) return
      if (ending.test(tail)) send()
      else fail()
    })
    socket.on('error', fail)
    socket.on('end', fail)
    socket.on('connect', send)
  }
}

function newSamples(): Samples {
  return { chunks: 0, failed: 0, transits: [], firsts: [] }
}

/** The median of numbers that may be many. */
function middle(values: number[]): number {
  return Float64Array.from(values).sort()[values.length >> 1] ?? NaN
}
