import type { Clock, Logger } from '../contract/plugin.ts'
import { ConnectionPools } from '../pipeline/connections.ts'
import type { OpenedDatabase } from '../services/database/index.ts'
import type { OpenedJournal } from '../services/journal/index.ts'
import type { Telemetry } from '../services/telemetry.ts'
import { createTelemetry } from '../services/telemetry-start.ts'
import type { LoadedConfig } from './config.ts'
import { LazyDatabase } from './lazy-database.ts'
import { createLifecycle } from './lifecycle.ts'
import { RetainedValues } from './retained.ts'

/** What {@link createProcessParts} makes them from. */
export interface ProcessOptions {
  /** The config the process starts with. */
  readonly loaded: LoadedConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly openDatabase: (signal: AbortSignal) => Promise<OpenedDatabase>
  readonly journal: OpenedJournal
  /** Brings the tables of a plugin up to date. */
  readonly migrate: (database: OpenedDatabase, plugin: string, directory: URL) => Promise<unknown>
  /** The process's environment as far as telemetry goes: its `OTEL_*` variables. */
  readonly telemetryEnvironment: Readonly<Record<string, string | undefined>>
  readonly version: string
  readonly onProgress: (message: string) => void
}

/** What belongs to the process: a reload of the config neither closes it nor makes it anew. */
export interface ProcessParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly version: string
  readonly database: LazyDatabase
  readonly journal: OpenedJournal
  readonly retained: RetainedValues
  readonly telemetry: Telemetry
  readonly connectionPools: ConnectionPools
  /** Brings the tables of a plugin up to date, once in the life of the process. Opens the database. */
  migrate(plugin: string, directory: URL): Promise<void>
  /** Closes everything, when all plugins have stopped. Calling it again waits for the same. Never rejects. */
  stop(): Promise<void>
}

/** The values that plugins retain are closed one after the other, each with a deadline of its own. */
const retainedStopMs = 120_000

/** Makes the parts; the database is not opened. */
export async function createProcessParts(options: ProcessOptions): Promise<ProcessParts> {
  const { clock, logger, version, journal } = options
  const { server, telemetry: telemetryConfig } = options.loaded.config
  const telemetry = await createTelemetry({
    environment: options.telemetryEnvironment,
    metrics: server.metrics,
    serviceName: telemetryConfig.service_name,
    version,
  })
  const database = new LazyDatabase(options.openDatabase)
  const retained = new RetainedValues(clock, logger)
  const lifecycle = createLifecycle(
    [
      { name: 'telemetry', stop: () => telemetry.stop() },
      { name: 'database', stop: () => database.close() },
      { name: 'journal', stop: () => journal.close() },
      { name: 'retained', stopTimeoutMs: retainedStopMs, stop: () => retained.close() },
    ],
    { clock, logger },
  )
  const migrated = new Set<string>()
  return {
    clock,
    logger,
    version,
    database,
    journal,
    retained,
    telemetry,
    connectionPools: new ConnectionPools(),
    async migrate(plugin, directory) {
      const key = `${plugin} ${directory.href}`
      if (migrated.has(key)) return
      if (migrated.size === 0) options.onProgress('Opening the database')
      await options.migrate(await database.opened(), plugin, directory)
      migrated.add(key)
    },
    stop: () => lifecycle.stop(),
  }
}
