import type { Clock, Logger } from '../contract/plugin.ts'
import { openDatabase } from '../services/database/index.ts'
import type { OpenedDatabase } from '../services/database/index.ts'

/** Which database a process has. */
export interface DatabaseSettings {
  /** Used and not closed. */
  readonly borrowed: OpenedDatabase | undefined
  readonly url: string | undefined
  readonly onProgress: (message: string) => void
  readonly clock: Clock
  readonly logger: Logger
}

/** Opens the database of a process: the one given, else that of the URL, else one in its data directory. */
export function databaseIn(
  dataDirectory: string,
  { borrowed, url, ...settings }: DatabaseSettings,
): (signal: AbortSignal) => Promise<OpenedDatabase> {
  return (signal) =>
    borrowed
      ? Promise.resolve(notOurs(borrowed))
      : openDatabase({ ...(url !== undefined && { url }), dataDirectory, ...settings, signal })
}

/** A database that is not ours to close. */
function notOurs(database: OpenedDatabase): OpenedDatabase {
  return {
    kind: database.kind,
    query: (sql, params) => database.query(sql, params),
    tx: (work, limits) => database.tx(work, limits),
    insertMany: (table, rows, insert) => database.insertMany(table, rows, insert),
    listen: (...input: Parameters<OpenedDatabase['listen']>) => database.listen(...input),
    notify: (channel, payload) => database.notify(channel, payload),
    healthy: () => database.healthy(),
    close: () => Promise.resolve(),
  }
}
