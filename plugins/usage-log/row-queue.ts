import type { Clock, Database, Logger } from '@hadrian/core/plugin'
import type { UsageRow } from './row.ts'

export const table = 'usage_log_exchanges'

/** Rows kept while the database is away: some 100 MB. The oldest are dropped beyond that. */
const mostWaiting = 100_000
/** Rows dropped at once, since taking one from the front of a long list costs as much as taking many. */
const droppedAtOnce = 1000
const firstRetryMs = 500
const longestRetryMs = 30_000

export interface RowQueueOptions {
  readonly database: Pick<Database, 'insertMany'>
  readonly clock: Clock
  readonly logger: Logger
  readonly flushIntervalMs: number
  /** Rows per statement. */
  readonly batchSize: number
  /** Default 100,000. */
  readonly mostWaiting?: number
}

/**
 * Rows on their way to the database: written in batches, and again until they are there. A row that was written twice,
 * because nobody knew whether the first time had worked, stays one.
 */
export class RowQueue {
  readonly #options: RowQueueOptions
  #waiting: UsageRow[] = []
  /** Taken from `#waiting`, perhaps written. */
  #batch: UsageRow[] = []
  #dropped = 0
  #failures = 0
  #writing: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #stopped = false

  constructor(options: RowQueueOptions) {
    this.#options = options
  }

  push(row: UsageRow): void {
    this.#waiting.push(row)
    const { mostWaiting: most = mostWaiting, batchSize, flushIntervalMs } = this.#options
    if (this.#waiting.length > most) {
      const count = Math.min(droppedAtOnce, Math.ceil(most / 10))
      this.#waiting.splice(0, count)
      this.#dropped += count
    }
    if (this.#stopped || this.#writing || this.#failures > 0) return
    if (this.#waiting.length >= batchSize) this.#write()
    else this.#schedule(flushIntervalMs)
  }

  /** Writes what is left. A database that refuses even now loses it, which the log says. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    await this.#writing
    try {
      await this.#drain().catch(() => this.#drain())
      this.#succeeded()
    } catch (error) {
      const lost = this.#batch.length + this.#waiting.length
      this.#batch = []
      this.#waiting = []
      this.#options.logger.error(
        { error, lost, dropped: this.#dropped },
        'usage rows could not be written before the end',
      )
    }
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
    if (this.#failures > 0 || this.#dropped > 0)
      this.#options.logger.info({ dropped: this.#dropped }, 'usage rows are written again')
    this.#failures = 0
    this.#dropped = 0
    if (!this.#stopped && this.#waiting.length > 0) this.#schedule(this.#options.flushIntervalMs)
  }

  #failed(error: unknown): void {
    this.#writing = undefined
    const waiting = this.#batch.length + this.#waiting.length
    this.#options.logger.warn(
      { error, waiting, dropped: this.#dropped },
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
  async #insert(rows: readonly UsageRow[]): Promise<void> {
    if (rows.length === 0) return
    try {
      await this.#options.database.insertMany(table, rows, { conflict: 'on conflict (id) do nothing' })
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (rows.length === 1) {
        this.#options.logger.error({ error, exchange: rows[0]!.id }, 'the database refuses a usage row; it is left out')
        return
      }
      const middle = rows.length >> 1
      await this.#insert(rows.slice(0, middle))
      await this.#insert(rows.slice(middle))
    }
  }
}

/** SQLSTATE classes 22 and 23: the value is at fault, so trying again is in vain. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && /^2[23]\w{3}$/.test(code)
}
