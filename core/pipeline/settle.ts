import type { Outcome } from '../contract/plugin.ts'
import type { GatewayError } from '../contract/errors.ts'
import { asGatewayError } from '../contract/errors.ts'
import type { ExchangeState } from './exchange.ts'
import { callHook } from './hooks.ts'

/** How an exchange ended, as far as the caller knows. */
export interface Ending {
  readonly status: Outcome['status']
  readonly httpStatus: number
  readonly error?: GatewayError | undefined
}

/**
 * Settles an exchange exactly once, whoever comes first: its completion, a failure, a refusal or the client's leaving.
 * Every active plugin's `settle` runs, in reverse order, each guarded and held to its deadline. Later calls wait for the
 * first and return its outcome.
 */
export class Settlement {
  readonly #exchange: ExchangeState
  #begun = false
  readonly done: Promise<Outcome>
  #resolve!: (outcome: Outcome) => void

  constructor(exchange: ExchangeState) {
    this.#exchange = exchange
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** The exchange has ended; its `settle` hooks may still be running. */
  get begun(): boolean {
    return this.#begun
  }

  settle(ending: Ending): Promise<Outcome> {
    if (!this.#begun) {
      // Set first: ending the attempts makes those fail that wait for them, and they settle too.
      this.#begun = true
      void this.#run(ending)
    }
    return this.done
  }

  async #run(ending: Ending): Promise<void> {
    const exchange = this.#exchange
    const { services } = exchange
    // An attempt whose stream was cut here still has to say what it used.
    exchange.end(ending.error)
    if (exchange.isRunning) await Promise.allSettled(exchange.running)
    const outcome = outcomeOf(exchange, ending)
    for (const step of exchange.steps('settle')) {
      try {
        const result = callHook(exchange, step, () => step.call(exchange, outcome))
        if (result instanceof Promise) await result
      } catch (error) {
        services.logger.error({ exchange: exchange.id, plugin: step.plugin, hook: 'settle', error }, 'settle failed')
      }
    }
    try {
      report(exchange, outcome)
    } finally {
      this.#resolve(outcome)
    }
  }
}

function outcomeOf(exchange: ExchangeState, { status, httpStatus, error }: Ending): Outcome {
  const { clock } = exchange.services
  const answered = exchange.answering ?? exchange.attempts.findLast((attempt) => attempt.outcome !== 'failed')
  const target = exchange.answeredBy === undefined ? answered?.target : undefined
  const plugin = exchange.answeredBy ?? error?.plugin
  return {
    status,
    httpStatus,
    ...(error && { error }),
    usage: exchange.usage,
    ...(target && { target }),
    attempts: exchange.attempts,
    purchases: exchange.purchases,
    ...(exchange.finishReason !== undefined && { finishReason: exchange.finishReason }),
    ...(plugin !== undefined && { plugin }),
    streamed: exchange.request.stream,
    startedAt: exchange.startedAt,
    durationMs: clock.monotonicMs() - exchange.startedMs,
    ...(exchange.firstEventMs !== undefined && { firstEventMs: exchange.firstEventMs - exchange.startedMs }),
  }
}

/** The one log line of an exchange, and its metrics. Never prompts, never answers. */
function report(exchange: ExchangeState, outcome: Outcome): void {
  const { logger, telemetry } = exchange.services
  const { usage, target, error } = outcome
  const provider = target?.provider
  telemetry.recordExchange({
    operation: exchange.operation,
    dialect: exchange.dialect,
    ...(target && { provider: target.provider, model: target.model }),
    outcome: outcome.status,
    httpStatus: outcome.httpStatus,
    ...(error && { errorCode: error.code }),
    durationMs: outcome.durationMs,
    ...(outcome.firstEventMs !== undefined && { firstEventMs: outcome.firstEventMs }),
    streamed: outcome.streamed,
  })
  const fields = {
    exchange: exchange.id,
    request: exchange.requestId === exchange.id ? undefined : exchange.requestId,
    principal: exchange.principal.id,
    operation: exchange.operation,
    dialect: exchange.dialect,
    requested: exchange.request.model,
    provider,
    model: target?.model,
    outcome: outcome.status,
    status: outcome.httpStatus,
    streamed: outcome.streamed,
    attempts: exchange.attempts.length,
    input_tokens: usage?.inputTokens,
    output_tokens: usage?.outputTokens,
    cost_micros: usage?.costMicros,
    estimated: usage?.estimated,
    finish_reason: outcome.finishReason,
    duration_ms: Math.round(outcome.durationMs),
    first_event_ms: outcome.firstEventMs === undefined ? undefined : Math.round(outcome.firstEventMs),
    plugin: outcome.plugin,
    error_code: error?.code,
    warnings:
      exchange.warnings.length > 0
        ? [...new Set(exchange.warnings.map(({ code, param }) => (param ? `${code} ${param}` : code)))]
        : undefined,
  }
  if (error?.code === 'internal_error' || error?.code === 'database_unavailable')
    logger.error({ ...fields, error }, 'exchange')
  else if (outcome.status === 'failed') logger.warn({ ...fields, ...failureFields(error) }, 'exchange')
  else logger.info(fields, 'exchange')
}

/** What the log may tell of a failure: an upstream's message may quote the prompt, and a parser's the answer. */
function failureFields(error: GatewayError | undefined): object {
  if (error?.code !== 'provider_error') return { error }
  const { cause, details } = error
  return {
    upstream_status: details?.['upstream_status'],
    upstream_code: details?.['upstream_code'],
    ...(cause !== undefined && !(cause instanceof SyntaxError) && { cause }),
  }
}

/** What an answer's failure means for the exchange. */
export function endingOf(exchange: ExchangeState, failure: unknown): Ending & { readonly error: GatewayError } {
  const error = asGatewayError(failure)
  const left =
    exchange.cancellation.aborted &&
    (exchange.cancellation.reason as { code?: string } | undefined)?.code === 'request_cancelled'
  if (left) return { status: 'aborted', httpStatus: 499, error }
  const refused = exchange.attempts.length === 0 && error.status < 500
  return { status: refused ? 'refused' : 'failed', httpStatus: error.status, error }
}
