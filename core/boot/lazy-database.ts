import type { Database, Queryable, Row } from '../contract/plugin.ts'
import type { OpenedDatabase } from '../services/database/index.ts'

/** A database that is opened when it is first used, so that commands which only look do not open it. */
export class LazyDatabase implements Database {
  readonly #open: (signal: AbortSignal) => Promise<OpenedDatabase>
  readonly #opening = new AbortController()
  #opened: Promise<OpenedDatabase> | undefined
  #isOpening = false

  /** @param open gives up when its signal aborts: making an embedded database takes seconds */
  constructor(open: (signal: AbortSignal) => Promise<OpenedDatabase>) {
    this.#open = open
  }

  /** Opens it now. A failure is not remembered: the next use tries again. */
  opened(): Promise<OpenedDatabase> {
    this.#opened ??= this.#openNow()
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

  /** If it is just being opened, gives that up, and opening it ever after. */
  stopOpening(): void {
    if (this.#isOpening) this.#opening.abort(new Error('the gateway is stopping'))
  }

  async #openNow(): Promise<OpenedDatabase> {
    this.#isOpening = true
    try {
      return await this.#open(this.#opening.signal)
    } catch (error) {
      this.#opened = undefined
      throw error
    } finally {
      this.#isOpening = false
    }
  }

  /** Closes it if it was opened. */
  async close(): Promise<void> {
    this.stopOpening()
    const opened = await this.#opened?.catch(() => undefined)
    await opened?.close()
  }
}
