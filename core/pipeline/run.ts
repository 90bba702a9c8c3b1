import type { JsonObject } from '../contract/canonical.ts'
import { asGatewayError, errorBody, gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { HookName, Outcome, Run, RunResult } from '../contract/plugin.ts'
import type { CancelSignal } from '../services/cancellation.ts'
import { untilAborted } from '../services/until-aborted.ts'
import { openExchange } from './begin.ts'
import type { ModelCall } from './begin.ts'
import { expandCandidates } from './candidates.ts'
import { dispatch } from './dispatch.ts'
import type { ExchangeState } from './exchange.ts'
import { explain, unmeasured } from './explain.ts'
import { judgeAgain, noteJudged } from './guards.ts'
import { callHook } from './hooks.ts'
import type { Step } from './plan.ts'
import { respond } from './respond.ts'
import type { ReadyAnswer } from './respond.ts'
import type { PipelineServices } from './services.ts'
import { endingOf, Settlement } from './settle.ts'

/** Hooks between the known caller and the provider, in order. */
const requestHooks = ['authorize', 'admit', 'route', 'transform'] as const satisfies readonly HookName[]

/** Runs exchanges: the same for HTTP, background work, tool loops and tests. */
export class Pipeline {
  readonly services: PipelineServices
  readonly #open = new Set<ExchangeState>()
  #whenIdle: (() => void)[] = []

  constructor(services: PipelineServices) {
    this.services = services
  }

  /** The `run` service of plugins. */
  readonly run: Run = (request, principal, signal) =>
    this.execute({
      id: request.id ?? crypto.randomUUID(),
      operation: request.operation,
      dialect: request.dialect,
      headers: request.headers ?? {},
      principal,
      body: request.body,
      signal,
      startedMs: this.services.clock.monotonicMs(),
    })

  /**
   * Says what would become of a call, and does nothing of it: nothing is sent, counted, taken or charged. Only the hooks
   * that decide about access and targets run.
   *
   * @throws GatewayError what the call would be refused with before it reached a provider
   */
  async explain(call: ModelCall): Promise<JsonObject> {
    const exchange = openExchange(call, unmeasured(this.services))
    const untie = tie(exchange, call.signal)
    try {
      return await untilAborted(exchange.cancellation, explain(exchange))
    } finally {
      untie()
    }
  }

  /** Exchanges that are not settled yet. */
  get open(): number {
    return this.#open.size
  }

  /** Resolves when no exchange is open. */
  idle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  /** Ends every open exchange with this reason. */
  abortAll(reason: GatewayError): void {
    for (const exchange of this.#open) exchange.cancellation.abort(reason)
  }

  /**
   * Runs one exchange until its first piece is ready. Never rejects: a failure is a result with an error status and the
   * error as its JSON body. A stream that is not read to its end must be returned (`return()`), or its signal aborted.
   */
  async execute(call: ModelCall): Promise<RunResult> {
    let exchange: ExchangeState
    try {
      exchange = openExchange(call, this.services)
    } catch (error) {
      return this.#refuseEarly(call, error)
    }
    const settlement = new Settlement(exchange)
    const release = this.#track(exchange, settlement, call.signal)
    try {
      exchange.begin(expandCandidates(exchange.request, exchange.principal, this.services))
      // A plugin that does not heed the signal must not keep an exchange open that its client has left.
      const response = await untilAborted(exchange.cancellation, this.#respond(exchange, settlement))
      return { id: exchange.id, ...response, settled: settlement.done }
    } catch (error) {
      const ending = endingOf(exchange, error)
      await settlement.settle(ending)
      return {
        id: exchange.id,
        ...errorResponse(ending.error, exchange.requestId, exchange.responseHeaders),
        settled: settlement.done,
      }
    } finally {
      void settlement.done.then(release)
    }
  }

  /** Walks the request hooks until one answers, else asks a provider. */
  async #respond(exchange: ExchangeState, settlement: Settlement): Promise<ReadyAnswer> {
    for (const hook of requestHooks)
      for (const step of exchange.steps(hook)) {
        const result = callHook(exchange, step, () => step.call(exchange, exchange.paramsOf(step) as never))
        const reply = result instanceof Promise ? await result : result
        if (reply) {
          exchange.answeredBy = step.plugin
          return respond(exchange, reply, settlement)
        }
        if (hook === 'transform') noteJudged(exchange, step as Step<'transform'>)
        exchange.cancellation.throwIfAborted()
      }
    const reply = judgeAgain(exchange)
    return respond(exchange, (reply && (await reply)) ?? (await dispatch(exchange)), settlement)
  }

  /** Ties the exchange to its caller, and counts it until it is settled. */
  #track(exchange: ExchangeState, settlement: Settlement, signal: CancelSignal): () => void {
    this.#open.add(exchange)
    this.services.telemetry.exchangesOpen(1)
    const untie = tie(exchange, signal)
    return () => {
      untie()
      this.#open.delete(exchange)
      this.services.telemetry.exchangesOpen(-1)
      if (this.#open.size > 0) return
      for (const resolve of this.#whenIdle) resolve()
      this.#whenIdle = []
    }
  }

  /** A body that is no request: there is no exchange to settle, but there is one log line. */
  #refuseEarly(call: ModelCall, failure: unknown): RunResult {
    const { clock, logger } = this.services
    const error = asGatewayError(failure)
    const outcome: Outcome = {
      status: error.status < 500 ? 'refused' : 'failed',
      httpStatus: error.status,
      error,
      usage: undefined,
      attempts: [],
      purchases: [],
      streamed: false,
      startedAt: clock.now(),
      durationMs: clock.monotonicMs() - call.startedMs,
    }
    const fields = {
      exchange: call.id,
      request: call.requestId === call.id ? undefined : call.requestId,
      principal: call.principal.id,
      operation: call.operation,
      dialect: call.dialect,
      outcome: outcome.status,
      status: error.status,
      error_code: error.code,
      param: error.param,
    }
    if (error.status >= 500) logger.error({ ...fields, error }, 'exchange')
    else logger.info(fields, 'exchange')
    return { id: call.id, ...errorResponse(error, call.requestId ?? call.id), settled: Promise.resolve(outcome) }
  }
}

/** Ends the exchange when its caller goes away. Returns what unties them. */
function tie(exchange: ExchangeState, signal: CancelSignal): () => void {
  const onAbort = (): void => exchange.cancellation.abort(cancellation(signal.reason))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  return () => signal.removeEventListener('abort', onAbort)
}

function cancellation(reason: unknown): GatewayError {
  return isGatewayError(reason) ? reason : gatewayError('request_cancelled', 'The client went away', { cause: reason })
}

function errorResponse(
  error: GatewayError,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
): Pick<RunResult, 'status' | 'headers' | 'body'> {
  return {
    status: error.status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers, ...error.headers },
    body: JSON.stringify({ error: errorBody(error, requestId) }),
  }
}
