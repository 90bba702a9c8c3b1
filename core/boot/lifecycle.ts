import type { Awaitable, Clock, Logger } from '../contract/plugin.ts'
import { firstLine, StartupError } from '../services/problems.ts'
import { withDeadline } from './deadline.ts'

/** Something with a beginning and an end: a plugin, a provider, the database. */
export interface Part {
  /** Shown in problems and logs: `plugins.auth`. */
  readonly name: string
  /** Deadline of its start, where that of all is too short. */
  readonly startTimeoutMs?: number
  /** The same for its stop. */
  readonly stopTimeoutMs?: number
  start?(): Awaitable<void>
  stop?(): Awaitable<void>
}

/** Starts parts in order and stops them in reverse order. */
export interface Lifecycle {
  /**
   * Starts every part in turn. When one fails, all parts are stopped, those that had not started too.
   * @throws StartupError naming the part
   */
  start(): Promise<void>
  /** Stops every part, whatever happens in the others. Calling it again waits for the same stop. Never rejects. */
  stop(): Promise<void>
}

/** Deadlines of {@link createLifecycle}. */
export interface LifecycleOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Deadline of each start; default 60 seconds. */
  readonly startTimeoutMs?: number
  /** Deadline of each stop; default 10 seconds. */
  readonly stopTimeoutMs?: number
}

/** Makes the lifecycle of these parts; nothing starts yet. */
export function createLifecycle(parts: readonly Part[], options: LifecycleOptions): Lifecycle {
  const { clock, logger, startTimeoutMs = 60_000, stopTimeoutMs = 10_000 } = options
  let started: Promise<void> | undefined
  let stopped: Promise<void> | undefined
  // Nobody waits for a start whose part is being stopped already.
  const stopping = Promise.withResolvers<never>()
  stopping.promise.catch(() => undefined)

  async function startAll(): Promise<void> {
    for (const part of parts) {
      if (stopped) throw interrupted(part)
      if (!part.start) continue
      try {
        await withDeadline(clock, part.startTimeoutMs ?? startTimeoutMs, () => part.start!(), stopping.promise)
      } catch (error) {
        const isInterrupted = stopped !== undefined
        await stop()
        if (isInterrupted) throw interrupted(part)
        if (error instanceof StartupError) throw error
        throw new StartupError([{ path: part.name, message: `start failed: ${firstLine(error)}` }], { cause: error })
      }
    }
  }

  async function stopAll(): Promise<void> {
    stopping.reject(new Error('the gateway was stopped while it started'))
    for (const part of parts.toReversed()) {
      if (!part.stop) continue
      try {
        await withDeadline(clock, part.stopTimeoutMs ?? stopTimeoutMs, () => part.stop!())
      } catch (error) {
        logger.error({ part: part.name, error }, 'stop failed')
      }
    }
  }

  function stop(): Promise<void> {
    stopped ??= stopAll()
    return stopped
  }

  return {
    start() {
      started ??= startAll()
      return started
    },
    stop,
  }
}

function interrupted({ name }: Part): StartupError {
  return new StartupError([{ path: name, message: 'the gateway was stopped while it started' }])
}
