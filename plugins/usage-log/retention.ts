import type { Clock, Logger, Queryable } from '@hadrian/core/plugin'
import { attemptTable, dayTable, exchangeTable, hourTable } from './columns.ts'

const dayMs = 86_400_000
const intervalMs = 3_600_000
/** The start of a gateway has better things to do. */
const firstDelayMs = 60_000
/** Rows per statement, so that none holds the database for long. */
const batchSize = 5000

const deleteExchanges = `
with deleted as (
  delete from ${exchangeTable} where id = any(array(
    select id from ${exchangeTable} where started_at < $1 order by started_at, id limit $2 for update skip locked))
  returning id
), attempts as (delete from ${attemptTable} where exchange_id in (select id from deleted))
select count(*)::integer as count from deleted`

const deleteSums = (table: string): string => `
with deleted as (
  delete from ${table} where ctid = any(array(
    select ctid from ${table} where at < $1 order by at limit $2 for update skip locked))
  returning 1)
select count(*)::integer as count from deleted`

export interface RetentionOptions {
  readonly database: Queryable
  readonly clock: Clock
  readonly logger: Logger
  /** Days that exchanges and attempts are kept; 0 keeps all. */
  readonly days: number
  /** Days that the rollups are kept; 0 keeps all. */
  readonly rollupDays: number
}

/** Deletes what is older than some days, every hour. Several instances may do it at once. */
export class Retention {
  readonly #options: RetentionOptions
  #cancel = (): void => undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#options.days > 0 || this.#options.rollupDays > 0) this.#schedule(firstDelayMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#running
  }

  #schedule(delayMs: number): void {
    const { clock, logger } = this.#options
    if (this.#stopped) return
    this.#cancel = clock.after(delayMs, () => {
      this.#running = this.#deleteOld().then(
        () => this.#schedule(intervalMs),
        (error: unknown) => {
          logger.warn({ error }, 'old usage rows could not be deleted; trying again in an hour')
          this.#schedule(intervalMs)
        },
      )
    })
  }

  async #deleteOld(): Promise<void> {
    const { clock, days, rollupDays } = this.#options
    const nowMs = clock.now()
    if (days > 0) await this.#deleteAll(exchangeTable, deleteExchanges, nowMs - days * dayMs)
    if (rollupDays === 0) return
    // Whole days of both, or a range of days and the hours at its ends would not fit together.
    const beforeMs = Math.floor((nowMs - rollupDays * dayMs) / dayMs) * dayMs
    for (const table of [hourTable, dayTable]) await this.#deleteAll(table, deleteSums(table), beforeMs)
  }

  async #deleteAll(table: string, sql: string, beforeMs: number): Promise<void> {
    const { database, logger } = this.#options
    const before = new Date(beforeMs)
    let rows = 0
    for (let count = batchSize; count === batchSize && !this.#stopped; rows += count) {
      const [result] = await database.query<{ count: number }>(sql, [before, batchSize])
      count = result?.count ?? 0
    }
    if (rows > 0) logger.info({ table, rows, before }, 'old usage rows were deleted')
  }
}
