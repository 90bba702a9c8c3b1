import type { Clock, Journal, JsonObject, Logger, Run } from '../contract/plugin.ts'
import type { ReloadResult } from '../http/admin-routes.ts'
import type { Front } from '../http/front.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Pipeline } from '../pipeline/run.ts'
import type { ProviderInstance } from '../pipeline/services.ts'
import type { OpenedDatabase } from '../services/database/index.ts'
import { withSetupProblems } from './config-failure.ts'
import { loadConfig } from './config.ts'
import type { LoadedConfig } from './config.ts'
import { gatewayOf } from './gateway-instance.ts'
import type { MemoryPlugin, MemoryProvider } from './selection.ts'

/** What a gateway is made from. Everything has a default. */
export interface GatewayOptions {
  /** Path of the config file; default: HADRIAN_CONFIG, then `hadrian.toml` of the working directory, then no file. */
  readonly configFile?: string
  /** The content of a config file, parsed already, instead of a file. */
  readonly config?: JsonObject
  /** Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly workingDirectory?: string
  /** Default: HADRIAN_DATA_DIR, then `hadrian` in the user's data directory. */
  readonly dataDirectory?: string
  /** `inspect`: nothing will be started, so telemetry stays off. Default `run`. */
  readonly purpose?: 'run' | 'inspect'
  /** Told about steps of the start that may take seconds. */
  readonly onProgress?: (message: string) => void
  readonly overrides?: GatewayOverrides
}

/** Parts to use in place of the gateway's own, and packages that are in memory. */
export interface GatewayOverrides {
  readonly clock?: Clock
  readonly logger?: Logger
  /** Used and not closed: it belongs to the caller. */
  readonly database?: OpenedDatabase
  /** Used and not closed, in place of files in the data directory. */
  readonly journal?: Journal
  /** With what would stand under `[plugins.NAME]`. They replace installed packages of the same name, and are on. */
  readonly plugins?: readonly MemoryPlugin[]
  /** With what would stand under `[providers.INSTANCE]`. With any, the environment adds no providers. */
  readonly providers?: readonly MemoryProvider[]
}

/** What {@link Gateway.start} opens. */
export interface StartOptions {
  /** Listen on the public port. Default true. */
  readonly listen?: boolean
  /** Listen on the control socket in the data directory. Default false; the command line does. */
  readonly control?: boolean
}

/** A gateway, set up. What it says about its config is about the one in force: a reload replaces it. */
export interface Gateway {
  readonly loaded: LoadedConfig
  readonly plan: Plan
  readonly pipeline: Pipeline
  /** What the listening sockets call. */
  readonly app: Front
  readonly providers: ReadonlyMap<string, ProviderInstance>
  /** The core's services and those plugins provide. */
  readonly services: ReadonlyMap<string, unknown>
  readonly clock: Clock
  readonly logger: Logger
  /** Absolute path; made only when something is kept in it. */
  readonly dataDirectory: string
  readonly version: string
  /** Runs a request through the pipeline without HTTP. */
  readonly run: Run
  /**
   * Opens the database, migrates it, starts plugins in order, then listens. Only once.
   * @throws StartupError if something fails; everything is stopped then
   */
  start(options?: StartOptions): Promise<{ readonly url: string | undefined }>
  /** The number of the config in force, which each reload raises by one; 1 at the start. */
  readonly generation: number
  /**
   * Reads the config again, from the same file and environment, sets it up, starts its plugins and puts it in force for
   * whatever comes in from then on. What is open ends on the config it began with. The database, the journal, retained
   * values, sockets and telemetry stay. One at a time: a second call waits for the first, a third joins the second.
   *
   * @throws StartupError with everything that is wrong; the config in force then stays
   * @throws GatewayError `shutting_down`
   */
  reload(): Promise<ReloadResult>
  /**
   * Stops accepting, lets open exchanges end within `server.shutdown_timeout_ms`, aborts and settles the rest, stops
   * plugins in reverse order and closes everything. Calling it again waits for the same stop. Never rejects.
   */
  stop(): Promise<void>
}

/**
 * Makes a gateway: reads the config, loads packages, sets them up and compiles the plan. Nothing is opened or started.
 *
 * @throws StartupError with every mistake at once
 */
export async function createGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const { environment = process.env, overrides = {} } = options
  const workingDirectory = options.workingDirectory ?? process.cwd()
  const load = (configFile: string | undefined): Promise<LoadedConfig> =>
    loadConfig({
      environment,
      workingDirectory,
      ...(configFile !== undefined && { configFile }),
      ...(options.config && { config: options.config }),
      ...(overrides.plugins && { plugins: overrides.plugins }),
      ...(overrides.providers && { providers: overrides.providers }),
    })
  const loaded = await load(options.configFile).catch((error: unknown) =>
    withSetupProblems(error, async (usable) =>
      (await gatewayOf(usable, load, { ...options, purpose: 'inspect' })).stop(),
    ),
  )
  return gatewayOf(loaded, load, options)
}
