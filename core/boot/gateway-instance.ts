import type { ReloadResult } from '../http/admin-routes.ts'
import { Front } from '../http/front.ts'
import { HttpServer } from '../http/server.ts'
import { systemClock } from '../services/clock.ts'
import { migrate } from '../services/database/index.ts'
import { createLogger } from '../services/logger.ts'
import type { LoggerSettings } from '../services/logger.ts'
import { StartupError } from '../services/problems.ts'
import { Secrets } from '../services/secrets.ts'
import { withSetupProblems } from './config-failure.ts'
import type { LoadedConfig } from './config.ts'
import { controlSocketPath, openControlSocket } from './control-socket.ts'
import { dataDirectory, makeDataDirectory } from './data-directory.ts'
import { databaseIn } from './database.ts'
import { within } from './deadline.ts'
import { configSecrets } from './effective-config.ts'
import type { Gateway, GatewayOptions, StartOptions } from './gateway.ts'
import { createGeneration } from './generation.ts'
import type { GatewayState, Generation } from './generation.ts'
import { Generations } from './generations.ts'
import { journalIn } from './journal.ts'
import { listenOnPort } from './listen.ts'
import { gatewayVersion } from './packages.ts'
import { createProcessParts } from './process-parts.ts'
import { Reloads } from './reload.ts'

/** A plugin whose setup hangs must not keep a process that stops while it reloads from ending. */
const reloadStopMs = 5_000

/**
 * Makes a gateway of a config that is read: sets up what it names and compiles the plan. Nothing is opened or started.
 *
 * @param load reads the config again, for a reload
 * @throws StartupError with every mistake at once
 */
export async function gatewayOf(
  loaded: LoadedConfig,
  load: (configFile: string | undefined) => Promise<LoadedConfig>,
  options: GatewayOptions,
): Promise<Gateway> {
  const { environment = process.env, overrides = {}, onProgress = () => undefined } = options
  const { clock = systemClock } = overrides
  const { file } = loaded
  const secrets = new Secrets(() => own?.flush())
  const forgetFirst = secrets.add(configSecrets(loaded))
  const own = overrides.logger ? undefined : createLogger({ ...logSettings(loaded), secrets: () => secrets.all })
  const logger = overrides.logger ?? own!
  const directory = dataDirectory(options.dataDirectory, environment)
  const version = gatewayVersion()
  const parts = await createProcessParts({
    loaded,
    clock,
    logger,
    version,
    onProgress,
    migrate,
    journal: journalIn(directory, {
      borrowed: overrides.journal,
      inspect: options.purpose === 'inspect',
      sync: loaded.config.journal.sync,
      clock,
      logger,
    }),
    telemetryEnvironment: options.purpose === 'inspect' ? {} : environment,
    openDatabase: databaseIn(directory, {
      borrowed: overrides.database,
      url: loaded.config.database.url,
      onProgress,
      clock,
      logger,
    }),
  })

  let started: Promise<{ readonly url: string | undefined }> | undefined
  let stopped: Promise<void> | undefined
  const state: GatewayState = { isStopping: () => stopped !== undefined, reload: () => reload() }
  const create = (number: number, config: LoadedConfig): Promise<Generation> =>
    createGeneration(number, config, parts, state)
  const generations = new Generations(
    await create(1, loaded).catch(async (error: unknown) => {
      await parts.stop()
      throw error
    }),
  )
  const front = new Front(() => generations.current.app)
  const http = new HttpServer(front, generations)
  const reloads = new Reloads({
    generations,
    secrets,
    logger,
    create,
    // A file that was there and is gone is a mistake; without this it would be a config of defaults.
    load: () =>
      load(file ?? options.configFile).catch((error: unknown) =>
        withSetupProblems(error, async (usable) => (await create(0, usable)).lifecycle.stop()),
      ),
    apply: (config) => own?.configure(logSettings(config)),
    forgetFirst,
  })

  async function reload(): Promise<ReloadResult> {
    if (!started) throw new Error('a gateway is started before its config can be reloaded')
    await started
    return reloads.request()
  }

  async function startAll({ listen = true, control = false }: StartOptions): Promise<{ url: string | undefined }> {
    const { lifecycle, loaded: config } = generations.current
    try {
      if (control) makeDataDirectory(directory)
      await lifecycle.start()
      if (stopped) throw new StartupError([{ path: '', message: 'the gateway was stopped while it started' }])
      if (control) await openControlSocket(controlSocketPath(directory), (path) => http.listenLocal(path))
      if (!listen) return { url: undefined }
      return await listenOnPort(http, config.config.server.host, config.config.server.port)
    } catch (error) {
      await stop()
      throw error
    }
  }

  async function stopAll(): Promise<void> {
    const reloading = reloads.stop()
    try {
      await http.drain(generations.current.loaded.config.server.shutdown_timeout_ms)
    } catch (error) {
      logger.error({ error }, 'the HTTP server did not close')
    }
    // What waits for a database that is just being made would hold up every other stop.
    parts.database.stopOpening()
    await generations.stop()
    await within(reloadStopMs, reloading)
    await parts.stop()
    if ('flush' in logger && typeof logger.flush === 'function') logger.flush()
  }
  const stop = (): Promise<void> => (stopped ??= stopAll())

  return {
    get loaded() {
      return generations.current.loaded
    },
    get plan() {
      return generations.current.plan
    },
    get pipeline() {
      return generations.current.pipeline
    },
    get providers() {
      return generations.current.providers
    },
    get services() {
      return generations.current.services
    },
    get generation() {
      return generations.current.number
    },
    app: front,
    clock,
    logger,
    dataDirectory: directory,
    version,
    run: (request, principal, signal) => generations.current.pipeline.run(request, principal, signal),
    start: (startOptions = {}) => (started ??= startAll(startOptions)),
    reload,
    stop,
  }
}

function logSettings({ config }: LoadedConfig): LoggerSettings {
  return { level: config.log.level, pretty: config.log.pretty ?? process.stderr.isTTY }
}
