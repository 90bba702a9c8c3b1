import type { Queryable, Row } from '@hadrian/core/plugin'

/** What an instance asks of one shared window. */
export interface WindowWant {
  readonly subject: string
  readonly kind: string
  /** The limit. */
  readonly most: number
  readonly window_ms: number
  readonly bucket_ms: number
  /** For how long units count after the end of their bucket. */
  readonly span_ms: number
  /** Units that callers wait for. */
  readonly need: number
  /** What the most modest of them waits for: less is not worth granting. */
  readonly least: number
  /** Units to keep in stock, if others leave enough. */
  readonly extra: number
  /** Units that were used beyond what had been taken. */
  readonly debt: number
  /** Units that were not used, by the bucket they were counted in. */
  readonly returned: readonly (readonly [bucket: number, units: number])[]
}

/** What a shared window gave. */
export interface WindowAnswer {
  readonly subject: string
  readonly kind: string
  readonly granted: number
  /** In which the granted units were counted. */
  readonly bucket: number
  /** What is left of the limit for everybody. */
  readonly remainder: number
  /** Milliseconds until `least` units fit. */
  readonly free_ms: number
  /** Milliseconds until the oldest counted bucket leaves the window; 0 for an empty one. */
  readonly oldest_ms: number
  /** Instances that took units in the last ten seconds, this one included. */
  readonly instances: number
}

/** What an instance asks of the slots for concurrent requests of one subject. */
export interface SlotWant {
  readonly subject: string
  /** The limit. */
  readonly most: number
  /** Slots that requests are in. */
  readonly used: number
  /** Slots it would like to have, those included. */
  readonly want: number
}

/** The slots that an instance has from now on, in place of those it had before. */
export interface SlotAnswer {
  readonly subject: string
  readonly slots: number
  /** Slots that other instances have. */
  readonly others: number
  readonly instances: number
}

/** Answers in no particular order. */
export interface StoreAnswers {
  readonly windows: readonly WindowAnswer[]
  readonly slots: readonly SlotAnswer[]
}

/** How long the slots of an instance stay taken after it was last heard of, in milliseconds. */
export const slotLeaseMs = 15_000

/** Rows deleted at once when old counters are cleared away. */
const clearedAtOnce = 500

/** The shared counters, in PostgreSQL. One statement carries everything an instance has to say at the moment. */
export class Store {
  readonly #database: Queryable
  readonly #instance: string

  /** @param instance a name that no other process has, and no earlier one had */
  constructor(database: Queryable, instance: string) {
    this.#database = database
    this.#instance = instance
  }

  /**
   * Takes and returns units and slots. Whether a statement that failed was carried out is not known: what it returned
   * must not be returned again, what it owed must be.
   *
   * @param nowMs milliseconds since 1970
   */
  async trade(nowMs: number, windows: readonly WindowWant[], slots: readonly SlotWant[]): Promise<StoreAnswers> {
    const rows = await this.#database.query<Row & { part: string; answer: WindowAnswer & SlotAnswer }>(
      `select 'window' as part, answer from rate_limit_take($1, $2, $3::jsonb) as answer
       union all
       select 'slots', answer from rate_limit_hold($1, $2, $4, $5::jsonb) as answer`,
      [Math.floor(nowMs), this.#instance, JSON.stringify(windows), slotLeaseMs, JSON.stringify(slots)],
    )
    return {
      windows: rows.filter(({ part }) => part === 'window').map(({ answer }) => answer),
      slots: rows.filter(({ part }) => part === 'slots').map(({ answer }) => answer),
    }
  }

  /** Deletes counters in which nothing counts any more. Rows that somebody else holds are left for the next time. */
  async clear(nowMs: number): Promise<void> {
    await this.#database.query(
      `delete from rate_limit_windows where (subject, kind) in
         (select subject, kind from rate_limit_windows where expires_ms < $1 limit $2 for update skip locked)`,
      [Math.floor(nowMs) - 60_000, clearedAtOnce],
    )
    await this.#database.query(
      `delete from rate_limit_slots where subject in
         (select subject from rate_limit_slots where expires_ms < $1 limit $2 for update skip locked)`,
      [Math.floor(nowMs) - 60_000, clearedAtOnce],
    )
  }
}
