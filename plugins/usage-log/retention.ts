import type { Clock, Logger, Queryable } from '@hadrian/core/plugin'
import { table } from './row-queue.ts'

const dayMs = 86_400_000
const intervalMs = 3_600_000
/** The start of a gateway has better things to do. */
const firstDelayMs = 60_000
/** Rows per statement, so that none holds the database for long. */
const batchSize = 5000

/** Deletes rows that are older than some days, every hour. Several instances may do it at once. */
export class Retention {
  readonly #database: Queryable
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #days: number
  #cancel = (): void => undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  /** @param days 0 keeps everything */
  constructor(database: Queryable, clock: Clock, logger: Logger, days: number) {
    this.#database = database
    this.#clock = clock
    this.#logger = logger
    this.#days = days
  }

  start(): void {
    if (this.#days > 0) this.#schedule(firstDelayMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#running
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#running = this.#deleteOld().then(
        () => this.#schedule(intervalMs),
        (error: unknown) => {
          this.#logger.warn({ error }, 'old usage rows could not be deleted; trying again in an hour')
          this.#schedule(intervalMs)
        },
      )
    })
  }

  async #deleteOld(): Promise<void> {
    const before = new Date(this.#clock.now() - this.#days * dayMs)
    let total = 0
    for (let count = batchSize; count === batchSize && !this.#stopped; total += count) count = await this.#batch(before)
    if (total > 0) this.#logger.info({ rows: total, before }, 'old usage rows were deleted')
  }

  async #batch(before: Date): Promise<number> {
    const [result] = await this.#database.query<{ count: number }>(
      `with deleted as (
         delete from ${table} where id = any(array(
           select id from ${table} where started_at < $1 order by started_at, id limit $2 for update skip locked))
         returning 1)
       select count(*)::int as count from deleted`,
      [before, batchSize],
    )
    return result?.count ?? 0
  }
}
