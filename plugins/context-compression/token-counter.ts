import { Worker } from 'node:worker_threads'
import { piecesOf } from './text-pieces.ts'

/** A vocabulary of OpenAI's: `o200k_base` from gpt-4o on, `cl100k_base` before. */
export type Encoding = 'o200k_base' | 'cl100k_base'

/** A part of one end of a text. */
export interface Taken {
  /** UTF-16 units. */
  readonly length: number
  readonly tokens: number
}

/** A question to the thread. */
export type ToWorker = { readonly id: number; readonly encoding: Encoding } & (
  | { readonly kind: 'count'; readonly texts: readonly string[] }
  | { readonly kind: 'take'; readonly text: string; readonly tokens: number; readonly end: 'head' | 'tail' }
)

/** Its answer. */
export type FromWorker =
  | { readonly id: number; readonly result: readonly number[] | Taken }
  | { readonly id: number; readonly failure: string }

type Ask<T> = T extends unknown ? Omit<T, 'id'> : never

interface Waiting {
  readonly resolve: (result: never) => void
  readonly reject: (error: Error) => void
}

/**
 * UTF-16 units in one message to the thread. The questions of all exchanges take turns, so one with a huge prompt does
 * not keep the others waiting: this much takes 2 ms as a rule and 0.1 s at the worst.
 */
const batchLength = 65_536

/** Memory of the thread: two vocabularies and a batch fit well. */
const heapMegabytes = 512

/** The thread's file beside this one: TypeScript from source, JavaScript when built. */
const workerFile = new URL(`./token-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** Counts tokens in a thread of its own, which starts with the first question. */
export class TokenCounter {
  #worker: Worker | undefined
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  /**
   * Tokens of each text.
   *
   * @throws the reason of `signal`; Error if the thread breaks down
   */
  async count(texts: readonly string[], encoding: Encoding, signal: AbortSignal): Promise<number[]> {
    const counts = texts.map(() => 0)
    let batch: string[] = []
    let owners: number[] = []
    let length = 0
    const send = async (): Promise<void> => {
      if (batch.length === 0) return
      signal.throwIfAborted()
      const found = await this.#ask<readonly number[]>({ kind: 'count', encoding, texts: batch })
      for (const [position, owner] of owners.entries()) counts[owner]! += found[position]!
      batch = []
      owners = []
      length = 0
    }
    for (const [owner, text] of texts.entries())
      for (const chunk of piecesOf(text, batchLength)) {
        if (length + chunk.length > batchLength) await send()
        batch.push(chunk)
        owners.push(owner)
        length += chunk.length
      }
    await send()
    return counts
  }

  /**
   * How much of one end of a text has at most so many tokens. Looks at no more of the text than that.
   *
   * @throws the reason of `signal`; Error if the thread breaks down
   */
  async take(
    text: string,
    limit: { readonly tokens: number; readonly end: 'head' | 'tail' },
    encoding: Encoding,
    signal: AbortSignal,
  ): Promise<Taken> {
    const chunks = [...piecesOf(text, batchLength)]
    const taken = { length: 0, tokens: 0 }
    for (const chunk of limit.end === 'head' ? chunks : chunks.toReversed()) {
      signal.throwIfAborted()
      const tokens = limit.tokens - taken.tokens
      const part = await this.#ask<Taken>({ kind: 'take', encoding, text: chunk, tokens, end: limit.end })
      taken.length += part.length
      taken.tokens += part.tokens
      if (part.length < chunk.length) break
    }
    return taken
  }

  /** Ends the thread. A later question starts another. */
  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    this.#fail(new Error('the token counter was closed'))
    await worker?.terminate()
  }

  #ask<T>(question: Ask<ToWorker>): Promise<T> {
    const worker = (this.#worker ??= this.#start())
    const id = ++this.#lastId
    return new Promise<T>((resolve, reject) => {
      // It must not keep the process alive by itself, but an exchange that waits for it does.
      if (this.#waiting.size === 0) worker.ref()
      this.#waiting.set(id, { resolve, reject })
      worker.postMessage({ ...question, id }, [])
    })
  }

  #start(): Worker {
    const worker = new Worker(workerFile, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } })
    worker.unref()
    worker.on('message', (message: FromWorker) => {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if (this.#waiting.size === 0) worker.unref()
      if ('result' in message) waiting?.resolve(message.result as never)
      else waiting?.reject(new Error(`tokens cannot be counted: ${message.failure}`))
    })
    worker.on('error', (error) => this.#broken(worker, error))
    worker.on('exit', () => this.#broken(worker, new Error('the token counter stopped')))
    return worker
  }

  #broken(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#fail(new Error('tokens cannot be counted', { cause: error }))
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
