/** The usage-log plugin driven by hand: exchanges that end as a test says, in a real database. */
import type { AttemptRecord, Exchange, Journal, JsonObject, Outcome, Principal, Row, Usage } from '@hadrian/core/plugin'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { memoryJournal } from '../../core/testing/index.ts'
import { everyone } from '../../plugins/usage-log/columns.ts'
import usageLog from '../../plugins/usage-log/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { pluginInstance } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

export const silent = { debug() {}, info() {}, warn() {}, error() {} }
export const target = { provider: 'openai', model: 'gpt-4o', name: 'openai/gpt-4o', requested: 'gpt-4o' }
export const usage: Usage = {
  inputTokens: 100,
  outputTokens: 20,
  cachedInputTokens: 60,
  cacheWriteTokens: 5,
  reasoningTokens: 7,
  audioInputTokens: 3,
  audioOutputTokens: 2,
  images: 1,
  costMicros: 1234,
  reportedCostMicros: 1200,
}
/** What a database that is away says. */
export const away = Object.assign(new Error('The database cannot be reached'), { code: 'database_unavailable' })

/** How an exchange ended; the rest is that of a completed one with one attempt. */
export interface Ended {
  readonly id?: string
  readonly principal?: Principal
  readonly requestedModel?: string
  readonly requestPlugins?: readonly string[]
  readonly outcome?: Partial<Outcome>
}

/** Tells the plugin of an exchange that has ended, and returns the id of the exchange. */
export function settle(instance: Pick<PluginInstance, 'hooks' | 'clock'>, ended: Ended = {}): string {
  const { id = crypto.randomUUID(), principal = { id: 'key-1' }, requestedModel = 'gpt-4o', outcome } = ended
  const exchange = {
    id,
    operation: 'generate',
    dialect: 'chat',
    principal,
    request: { model: requestedModel, messages: [{ content: 'a secret prompt' }] },
    requestPlugins: ended.requestPlugins ?? [],
  }
  void instance.hooks.settle?.(exchange as unknown as Exchange, {
    status: 'completed',
    httpStatus: 200,
    usage,
    purchases: [],
    target,
    attempts: [attempt()],
    finishReason: 'stop',
    streamed: true,
    startedAt: instance.clock.now(),
    durationMs: 41.6,
    firstEventMs: 5.4,
    ...outcome,
  })
  return id
}

/** An attempt that completed. */
export function attempt(fields: Partial<AttemptRecord> = {}): AttemptRecord {
  return { target, startedMs: 10, firstEventMs: 15, endedMs: 40, outcome: 'completed', usage, ...fields }
}

/** Databases and instances of one test file, closed together. */
export class UsageTests {
  readonly #opened: OpenedDatabase[] = []
  readonly #instances: PluginInstance[] = []
  #server: PostgresServer | undefined
  #embedded: Promise<OpenedDatabase> | undefined

  get server(): Promise<PostgresServer> {
    return this.#server ? Promise.resolve(this.#server) : startPostgres().then((server) => (this.#server = server))
  }

  /** A database of its own in a real PostgreSQL, or the one with this URL. */
  async connect(url?: string): Promise<OpenedDatabase> {
    const server = await this.server
    return this.#keep(
      await openDatabase({ url: url ?? (await server.createDatabase()), dataDirectory: '', logger: silent }),
    )
  }

  /** The embedded database, one for the whole file. */
  embedded(): Promise<OpenedDatabase> {
    this.#embedded ??= preparedDataDirectory()
      .then((dataDirectory) => openDatabase({ dataDirectory, logger: silent }))
      .then((database) => this.#keep(database))
    return this.#embedded
  }

  /** Sets the plugin up and starts it. */
  async start(
    database: OpenedDatabase,
    options: JsonObject = {},
    services: { readonly journal?: Journal; readonly retain?: unknown } = {},
  ): Promise<PluginInstance> {
    const instance = await pluginInstance(usageLog, database, options, {
      journal: memoryJournal(),
      retain: (_name: string, create: () => unknown) => create(),
      ...services,
    })
    this.#instances.push(instance)
    await instance.hooks.start?.()
    return instance
  }

  async close(): Promise<void> {
    for (const { hooks } of this.#instances) await hooks.stop?.()
    for (const database of this.#opened) await database.close()
    await this.#server?.stop()
  }

  #keep(database: OpenedDatabase): OpenedDatabase {
    this.#opened.push(database)
    return database
  }
}

/** Exchanges with their callers, the oldest first. */
export function rows(database: OpenedDatabase): Promise<Row[]> {
  return database.query(
    `select e.*, c.principal_id from usage_log_exchanges e join usage_log_callers c on c.id = e.caller_id
     order by started_at, e.id`,
  )
}

/** How often rows were written, and how many each time, as far as the instance knows. */
export function writes({ database }: PluginInstance): number {
  return database.statements.filter((sql) => sql.includes('insert into usage_log_exchanges')).length
}

/** What the rollups say of a caller, or of all of them, in the order of their keys. */
export async function rollups(
  database: OpenedDatabase,
  whose: 'each' | 'everyone' = 'each',
): Promise<{ readonly hours: Row[]; readonly days: Row[] }> {
  const read = (table: string): Promise<Row[]> =>
    database.query(`select * from ${table} where (caller_id = $1) = $2 order by at, caller_id, provider, model`, [
      everyone,
      whose === 'everyone',
    ])
  return { hours: await read('usage_log_hours'), days: await read('usage_log_days') }
}
