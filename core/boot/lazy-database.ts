import type { Database, Queryable, Row } from '../contract/plugin.ts'
import type { OpenedDatabase } from '../services/database/index.ts'

/** A database that is opened when it is first used, so that commands which only look do not open it. */
export class LazyDatabase implements Database {
  readonly #open: () => Promise<OpenedDatabase>
  #opened: Promise<OpenedDatabase> | undefined

  constructor(open: () => Promise<OpenedDatabase>) {
    this.#open = open
  }

  /** Opens it now. A failure is not remembered: the next use tries again. */
  opened(): Promise<OpenedDatabase> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  async query<R extends Row = Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
    return (await this.opened()).query<R>(sql, params)
  }

  async tx<T>(work: (transaction: Queryable) => Promise<T>, options?: { readonly timeoutMs?: number }): Promise<T> {
    return (await this.opened()).tx(work, options)
  }

  async insertMany(table: string, rows: readonly Row[], options?: { readonly conflict?: string }): Promise<number> {
    return (await this.opened()).insertMany(table, rows, options)
  }

  async listen(...input: Parameters<OpenedDatabase['listen']>): Promise<() => Promise<void>> {
    return (await this.opened()).listen(...input)
  }

  async notify(channel: string, payload: string): Promise<void> {
    return (await this.opened()).notify(channel, payload)
  }

  /** Whether it answers; true if nobody has needed it so far. Never opens it. */
  async healthy(): Promise<boolean> {
    if (this.#opened === undefined) return true
    return this.#opened.then(
      (database) => database.healthy(),
      () => false,
    )
  }

  /** Closes it if it was opened. */
  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined)
    await opened?.close()
  }
}
