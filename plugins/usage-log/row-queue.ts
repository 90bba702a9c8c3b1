import type { Clock, JournalChannel, JournalEntry, Logger } from '@hadrian/core/plugin'
import type { UsageRow } from './row.ts'

/** Rows kept in memory while the database is away: some 200 MB. The oldest are set aside beyond that. */
const mostWaiting = 100_000
/** Rows set aside at once, since taking one from the front of a long list costs as much as taking many. */
const setAsideAtOnce = 1000
const firstRetryMs = 500
const longestRetryMs = 30_000

export interface RowQueueOptions {
  /** Writes rows, given as JSON, all or none; those that were written before it leaves alone. */
  readonly write: (rows: readonly string[]) => Promise<unknown>
  readonly clock: Clock
  readonly logger: Logger
  readonly flushIntervalMs: number
  /** Rows per statement. */
  readonly batchSize: number
  /** Entries of the journal whose rows are not in the database, for whoever takes over from this queue. */
  readonly pending: Set<JournalEntry>
  /** Default 100,000. */
  readonly mostWaiting?: number
}

/** A row as JSON, and where the journal has it. */
interface Waiting {
  readonly json: string
  readonly entry: JournalEntry | undefined
}

/**
 * Rows on their way to the database: journalled, written in batches, and again until they are there. A row that was
 * written twice, because nobody knew whether the first time had worked, stays one.
 */
export class RowQueue {
  readonly #options: RowQueueOptions
  #channel: JournalChannel | undefined
  #waiting: Waiting[] = []
  /** Taken from `#waiting`, perhaps written. */
  #batch: Waiting[] = []
  #setAside = 0
  #unjournalled = false
  #failures = 0
  #writing: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #stopped = false

  constructor(options: RowQueueOptions) {
    this.#options = options
  }

  /** Journals rows in this channel from now on, and writes what is pending. */
  start(channel: JournalChannel): void {
    this.#channel = channel
    for (const entry of this.#options.pending) this.#add({ json: entry.json, entry })
  }

  push(row: UsageRow): void {
    const entry = this.#journalled(row)
    this.#add({ json: entry?.json ?? JSON.stringify(row), entry })
  }

  /** Writes what is left. What a database refuses to take even now stays in the journal, which the log says. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    await this.#writing
    try {
      await this.#drain().catch(() => this.#drain())
      this.#succeeded()
    } catch (error) {
      const left = this.#batch.length + this.#waiting.length + this.#setAside
      this.#batch = []
      this.#waiting = []
      this.#options.logger.error(
        { error, left },
        this.#channel
          ? 'usage rows could not be written before the end; they are in the journal, for the next start'
          : 'usage rows could not be written before the end and are lost',
      )
    }
  }

  /** A disk that takes nothing is no reason to lose a row that the database would take. */
  #journalled(row: UsageRow): JournalEntry | undefined {
    try {
      const entry = this.#channel?.append(row)
      if (entry) this.#options.pending.add(entry)
      return entry
    } catch (error) {
      if (!this.#unjournalled)
        this.#options.logger.error({ error }, 'usage rows are not journalled; a crash loses them')
      this.#unjournalled = true
      return undefined
    }
  }

  #add(waiting: Waiting): void {
    this.#waiting.push(waiting)
    const { mostWaiting: most = mostWaiting, batchSize, flushIntervalMs, pending } = this.#options
    if (this.#waiting.length > most) {
      const old = this.#waiting.splice(0, Math.min(setAsideAtOnce, Math.ceil(most / 10)))
      for (const { entry } of old) if (entry) pending.delete(entry)
      this.#setAside += old.length
    }
    if (this.#stopped || this.#writing || this.#failures > 0) return
    if (this.#waiting.length >= batchSize) this.#write()
    else this.#schedule(flushIntervalMs)
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer ??= this.#options.clock.after(delayMs, () => this.#write())
  }

  #write(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#writing = this.#drain().then(
      () => this.#succeeded(),
      (error: unknown) => this.#failed(error),
    )
  }

  #succeeded(): void {
    this.#writing = undefined
    if (this.#failures > 0) this.#options.logger.info({ set_aside: this.#setAside }, 'usage rows are written again')
    this.#failures = 0
    if (!this.#stopped && this.#waiting.length > 0) this.#schedule(this.#options.flushIntervalMs)
  }

  #failed(error: unknown): void {
    this.#writing = undefined
    const waiting = this.#batch.length + this.#waiting.length
    this.#options.logger.warn(
      { error, waiting, set_aside: this.#setAside },
      'usage rows could not be written; they are kept and tried again',
    )
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures++, 16))
    if (!this.#stopped) this.#schedule(delayMs)
  }

  /** Writes batches until none is left, or the one that is left is small and can wait for more. */
  async #drain(): Promise<void> {
    do {
      if (this.#batch.length === 0) this.#batch = this.#waiting.splice(0, this.#options.batchSize)
      await this.#insert(this.#batch)
      this.#batch = []
    } while (this.#waiting.length >= (this.#stopped ? 1 : this.#options.batchSize))
  }

  /** A row that the database refuses must not keep all others out, so it is looked for and left out. */
  async #insert(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return
    try {
      await this.#options.write(batch.map(({ json }) => json))
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (batch.length > 1) {
        const middle = batch.length >> 1
        await this.#insert(batch.slice(0, middle))
        await this.#insert(batch.slice(middle))
        return
      }
      this.#options.logger.error(
        { error, exchange: (JSON.parse(batch[0]!.json) as UsageRow).id },
        'the database refuses a usage row; it is left out',
      )
    }
    for (const { entry } of batch) this.#release(entry)
  }

  #release(entry: JournalEntry | undefined): void {
    if (!entry) return
    this.#options.pending.delete(entry)
    this.#channel?.release(entry)
  }
}

/** SQLSTATE classes 22 and 23: the value is at fault, so trying again is in vain. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && /^2[23]\w{3}$/.test(code)
}
