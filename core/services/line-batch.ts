import { writeSync } from 'node:fs'
import pino from 'pino'

/** Characters after which lines leave at once. */
const batchLength = 16_384
/** How long a line waits for others, in milliseconds. */
const longestWaitMs = 100

/**
 * Standard error, written in the background: under load many lines leave together, since cleaning and writing each alone
 * would cost more than making it. What waits when the process exits is written then.
 */
export class LineBatch {
  readonly #output = pino.destination({ dest: 2, sync: false, contentMode: 'buffer' })
  readonly #clean: (lines: string) => string
  #waiting = ''
  #timer: NodeJS.Timeout | undefined

  /** @param clean applied to all lines of a batch together; each ends in a line feed */
  constructor(clean: (lines: string) => string) {
    this.#clean = clean
    // By then the output has written what it had, and takes no more.
    process.once('exit', () => void (this.#waiting !== '' && writeSync(2, clean(this.#waiting))))
  }

  write(line: string): void {
    this.#waiting += line
    if (this.#waiting.length >= batchLength) this.#hand()
    else this.#timer ??= setTimeout(() => this.#hand(), longestWaitMs).unref()
  }

  flushSync(): void {
    this.#hand()
    this.#output.flushSync()
  }

  #hand(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waiting === '') return
    const lines = this.#waiting
    this.#waiting = ''
    this.#output.write(Buffer.from(this.#clean(lines)) as unknown as string)
  }
}
