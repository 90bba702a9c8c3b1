import { Pool } from 'pg'
import type { ClientConfig } from 'pg'
import type { Clock, Logger } from '../../contract/plugin.ts'
import { StartupError } from '../problems.ts'
import { connectionProblem } from './failures.ts'
import { PoolDatabase } from './pool-database.ts'
import type { OpenedDatabase } from './pool-database.ts'
import { PostgresListener } from './postgres-listener.ts'
import { within } from './time-limit.ts'
import { clientMarginMs, statementTimeoutMs } from './statement.ts'
import { describeUrl } from './url.ts'

/** Connections per gateway process. PostgreSQL allows 100 in all by default. */
const poolSize = 10
const connectTimeoutMs = 5000
const closeLimitMs = 5000
/** The oldest version the migrations are tested with, as `server_version_num` counts. */
const oldestVersion = 150_000

/**
 * Opens a PostgreSQL server by its URL.
 * @throws StartupError if it cannot be used, with what to do; the password is never in it
 */
export async function openPostgres(url: string, clock: Clock, logger: Logger): Promise<OpenedDatabase> {
  const config: ClientConfig = {
    connectionString: url,
    application_name: 'hadrian',
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: connectTimeoutMs,
  }
  const { place, user } = describeUrl(url)
  const pool = new Pool({
    ...config,
    max: poolSize,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + clientMarginMs,
    idleTimeoutMillis: 30_000,
  })
  // An error event without a listener ends the process: idle clients report to the pool, those in use themselves.
  pool.on('error', (error) => logger.warn({ reason: error.message }, 'an idle database connection was lost'))
  pool.on('connect', (client) => client.on('error', () => undefined))
  try {
    await checkVersion(pool, place)
  } catch (error) {
    await pool.end()
    throw error instanceof StartupError
      ? error
      : new StartupError([connectionProblem(error, place, user)], { cause: error })
  }
  const listener = new PostgresListener(config, clock, logger)
  return new PoolDatabase({
    kind: 'postgres',
    pool,
    clock,
    place,
    listen: (channel, callback, missed) => listener.listen(channel, callback, missed),
    async close() {
      await listener.close()
      await within(clock, closeLimitMs, pool.end())
    },
  })
}

async function checkVersion(pool: Pool, place: string): Promise<void> {
  const { rows } = await pool.query<{ number: number; version: string }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as version`,
  )
  const [found] = rows
  if (found !== undefined && found.number >= oldestVersion) return
  throw new StartupError([
    {
      path: 'database.url',
      message: `the database ${place} is PostgreSQL ${found?.version ?? 'of an unknown version'}`,
      hint: 'Hadrian needs PostgreSQL 15 or newer.',
    },
  ])
}
