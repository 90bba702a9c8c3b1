import type { HookName } from '../contract/plugin.ts'
import type { GatewayError } from '../contract/errors.ts'
import { asGatewayError, gatewayError } from '../contract/errors.ts'
import type { ExchangeState } from './exchange.ts'
import type { Step } from './plan.ts'
import type { PipelineServices } from './services.ts'

/** What a hook call needs of its surroundings; an exchange, or a call that is none yet. */
export interface HookScope {
  readonly services: PipelineServices
  readonly span?: ExchangeState['span']
  readonly ran?: string[] | undefined
  /** Hooks with a deadline that have not returned: settling waits for them, so that what they take is given back. */
  readonly running?: Set<Promise<unknown>>
}

/** What of a step matters to whoever calls it. */
export interface HookCall {
  readonly plugin: string
  readonly hook: HookName | 'explain'
  readonly timeoutMs: number
  readonly failure: 'closed' | 'open'
}

/**
 * Calls one hook: stamps what it throws with plugin and hook, holds its promise to the plugin's deadline, and makes a
 * span for it. A hook that returns no promise costs none. A failing hook of a plugin with `failure = "open"` is skipped
 * with a warning in the log; its refusals (a `GatewayError` below 500) still count.
 *
 * @throws GatewayError always with `plugin` and `hook` set
 */
export function callHook<T>(scope: HookScope, step: HookCall, invoke: () => T | Promise<T>): T | Promise<T> {
  scope.ran?.push(`${step.hook} ${step.plugin}`)
  let result: T | Promise<T>
  try {
    result = invoke()
  } catch (error) {
    return skipOrThrow(scope, step, error) as T
  }
  return isPromise(result) ? watch(scope, step, result) : result
}

/**
 * Calls a hook that stands around the rest of the pipeline. Its time is the upstream's: it has no deadline of its own. A
 * failure that came from inside is not the plugin's and gets no stamp. With `failure = "open"` a hook that fails before
 * it has called `inside` is skipped.
 */
export async function callAround<T, A extends readonly unknown[]>(
  scope: HookScope,
  step: Step<HookName>,
  inside: (...given: A) => Promise<T>,
  invoke: (inside: (...given: A) => Promise<T>) => Promise<T>,
): Promise<T> {
  scope.ran?.push(`${step.hook} ${step.plugin}`)
  const span = scope.services.telemetry.hookSpan(scope.span, step.plugin, step.hook)
  const failuresInside = new Set<unknown>()
  let calledInside = false
  let failure: unknown
  try {
    return await invoke(async (...given) => {
      calledInside = true
      try {
        return await inside(...given)
      } catch (error) {
        failuresInside.add(error)
        throw error
      }
    })
  } catch (error) {
    failure = error
    if (failuresInside.has(error)) throw error
    if (calledInside) throw stamp(error, step)
    skipOrThrow(scope, step, error)
  } finally {
    scope.services.telemetry.endHookSpan(span, failure)
  }
  return inside(...([] as unknown as A))
}

/** Makes a {@link GatewayError} of whatever a hook threw, and says where it came from. */
export function stamp(error: unknown, step: Pick<HookCall, 'plugin' | 'hook'>): GatewayError {
  const shown = asGatewayError(error)
  shown.plugin ??= step.plugin
  shown.hook ??= step.hook
  return shown
}

async function watch<T>(scope: HookScope, step: HookCall, result: Promise<T>): Promise<T> {
  const { telemetry, clock } = scope.services
  const span = telemetry.hookSpan(scope.span, step.plugin, step.hook)
  const startedMs = clock.monotonicMs()
  let failure: unknown
  let cancelDeadline: (() => void) | undefined
  const deadline = new Promise<never>((_, reject) => {
    cancelDeadline = clock.after(step.timeoutMs, () =>
      reject(
        gatewayError('internal_error', 'Internal error', {
          cause: new Error(`no result after ${step.timeoutMs} ms`),
        }),
      ),
    )
  })
  // The deadline ends the wait of settling too: a hook that never returns must not keep its exchange open.
  const returned = Promise.race([result, deadline])
  scope.running?.add(returned)
  try {
    return await returned
  } catch (error) {
    failure = error
    return skipOrThrow(scope, step, error) as T
  } finally {
    scope.running?.delete(returned)
    cancelDeadline?.()
    telemetry.endHookSpan(span, failure)
    telemetry.recordHook(step.plugin, step.hook, clock.monotonicMs() - startedMs, failure !== undefined)
  }
}

/** Handles the failure of a hook by the plugin's policy. */
export function skipOrThrow(scope: Pick<HookScope, 'services'>, step: HookCall, error: unknown): undefined {
  const stamped = stamp(error, step)
  if (step.failure === 'closed' || stamped.status < 500) throw stamped
  scope.services.logger.warn({ plugin: step.plugin, hook: step.hook, error: stamped }, 'plugin failed and was skipped')
  return undefined
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}
