import type { Clock, Logger } from '../../contract/plugin.ts'
import { systemClock } from '../clock.ts'
import { openEmbedded } from './embedded.ts'
import type { OpenedDatabase } from './pool-database.ts'
import { openPostgres } from './postgres.ts'

export { DatabaseUnavailableError } from './failures.ts'
export { ColumnTypes, insertMany } from './insert-many.ts'
export { lockDirectory } from './lock.ts'
export type { DirectoryLock } from './lock.ts'
export { migrate } from './migrate.ts'
export type { OpenedDatabase } from './pool-database.ts'

/** Which database {@link openDatabase} opens. */
export interface DatabaseOptions {
  /** A PostgreSQL server; without it the embedded database is used. */
  readonly url?: string
  /** Where the embedded database lives, in `database/`. Made if missing. */
  readonly dataDirectory: string
  readonly logger: Logger
  /** Told before something that takes seconds. */
  readonly onProgress?: (message: string) => void
  readonly clock?: Clock
  /** Gives up opening when it aborts. */
  readonly signal?: AbortSignal
}

/**
 * Opens the one database of the process. The same SQL works on both kinds, with the same types: `bigint` and `numeric`
 * as strings, `jsonb` parsed, `timestamptz` as `Date`, `bytea` as `Buffer`. `COPY FROM STDIN` is not supported.
 * @throws StartupError if it cannot be opened, with what to do about it
 */
export async function openDatabase(options: DatabaseOptions): Promise<OpenedDatabase> {
  const { url, dataDirectory, logger, onProgress = () => undefined, clock = systemClock, signal } = options
  signal?.throwIfAborted()
  if (url !== undefined && url !== '') return openPostgres(url, clock, logger)
  return openEmbedded(dataDirectory, clock, logger, onProgress, signal)
}
