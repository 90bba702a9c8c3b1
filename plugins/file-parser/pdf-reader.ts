import { Worker } from 'node:worker_threads'
import type { Clock } from '@hadrian/core/plugin'

/** Why a PDF was not read. */
export type PdfFailureKind =
  | 'encrypted'
  | 'unreadable'
  | 'pages'
  | 'characters'
  | 'timeout'
  | 'memory'
  | 'busy'
  | 'stopped'

/** What the thread is asked for. */
export interface PdfTask {
  readonly bytes: Uint8Array
  readonly want: 'text' | 'count'
  readonly maxPages: number
  readonly maxCharacters: number
}

/** What the thread says: `pages` and `text`, or why not. */
export type PdfAnswer =
  | { readonly pages: number; readonly text: string; readonly failure?: undefined }
  | { readonly failure: PdfFailureKind; readonly pages?: number; readonly reason?: string }

/** A PDF that was not read. */
export class PdfFailure extends Error {
  readonly kind: PdfFailureKind
  /** Where there are too many. */
  readonly pages: number | undefined

  constructor(kind: PdfFailureKind, { pages, cause }: { readonly pages?: number; readonly cause?: unknown } = {}) {
    super(`PDF not read: ${kind}`, { cause })
    this.kind = kind
    this.pages = pages
  }
}

/** What a {@link PdfReader} keeps to. */
export interface PdfReaderOptions {
  readonly clock: Clock
  readonly maxPages: number
  readonly maxCharacters: number
  /** For one PDF, from when its turn comes. */
  readonly timeoutMs: number
  /** For one PDF, in bytes; of the thread's heap and of buffers outside it alike. */
  readonly memoryBytes: number
  readonly maxQueue: number
}

interface Job {
  readonly bytes: Uint8Array
  readonly want: PdfTask['want']
  readonly resolve: (answer: { readonly pages: number; readonly text: string }) => void
  readonly reject: (failure: unknown) => void
  readonly release: () => void
}

interface RunningJob extends Job {
  cancelTimers: () => void
}

/** The thread's file beside this one: TypeScript from source, JavaScript when built. */
const workerFile = new URL(`./pdf-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** How often the buffers of a busy thread are weighed, which fill at some 200 MB a second. */
const weighingMs = 100
/** A thread without work is ended after this, for the sake of its memory. */
const idleMs = 30_000
const mebibyte = 1024 * 1024

/**
 * Reads PDFs in a thread of their own, one after the other. A PDF that takes too long or too much, or whose reader has
 * gone away, costs the thread its life; the next PDF gets a new one.
 */
export class PdfReader {
  readonly #options: PdfReaderOptions
  readonly #waiting: Job[] = []
  #running: RunningJob | undefined
  #worker: Worker | undefined
  /** The thread has had much memory at a time, and may hold it still: that must not be held against the next PDF. */
  #isBloated = false
  #cancelIdle: (() => void) | undefined
  #isStopped = false
  readonly #ending = new Set<Promise<unknown>>()

  constructor(options: PdfReaderOptions) {
    this.#options = options
  }

  /** Whether there is a thread at the moment. */
  get hasWorker(): boolean {
    return this.#worker !== undefined
  }

  /**
   * Reads a PDF, or only counts its pages.
   *
   * @throws PdfFailure if it cannot be read within the limits; the reason of `signal` if that aborts first
   */
  read(
    bytes: Uint8Array,
    { want, signal }: { readonly want: PdfTask['want']; readonly signal: AbortSignal },
  ): Promise<{ readonly pages: number; readonly text: string }> {
    if (signal.aborted) return Promise.reject(signal.reason as Error)
    if (this.#isStopped) return Promise.reject(new PdfFailure('stopped'))
    if (this.#waiting.length >= this.#options.maxQueue) return Promise.reject(new PdfFailure('busy'))
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#drop(job, signal.reason)
      const job: Job = {
        bytes,
        want,
        resolve,
        reject,
        release: () => signal.removeEventListener('abort', onAbort),
      }
      signal.addEventListener('abort', onAbort)
      this.#waiting.push(job)
      this.#next()
    })
  }

  /** Ends the thread; what waits fails as `stopped`. Safe to call twice. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelIdle?.()
    for (const job of this.#waiting.splice(0)) settle(job, () => job.reject(new PdfFailure('stopped')))
    this.#fail(new PdfFailure('stopped'))
    this.#endWorker()
    await Promise.all(this.#ending)
  }

  #next(): void {
    if (this.#running) return
    const job = this.#waiting.shift()
    if (!job) return this.#rest()
    this.#cancelIdle?.()
    this.#cancelIdle = undefined
    const worker = this.#worker ?? this.#startWorker()
    worker.ref()
    const running: RunningJob = { ...job, cancelTimers: () => undefined }
    this.#running = running
    this.#limit(running, worker)
    // The thread gets a copy that it may keep; the caller may need the bytes for something else.
    const bytes = Uint8Array.from(job.bytes)
    const { maxPages, maxCharacters } = this.#options
    const task: PdfTask = { bytes, want: job.want, maxPages, maxCharacters }
    worker.postMessage(task, [bytes.buffer])
  }

  #rest(): void {
    if (!this.#worker || this.#isStopped) return
    this.#worker.unref()
    this.#cancelIdle?.()
    this.#cancelIdle = this.#options.clock.after(idleMs, () => this.#endWorker())
  }

  #startWorker(): Worker {
    const { memoryBytes } = this.#options
    const worker = new Worker(workerFile, {
      env: {},
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memoryBytes / mebibyte), maxYoungGenerationSizeMb: 32 },
    })
    // What a library writes there tells of a client's file.
    worker.stdout.resume()
    worker.stderr.resume()
    worker.on('message', (answer: PdfAnswer) => worker === this.#worker && this.#answered(answer))
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (worker !== this.#worker) return
      const kind = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'unreadable'
      this.#kill(new PdfFailure(kind, { cause: error }))
    })
    worker.on('exit', () => {
      if (worker === this.#worker)
        this.#kill(new PdfFailure('unreadable', { cause: new Error('The thread has ended') }))
    })
    this.#worker = worker
    this.#isBloated = false
    return worker
  }

  /** Ends the thread if the job takes longer or more than it may. */
  #limit(job: RunningJob, worker: Worker): void {
    const { clock, timeoutMs, memoryBytes } = this.#options
    const isCurrent = (): boolean => job === this.#running
    const cancelDeadline = clock.after(timeoutMs, () => isCurrent() && this.#kill(new PdfFailure('timeout')))
    let cancelWeighing = clock.after(weighingMs, weigh)
    job.cancelTimers = () => {
      cancelDeadline()
      cancelWeighing()
    }
    const kill = (): void => this.#kill(new PdfFailure('memory'))
    const bloat = (): void => {
      this.#isBloated = true
    }
    function weigh(): void {
      // A thread that is just starting cannot be asked yet.
      void worker.getHeapStatistics().then(weighed, () => weighed({ external_memory: 0 }))
    }
    function weighed({ external_memory: bytes }: { readonly external_memory: number }): void {
      if (!isCurrent()) return
      if (bytes > memoryBytes) kill()
      else cancelWeighing = clock.after(weighingMs, weigh)
      if (bytes > memoryBytes / 2) bloat()
    }
  }

  #answered(answer: PdfAnswer): void {
    const job = this.#running
    if (!job) return
    this.#running = undefined
    settle(job, () => {
      if (answer.failure === undefined) job.resolve(answer)
      else
        job.reject(
          new PdfFailure(answer.failure, {
            ...(answer.pages !== undefined && { pages: answer.pages }),
            cause: answer.reason,
          }),
        )
    })
    if (this.#isBloated || answer.failure !== undefined) this.#endWorker()
    this.#next()
  }

  /** Takes a job back whose caller has gone away. */
  #drop(job: Job, reason: unknown): void {
    const place = this.#waiting.indexOf(job)
    if (place !== -1) {
      this.#waiting.splice(place, 1)
      settle(job, () => job.reject(reason))
    } else if (this.#running?.resolve === job.resolve) this.#kill(reason)
  }

  #kill(reason: unknown): void {
    this.#endWorker()
    this.#fail(reason)
    this.#next()
  }

  #fail(reason: unknown): void {
    const job = this.#running
    this.#running = undefined
    if (job) settle(job, () => job.reject(reason))
  }

  #endWorker(): void {
    const worker = this.#worker
    if (!worker) return
    this.#worker = undefined
    const ended = worker.terminate().finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }
}

function settle(job: Job & Partial<RunningJob>, how: () => void): void {
  job.cancelTimers?.()
  job.release()
  how()
}
