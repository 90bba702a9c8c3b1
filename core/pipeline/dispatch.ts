import type { GenerateRequest } from '../contract/canonical.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { BillableCall, Dispatch, Reply, Target } from '../contract/plugin.ts'
import { parseRetryAfter } from '../contract/upstream-error.ts'
import { mayUse } from '../services/access.ts'
import { AttemptRun } from './attempt.ts'
import { noTarget } from './candidates.ts'
import { mergeChoices } from './choices.ts'
import type { ExchangeState } from './exchange.ts'
import type { Step } from './plan.ts'
import { callAround, callHook } from './hooks.ts'
import { imagesOf } from './images.ts'
import { inputTokensCeiling } from './input-ceiling.ts'

/** Longest pause before the same target is tried again; an upstream that asks for more gets no second try from us. */
const longestPauseMs = 2_000
/** First pause, doubled for each further one; half of it is random, so that clients do not come back in step. */
const firstPauseMs = 250

/** Runs the `dispatch` hooks around the call of a provider. */
export function dispatch(exchange: ExchangeState): Promise<Reply> {
  const steps = exchange.steps('dispatch')
  if (steps.length === 0) return callProvider(exchange, exchange.request)
  const layer =
    (index: number, inherited: GenerateRequest | undefined): Dispatch =>
    (request = inherited) => {
      const step = steps[index]
      if (!step) return callProvider(exchange, request ?? exchange.request)
      return callAround(exchange, step, layer(index + 1, request), async (next) => {
        let calledNext = false
        const reply = await step.call(exchange, (changed) => {
          calledNext = true
          return next(changed)
        })
        if (!calledNext) exchange.answeredBy = step.plugin
        return reply
      })
    }
  return layer(0, undefined)()
}

/** Calls a provider: once, or once for each choice where a target gives one answer per call. */
function callProvider(exchange: ExchangeState, request: GenerateRequest): Promise<Reply> {
  const { providers } = exchange.services
  const choices = request.n ?? 1
  if (choices === 1 || exchange.targets.every(({ provider }) => providers.get(provider)?.provider.capabilities.choices))
    return callOnce(exchange, request)
  return callForEach(exchange, request, choices)
}

async function callForEach(exchange: ExchangeState, request: GenerateRequest, choices: number): Promise<Reply> {
  const { n: _, ...single } = request
  const calls = await Promise.allSettled(Array.from({ length: choices }, () => callOnce(exchange, single)))
  const failed = calls.find((call) => call.status === 'rejected')
  // Answers that have begun are left by settling the exchange, which closes their attempts.
  if (failed) throw failed.reason
  return mergeChoices(calls.flatMap((call) => (call.status === 'fulfilled' ? [call.value] : [])))
}

/** One billable call: reserves it, then tries targets until one answers. */
async function callOnce(exchange: ExchangeState, request: GenerateRequest): Promise<Reply> {
  requireTargets(exchange)
  const call = new PendingCall(exchange, request)
  for (const step of exchange.steps('reserve')) {
    exchange.throwIfOver()
    const result = callHook(exchange, step, () => step.call(exchange, call))
    if (result instanceof Promise) await result
  }
  requireTargets(exchange)
  return tryTargets(exchange, call)
}

class PendingCall implements BillableCall {
  readonly #exchange: ExchangeState
  readonly #asked: GenerateRequest
  #request: GenerateRequest
  #inputTokens: number | undefined
  #inputTokensCeiling: number | undefined

  constructor(exchange: ExchangeState, request: GenerateRequest) {
    this.#exchange = exchange
    this.#asked = exchange.request
    this.#request = request
  }

  get request(): GenerateRequest {
    return this.#request
  }

  /** The request is not what the client's bytes say. */
  get edited(): boolean {
    return this.#exchange.edited || this.#request !== this.#asked
  }

  get targets(): readonly Target[] {
    return this.#exchange.targets
  }

  get inputTokens(): number {
    this.#inputTokens ??= this.#exchange.estimateInputTokens(this.#request)
    return this.#inputTokens
  }

  get inputTokensCeiling(): number {
    this.#inputTokensCeiling ??= inputTokensCeiling(this.#request)
    return this.#inputTokensCeiling
  }

  get images(): number {
    return imagesOf(this.#request)
  }

  get outputTokens(): number | undefined {
    if (this.#request.maxOutputTokens !== undefined) return this.#request.maxOutputTokens
    const ceilings = this.targets.map(({ info }) => info?.maxOutputTokens)
    return ceilings.every((ceiling) => ceiling !== undefined) ? Math.max(...ceilings) : undefined
  }

  clamp(outputTokens: number, reason: string): void {
    const before = this.#request.maxOutputTokens
    if (before !== undefined && before <= outputTokens) return
    this.#request = { ...this.#request, maxOutputTokens: outputTokens }
    this.#exchange.warn({
      code: 'adjusted_value',
      param: 'max_tokens',
      message: `Output is limited to ${outputTokens} tokens: ${reason}`,
    })
  }
}

/**
 * Tries the targets in order, each until its first event: nothing has gone to the client before that. A failure that the
 * request itself caused ends it; the last failure is the one returned.
 */
async function tryTargets(exchange: ExchangeState, call: PendingCall): Promise<Reply> {
  const { routing, clock } = exchange.services
  let lastError: GatewayError | undefined
  let left = routing.maxAttempts
  const { targets } = exchange
  for (const [index, target] of targets.entries()) {
    let retries = index === targets.length - 1 ? routing.retries : 0
    for (let tries = 0; left > 0; tries++) {
      left--
      exchange.throwIfOver()
      const attempt = new AttemptRun(exchange, exchange.services.providers.get(target.provider)!, target, call)
      try {
        return await runAttempt(exchange, attempt)
      } catch (error) {
        lastError = error as GatewayError
        if (exchange.cancellation.aborted || lastError.retryable === false) throw lastError
      }
      if (lastError.retryable !== 'same' || retries-- === 0) break
      const pauseMs = pauseBefore(lastError, tries, clock.now())
      if (pauseMs === undefined) break
      await pause(exchange, pauseMs)
    }
  }
  throw lastError!
}

/**
 * Checks the targets once more, since a hook may have put in any.
 *
 * @throws GatewayError `routing_error` if none is left
 */
function requireTargets(exchange: ExchangeState): void {
  for (const target of exchange.targets) {
    const serves = exchange.services.providers
      .get(target.provider)
      ?.provider.capabilities.operations.includes(exchange.operation)
    if (!serves) exchange.exclude(target, 'operation')
    else if (!mayUse(exchange.principal, target)) exchange.exclude(target, 'access')
  }
  if (exchange.targets.length === 0) throw noTarget(exchange)
}

/** Runs the `attempt` hooks around one try. Any failure of theirs closes the attempt too. */
function runAttempt(exchange: ExchangeState, attempt: AttemptRun): Promise<Reply> {
  const steps = exchange.steps('attempt')
  return steps.length === 0 ? attempt.send() : runAround(exchange, attempt, steps)
}

async function runAround(
  exchange: ExchangeState,
  attempt: AttemptRun,
  steps: readonly Step<'attempt'>[],
): Promise<Reply> {
  const layer = (index: number): Promise<Reply> => {
    const step = steps[index]
    if (!step) return attempt.send()
    return callAround(
      exchange,
      step,
      () => layer(index + 1),
      async (next) => step.call(exchange, attempt, next),
    )
  }
  try {
    return await layer(0)
  } catch (error) {
    throw attempt.fail(error)
  }
}

/** Milliseconds to wait before another try of the same target; undefined if the upstream wants more than is reasonable. */
function pauseBefore(error: GatewayError, tries: number, nowMs: number): number | undefined {
  const wanted = error.headers['Retry-After']
  const wantedMs = wanted === undefined ? undefined : parseRetryAfter(wanted, nowMs)
  if (wantedMs !== undefined) return wantedMs <= longestPauseMs ? wantedMs : undefined
  const fullMs = Math.min(firstPauseMs * 2 ** tries, longestPauseMs)
  return fullMs / 2 + (Math.random() * fullMs) / 2
}

function pause(exchange: ExchangeState, delayMs: number): Promise<void> {
  const { signal } = exchange
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel()
      reject(signal.reason)
    }
    const cancel = exchange.services.clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
