import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pool } from 'pg'
import type { PoolConfig } from 'pg'
import type { Clock, Logger } from '../../contract/plugin.ts'
import { StartupError } from '../problems.ts'
import { Channels } from './channels.ts'
import { EmbeddedSocket } from './embedded-socket.ts'
import { lockDirectory } from './lock.ts'
import { PoolDatabase } from './pool-database.ts'
import type { OpenedDatabase } from './pool-database.ts'
import { clientMarginMs, statementTimeoutMs } from './statement.ts'

const closeLimitMs = 10_000

/**
 * Opens PGlite in a worker thread, with its files in `dataDirectory/database`; a lock keeps other processes out.
 * @param onProgress told before the slow first start
 * @param signal gives up while it is being opened
 * @throws StartupError if the directory is in use, or its files cannot be read
 */
export async function openEmbedded(
  dataDirectory: string,
  clock: Clock,
  logger: Logger,
  onProgress: (message: string) => void,
  signal?: AbortSignal,
): Promise<OpenedDatabase> {
  const lock = lockDirectory(dataDirectory, 'database')
  const directory = join(dataDirectory, 'database')
  const channels = new Channels(logger)
  let socket: EmbeddedSocket | undefined
  const pool = new Pool({
    // PGlite is a single session: the pool's queue is what keeps transactions apart.
    max: 1,
    idleTimeoutMillis: 0,
    query_timeout: statementTimeoutMs + clientMarginMs,
    // Said here so that libpq's variables of the environment (PGSSLMODE, PGOPTIONS) cannot reach it.
    ssl: false,
    host: 'localhost',
    port: 5432,
    user: 'postgres',
    database: 'postgres',
    options: '-c search_path=public',
    stream: () => (socket = new EmbeddedSocket(directory, socket?.exited)),
    // oxlint-disable-next-line no-misused-promises -- the pool waits for it; its types do not say so
    async onConnect(client) {
      client.on('error', () => undefined)
      client.on('notification', ({ channel, payload }) => channels.deliver(channel, payload ?? ''))
      client.once('end', () => channels.detach())
      // Later ones wait for their turn: a LISTEN inside somebody's transaction would be rolled back with it.
      await channels.attach(
        (sql) => client.query(sql),
        (sql) => pool.query(sql),
      )
    },
  } satisfies PoolConfig)
  pool.on('error', (error) => logger.error({ error: error.message }, 'the embedded database stopped'))

  const close = async (): Promise<void> => {
    channels.detach()
    const ended = pool.end().then(() => socket?.exited)
    const cancel = clock.after(closeLimitMs, () => socket?.destroy())
    await ended.finally(() => cancel())
    lock.release()
  }

  const giveUp = (): void => void socket?.destroy(signal?.reason as Error)
  signal?.addEventListener('abort', giveUp)
  try {
    await create(dataDirectory, directory, pool, onProgress)
  } catch (error) {
    await close()
    throw error instanceof StartupError ? error : new StartupError([openingProblem(directory, error)], { cause: error })
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
  return new PoolDatabase({
    kind: 'embedded',
    pool,
    clock,
    place: `in ${directory}`,
    listen: (channel, callback, missed) => channels.subscribe(channel, callback, missed),
    close,
  })
}

/** The first query, which starts the thread. What an interrupted first start left behind holds no data: it goes. */
async function create(
  dataDirectory: string,
  directory: string,
  pool: Pool,
  onProgress: (message: string) => void,
): Promise<void> {
  const creating = join(dataDirectory, 'database.creating')
  if (existsSync(creating)) rmSync(directory, { recursive: true, force: true })
  const isNew = !existsSync(join(directory, 'PG_VERSION'))
  if (isNew) {
    onProgress('Creating the embedded database (first start, a few seconds)')
    writeFileSync(creating, '')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }
  await pool.query('select 1')
  if (isNew) rmSync(creating)
}

function openingProblem(directory: string, error: unknown): { path: string; message: string; hint: string } {
  return {
    path: directory,
    message: `cannot open the embedded database: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'If its files are damaged, move the directory away or restore a backup; the next start makes a new one.',
  }
}
