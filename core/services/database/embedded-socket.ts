import { Duplex } from 'node:stream'
import { Worker } from 'node:worker_threads'

/** What the worker thread is started with. */
export interface WorkerSetup {
  /** PGlite's own directory. */
  readonly directory: string
}

/** Bytes of the PostgreSQL protocol for the worker, or the order to end. */
export type ToWorker = { readonly kind: 'data'; readonly bytes: Uint8Array } | { readonly kind: 'close' }

/** What the worker says: that it takes bytes, bytes of the PostgreSQL protocol, or why it cannot go on. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string }

/** The worker's file beside this one: TypeScript from source, JavaScript when built. */
const workerFile = new URL(`./embedded-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** The part of a TCP socket that pg needs, over a worker thread that runs the embedded database. */
export class EmbeddedSocket extends Duplex {
  readonly #directory: string
  readonly #previous: Promise<void>
  #worker: Worker | undefined
  #running = false
  readonly #exited = Promise.withResolvers<void>()

  /** @param previous when the thread before this one has ended: two at once would ruin the files */
  constructor(directory: string, previous: Promise<void> = Promise.resolve()) {
    super()
    this.#directory = directory
    this.#previous = previous
  }

  /** Resolves when the thread has ended and the directory is no longer written to. */
  get exited(): Promise<void> {
    return this.#exited.promise
  }

  /** Called by pg, with a port and a host that mean nothing here. */
  connect(): this {
    void this.#startAfterPrevious()
    return this
  }

  async #startAfterPrevious(): Promise<void> {
    await this.#previous
    if (!this.destroyed) this.#start()
  }

  #start(): void {
    const worker = new Worker(workerFile, { workerData: { directory: this.#directory } satisfies WorkerSetup })
    this.#worker = worker
    this.#running = true
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') this.emit('connect')
      else if (message.kind === 'data') this.push(message.bytes)
      else this.destroy(stopped(message.message))
    })
    worker.on('error', (error) => this.destroy(stopped(String(error))))
    worker.on('exit', () => {
      this.#running = false
      this.#exited.resolve()
      if (this.writableEnded) this.push(null)
      else this.destroy(stopped('its thread ended'))
    })
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    this.#worker?.ref()
    return this
  }

  unref(): this {
    this.#worker?.unref()
    return this
  }

  override _read(): void {
    // The worker sends on its own accord.
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    this.#send(new Uint8Array(chunk))
    callback()
  }

  override _writev(chunks: { chunk: Uint8Array }[], callback: () => void): void {
    this.#send(new Uint8Array(Buffer.concat(chunks.map(({ chunk }) => chunk))))
    callback()
  }

  override _final(callback: () => void): void {
    this.#worker?.postMessage({ kind: 'close' } satisfies ToWorker)
    this.#whenStopped(() => callback())
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (this.#worker === undefined) this.#exited.resolve(this.#previous)
    this.#whenStopped(() => callback(error))
    void this.#worker?.terminate()
  }

  #whenStopped(listener: () => void): void {
    if (this.#running) this.#worker?.once('exit', listener)
    else listener()
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#worker?.postMessage({ kind: 'data', bytes } satisfies ToWorker, [bytes.buffer])
  }
}

function stopped(reason: string): Error {
  return Object.assign(new Error(`the embedded database stopped: ${reason}`), { code: 'EMBEDDED_STOPPED' })
}
