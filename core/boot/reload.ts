import { setImmediate as nextTurn } from 'node:timers/promises'
import { gatewayError } from '../contract/errors.ts'
import type { Logger } from '../contract/plugin.ts'
import type { ReloadResult } from '../http/admin-routes.ts'
import { describeProblem, StartupError } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import { lineRedactor } from '../services/redaction.ts'
import type { Secrets } from '../services/secrets.ts'
import { changedPaths, restartWarnings } from './config-changes.ts'
import type { LoadedConfig } from './config.ts'
import { configSecrets } from './effective-config.ts'
import type { Generation } from './generation.ts'
import type { Generations } from './generations.ts'

/** What {@link Reloads} works with. */
export interface ReloadOptions {
  readonly generations: Generations
  readonly secrets: Secrets
  readonly logger: Logger
  /** Reads the config anew, from where the running one came from. */
  readonly load: () => Promise<LoadedConfig>
  /** Sets it up. */
  readonly create: (number: number, loaded: LoadedConfig) => Promise<Generation>
  /** Puts in force what of a new config belongs to the process and can change: the level of the log. */
  readonly apply: (loaded: LoadedConfig) => void
  /** Makes forgetting the secrets of the first config possible. */
  readonly forgetFirst: () => void
}

/** Replaces the config of a running gateway, one at a time. */
export class Reloads {
  readonly #options: ReloadOptions
  readonly #started: LoadedConfig
  #running: Promise<ReloadResult> | undefined
  #next: Promise<ReloadResult> | undefined
  /** Set up, and not in force yet. */
  #candidate: Generation | undefined
  #forgetSecrets: () => void
  #stopping = false

  constructor(options: ReloadOptions) {
    this.#options = options
    this.#started = options.generations.current.loaded
    this.#forgetSecrets = options.forgetFirst
  }

  /**
   * Reads the config again and puts it in force. While one is under way, a second waits for it, since the file may have
   * changed meanwhile; a third is the same as the second.
   *
   * @throws StartupError with everything that is wrong; the running config then stays as it is
   * @throws GatewayError `shutting_down`
   */
  request(): Promise<ReloadResult> {
    if (!this.#running) return this.#begin()
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        return this.#begin()
      })
    return this.#next
  }

  /** Refuses what comes, gives up what is under way, and waits for its plugins to stop. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#candidate?.lifecycle.stop()
    await this.#running?.catch(() => undefined)
  }

  #begin(): Promise<ReloadResult> {
    const running = this.#replace().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }

  async #replace(): Promise<ReloadResult> {
    const { generations, secrets, logger, load, create, apply } = this.#options
    let forget: (() => void) | undefined
    try {
      this.#refuseIfStopping()
      const loaded = await load()
      forget = secrets.add(configSecrets(loaded))
      // Reading and setting up keep the event loop busy for a while each: requests get their turn between.
      await nextTurn()
      this.#refuseIfStopping()
      const next = await create(generations.current.number + 1, loaded)
      this.#candidate = next
      await nextTurn()
      this.#refuseIfStopping()
      await next.lifecycle.start()
      this.#refuseIfStopping()
      const previous = generations.current
      const changed = changedPaths(previous.loaded, loaded)
      const warnings = [...restartWarnings(this.#started, loaded), ...next.plan.warnings]
      apply(loaded)
      generations.replace(next, this.#forgetSecrets)
      this.#forgetSecrets = forget
      for (const warning of warnings) logger.warn({}, warning)
      logger.info({ generation: next.number, changed }, 'config reloaded')
      return { generation: next.number, changed, warnings }
    } catch (error) {
      await this.#candidate?.lifecycle.stop()
      const problems = error instanceof StartupError ? withoutSecrets(error.problems, secrets) : undefined
      const reported = problems ? new StartupError(problems) : error
      if (!this.#stopping)
        logger.error(
          problems ? { problems: problems.map(describeProblem) } : { error },
          'config not reloaded; the one in force stays',
        )
      forget?.()
      this.#refuseIfStopping()
      throw reported
    } finally {
      this.#candidate = undefined
    }
  }

  #refuseIfStopping(): void {
    if (this.#stopping) throw gatewayError('shutting_down', 'The gateway is stopping')
  }
}

/** A plugin that quotes its own options in what it throws must not show them to whoever asked for the reload. */
function withoutSecrets(problems: readonly Problem[], secrets: Secrets): readonly Problem[] {
  return JSON.parse(lineRedactor(() => secrets.all)(JSON.stringify(problems))) as readonly Problem[]
}
