import type { PoolClient } from 'pg'
import type { Clock, Queryable, Row } from '../../contract/plugin.ts'
import { connectionError, rowsOf, statement, statementTimeoutMs } from './statement.ts'

/** Time a transaction may take when nothing else is said, in milliseconds. */
export const transactionTimeoutMs = 60_000

/** One transaction on one connection. */
export class Transaction implements Queryable {
  readonly #client: PoolClient
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #explain: (error: unknown) => unknown
  #last: Promise<unknown> = Promise.resolve()
  #over = false
  #broken: Error | undefined

  /** @param explain turns an error of the connection into one for the caller; errors of `work` stay as they are */
  constructor(client: PoolClient, clock: Clock, timeoutMs: number, explain: (error: unknown) => unknown) {
    this.#client = client
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#explain = explain
  }

  /** Set when the connection must not be used again. */
  get broken(): Error | undefined {
    return this.#broken
  }

  /** False once it was committed or rolled back. */
  get active(): boolean {
    return !this.#over
  }

  /** @throws once the transaction is over */
  async query<R extends Row = Row>(sql: string, params: readonly unknown[] = []): Promise<R[]> {
    if (this.#over) throw new Error('this transaction is over; its queries must be awaited inside `tx`')
    return this.#send<R>(sql, params)
  }

  /** Commits when `work` resolves, else rolls back. */
  async run<T>(work: (transaction: Queryable) => Promise<T>): Promise<T> {
    const expired = Promise.withResolvers<never>()
    const cancel = this.#clock.after(this.#timeoutMs, () => {
      this.#broken = new Error(`a database transaction took longer than ${this.#timeoutMs} ms and was rolled back`)
      expired.reject(this.#broken)
    })
    try {
      return await Promise.race([this.#attempt(work), expired.promise])
    } finally {
      this.#over = true
      cancel()
    }
  }

  async #attempt<T>(work: (transaction: Queryable) => Promise<T>): Promise<T> {
    try {
      await this.#send('begin')
      if (this.#timeoutMs > transactionTimeoutMs) await this.#send(`set local statement_timeout = ${this.#timeoutMs}`)
      const value = await work(this)
      this.#over = true
      await this.#last.catch(() => undefined)
      if (this.#broken !== undefined) throw this.#broken
      await this.#commit()
      return value
    } catch (error) {
      this.#over = true
      await this.#rollback()
      throw error
    }
  }

  /** COMMIT of a transaction in which a statement failed rolls back without an error. */
  async #commit(): Promise<void> {
    try {
      const { command } = await this.#client.query('commit')
      if (command !== 'ROLLBACK') return
    } catch (error) {
      throw this.#failure(error)
    }
    throw new Error('the transaction was rolled back because one of its statements failed and its error was ignored')
  }

  async #rollback(): Promise<void> {
    await this.#last.catch(() => undefined)
    if (this.#broken !== undefined) return
    try {
      await this.#client.query('rollback')
    } catch (error) {
      this.#broken = error instanceof Error ? error : new Error(String(error))
    }
  }

  /** pg wants the next statement of a connection only when the last one is done. */
  #send<R extends Row>(sql: string, params: readonly unknown[] = []): Promise<R[]> {
    const config = statement(sql, params, Math.max(this.#timeoutMs, statementTimeoutMs))
    const result = this.#last
      .catch(() => undefined)
      .then(() => this.#client.query(config))
      .then(
        (answer) => rowsOf<R>(answer),
        (error: unknown) => {
          throw this.#failure(error)
        },
      )
    this.#last = result
    result.catch(() => undefined)
    return result
  }

  #failure(error: unknown): unknown {
    const explained = this.#explain(error)
    if (connectionError(error) !== undefined) this.#broken ??= connectionError(explained)
    return explained
  }
}
