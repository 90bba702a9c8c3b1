import type { Clock, JsonObject, Logger, Run } from '../contract/plugin.ts'
import { clientAddress } from '../http/address.ts'
import { createApp } from '../http/app.ts'
import type { App } from '../http/app.ts'
import { docsAsset } from '../http/docs.ts'
import { openApiDocument } from '../http/openapi.ts'
import { kernelRoutes } from '../http/routes.ts'
import { HttpServer } from '../http/server.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Pipeline } from '../pipeline/run.ts'
import type { ProviderInstance } from '../pipeline/services.ts'
import { systemClock } from '../services/clock.ts'
import { migrate, openDatabase } from '../services/database/index.ts'
import type { OpenedDatabase } from '../services/database/index.ts'
import { createLogger } from '../services/logger.ts'
import { StartupError } from '../services/problems.ts'
import { assemble } from './assemble.ts'
import { loadConfig } from './config.ts'
import type { LoadedConfig } from './config.ts'
import { controlSocketPath, openControlSocket } from './control-socket.ts'
import { dataDirectory, makeDataDirectory } from './data-directory.ts'
import { configSecrets } from './effective-config.ts'
import { gatewayVersion } from './packages.ts'
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

/** A gateway, set up. */
export interface Gateway {
  readonly loaded: LoadedConfig
  readonly plan: Plan
  readonly pipeline: Pipeline
  readonly app: App
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
  const { environment = process.env, overrides = {}, onProgress = () => undefined } = options
  const { clock = systemClock } = overrides
  const loaded = await loadConfig({
    environment,
    ...(options.configFile !== undefined && { configFile: options.configFile }),
    ...(options.config && { config: options.config }),
    ...(options.workingDirectory !== undefined && { workingDirectory: options.workingDirectory }),
    ...(overrides.plugins && { plugins: overrides.plugins }),
    ...(overrides.providers && { providers: overrides.providers }),
  })
  const { server, log, database } = loaded.config
  const secrets = configSecrets(loaded)
  const logger =
    overrides.logger ??
    createLogger({
      level: log.level,
      pretty: log.pretty ?? process.stderr.isTTY,
      secrets: () => secrets,
    })
  const directory = dataDirectory(options.dataDirectory, environment)
  const version = gatewayVersion()
  const assembly = await assemble({
    loaded,
    clock,
    logger,
    version,
    onProgress,
    migrate,
    telemetryEnvironment: options.purpose === 'inspect' ? {} : environment,
    openDatabase: () =>
      overrides.database
        ? Promise.resolve(borrowed(overrides.database))
        : openDatabase({
            ...(database.url !== undefined && { url: database.url }),
            dataDirectory: directory,
            logger,
            onProgress,
            clock,
          }),
  })
  const { plan, pipeline, providers, services, lifecycle } = assembly

  let stopped: Promise<void> | undefined
  let openApi: JsonObject | undefined
  const pluginRoutes = plan.plugins.flatMap(({ hooks }) => hooks.routes ?? [])
  const app = createApp({
    pipeline,
    routes: [
      ...kernelRoutes({
        catalog: pipeline.services.catalog,
        health: async () => ({ database: await assembly.database.healthy() }),
        isReady: () => stopped === undefined,
        openApi: () => (openApi ??= openApiDocument({ version, routes: pluginRoutes })),
        docs: docsAsset,
        prometheus: pipeline.services.telemetry.prometheus,
        version,
      }),
      ...pluginRoutes,
    ],
    bodyLimitBytes: server.body_limit_bytes,
    allowAnonymous: server.allow_anonymous,
    keepAliveIntervalMs: server.keep_alive_interval_ms,
    clientAddress: clientAddress(server.trusted_proxies),
  })
  const http = new HttpServer(app, pipeline)

  async function stopAll(): Promise<void> {
    try {
      await http.drain(server.shutdown_timeout_ms)
    } catch (error) {
      logger.error({ error }, 'the HTTP server did not close')
    }
    await lifecycle.stop()
    if ('flush' in logger && typeof logger.flush === 'function') logger.flush()
  }
  const stop = (): Promise<void> => (stopped ??= stopAll())

  return {
    loaded,
    plan,
    pipeline,
    app,
    providers,
    services,
    clock,
    logger,
    dataDirectory: directory,
    version,
    run: pipeline.run,
    async start({ listen = true, control = false } = {}) {
      if (control) makeDataDirectory(directory)
      await lifecycle.start()
      try {
        if (stopped) throw new StartupError([{ path: '', message: 'the gateway was stopped while it started' }])
        if (control) await openControlSocket(controlSocketPath(directory), (path) => http.listenLocal(path))
        if (!listen) return { url: undefined }
        const { url } = await listenOnPort(http, server.host, server.port)
        return { url }
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
  }
}

/** A database that is not ours to close. */
function borrowed(database: OpenedDatabase): OpenedDatabase {
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

async function listenOnPort(http: HttpServer, host: string, port: number): Promise<{ readonly url: string }> {
  try {
    return await http.listen(host, port)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
      EADDRINUSE: [
        `port ${port} is in use`,
        'Stop what listens there, or set PORT or server.port to another; 0 takes any that is free.',
      ],
      EACCES: [`port ${port} may not be used by this user`, 'Ports below 1024 need privileges: choose a higher one.'],
      EADDRNOTAVAIL: [`${host} is no address of this machine`, 'Set HOST or server.host; 0.0.0.0 means all addresses.'],
      ENOTFOUND: [`the host name ${host} is not known`, 'Set HOST or server.host; 0.0.0.0 means all addresses.'],
    }
    const [text, hint] = reasons[code] ?? [`cannot listen on ${host}:${port}: ${message}`, undefined]
    throw new StartupError([{ path: 'server', message: text, ...(hint !== undefined && { hint }) }], { cause: error })
  }
}
