import { AsyncLocalStorage } from 'node:async_hooks'
import type { Pool, PoolClient } from 'pg'
import type { Clock, Database, Queryable, Row } from '../../contract/plugin.ts'
import { checkChannel } from './channels.ts'
import { DatabaseUnavailableError, explainFailure } from './failures.ts'
import { ColumnTypes, insertMany } from './insert-many.ts'
import { connectionError, rowsOf, statement, statementTimeoutMs } from './statement.ts'
import { within } from './time-limit.ts'
import { Transaction, transactionTimeoutMs } from './transaction.ts'

/** Time `healthy` waits for an answer, in milliseconds. */
const healthLimitMs = 2000
/** Time that running work has to end after `close`, in milliseconds. */
const closeLimitMs = 5000

/** The database of a running gateway. */
export interface OpenedDatabase extends Database {
  readonly kind: 'embedded' | 'postgres'
  /**
   * As {@link Database.tx}. A transaction that takes longer than `timeoutMs` (60,000) is rolled back and its
   * connection given up, so that a callback that never ends cannot hold the database.
   */
  tx<T>(work: (transaction: Queryable) => Promise<T>, options?: { readonly timeoutMs?: number }): Promise<T>
  /** Whether it answers within 2 seconds. Never rejects. */
  healthy(): Promise<boolean>
  /** Lets running work end, then closes. May be called again. */
  close(): Promise<void>
}

/** What the two kinds of database differ in. */
export interface Backend {
  readonly kind: 'embedded' | 'postgres'
  readonly pool: Pool
  readonly clock: Clock
  /** For error messages: where the database is, without secrets. */
  readonly place: string
  listen(
    channel: string,
    callback: (payload: string) => void,
    missed: (() => void) | undefined,
  ): Promise<() => Promise<void>>
  /** Ends the pool and what belongs to it. Called once. */
  close(): Promise<void>
}

/** The database over a pool of pg clients; the embedded one is a pool of one. */
export class PoolDatabase implements OpenedDatabase {
  readonly kind: 'embedded' | 'postgres'
  readonly #backend: Backend
  readonly #types = new ColumnTypes()
  readonly #current = new AsyncLocalStorage<Transaction>()
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined
  #probe: Promise<boolean> | undefined

  constructor(backend: Backend) {
    this.kind = backend.kind
    this.#backend = backend
  }

  async query<R extends Row = Row>(sql: string, params: readonly unknown[] = []): Promise<R[]> {
    this.#check('query')
    return this.#track(this.#query<R>(sql, params))
  }

  /** Not the pool's own `query`, which gives a connection up for every error, and with it the embedded thread. */
  async #query<R extends Row>(sql: string, params: readonly unknown[]): Promise<R[]> {
    const config = statement(sql, params, statementTimeoutMs)
    const client = await this.#connect()
    let broken: Error | undefined
    try {
      return rowsOf<R>(await client.query(config))
    } catch (error) {
      broken = connectionError(error)
      throw this.#explain(error)
    } finally {
      client.release(broken)
    }
  }

  async tx<T>(work: (transaction: Queryable) => Promise<T>, options: { readonly timeoutMs?: number } = {}): Promise<T> {
    this.#check('tx')
    return this.#track(this.#tx(work, options.timeoutMs ?? transactionTimeoutMs))
  }

  async #tx<T>(work: (transaction: Queryable) => Promise<T>, timeoutMs: number): Promise<T> {
    const client = await this.#connect()
    const transaction = new Transaction(client, this.#backend.clock, timeoutMs, (error) => this.#explain(error))
    try {
      return await this.#current.run(transaction, () => transaction.run(work))
    } finally {
      client.release(transaction.broken)
    }
  }

  insertMany(table: string, rows: readonly Row[], options: { readonly conflict?: string } = {}): Promise<number> {
    return insertMany(this, this.#types, table, rows, options.conflict)
  }

  async listen(
    channel: string,
    callback: (payload: string) => void,
    options: { readonly missed?: () => void } = {},
  ): Promise<() => Promise<void>> {
    this.#check('listen')
    checkChannel(channel)
    try {
      return await this.#backend.listen(channel, callback, options.missed)
    } catch (error) {
      throw this.#explain(error)
    }
  }

  async notify(channel: string, payload: string): Promise<void> {
    this.#check('notify')
    checkChannel(channel)
    await this.query('select pg_notify($1, $2)', [channel, payload])
  }

  async healthy(): Promise<boolean> {
    if (this.#closing !== undefined) return false
    // Probes of a database that hangs share one statement, or they would pile up.
    this.#probe ??= this.#backend.pool
      .query('select 1')
      .then(
        () => true,
        () => false,
      )
      .finally(() => (this.#probe = undefined))
    return (await within(this.#backend.clock, healthLimitMs, this.#probe)) ?? false
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  /** The pool forgets who waits for a connection when it ends, so it ends when nobody does. */
  async #end(): Promise<void> {
    await within(this.#backend.clock, closeLimitMs, Promise.allSettled(this.#running))
    await this.#backend.close()
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work)
    try {
      return await work
    } finally {
      this.#running.delete(work)
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#backend.pool.connect()
    } catch (error) {
      throw this.#explain(error)
    }
  }

  #check(method: string): void {
    if (this.#closing !== undefined) throw new DatabaseUnavailableError('The database is closed')
    if (this.#current.getStore()?.active === true) {
      throw new Error(
        `db.${method} was called inside db.tx: it would wait for itself. Use the transaction's own query, and no nested tx.`,
      )
    }
  }

  #explain(error: unknown): unknown {
    return explainFailure(error, this.#backend.place)
  }
}
