import type { GatewayError } from '../contract/errors.ts'
import { gatewayError } from '../contract/errors.ts'
import type { Reply, Target } from '../contract/plugin.ts'
import { AttemptRun } from './attempt.ts'
import type { ExchangeState } from './exchange.ts'
import { besideOne } from './hedge.ts'
import type { EndedAttempt } from './hedge.ts'
import type { PendingCall } from './pending-call.ts'
import { runAttempt } from './run-attempt.ts'
import { TargetTurns } from './target-turns.ts'
import type { Turn } from './target-turns.ts'

/**
 * Tries the targets of a call until one gives the first event of its answer: nothing has gone to the client before that. A
 * failure that the request itself caused ends it.
 *
 * @throws GatewayError the last failure; `provider_unavailable` if every target was refused before it was called
 */
export async function tryTargets(exchange: ExchangeState, call: PendingCall): Promise<Reply> {
  const { targets, services } = exchange
  if (services.routing.hedgeAfterMs !== undefined) return new TargetTries(exchange, call, targets).run()
  exchange.throwIfOver()
  const attempt = new AttemptRun(exchange, targets[0]!, call)
  try {
    const reply = await runAttempt(exchange, attempt)
    attempt.wins()
    return reply
  } catch (error) {
    // Only now is there anything to keep account of.
    return new TargetTries(exchange, call, targets).goOn(attempt, error as GatewayError)
  }
}

/** The attempts of one call. */
class TargetTries {
  readonly #exchange: ExchangeState
  readonly #call: PendingCall
  readonly #turns: TargetTurns
  readonly #refusals: GatewayError[] = []
  #lastError: GatewayError | undefined
  #hasHedged = false

  constructor(exchange: ExchangeState, call: PendingCall, targets: readonly Target[]) {
    const { routing, clock } = exchange.services
    this.#exchange = exchange
    this.#call = call
    this.#turns = new TargetTurns(targets, routing, clock)
  }

  /** Goes on after a first attempt that has failed. */
  goOn(attempt: AttemptRun, error: GatewayError): Promise<Reply> {
    this.#turns.began(attempt.target)
    this.#failed(attempt, error)
    return this.run()
  }

  async run(): Promise<Reply> {
    for (let turn = this.#turns.next(); turn; turn = this.#turns.next()) {
      if (turn.waitMs > 0) await pause(this.#exchange, turn.waitMs)
      this.#exchange.throwIfOver()
      const reply = await this.#try(turn)
      if (reply) return reply
    }
    throw this.#lastError ?? unavailable(this.#refusals)
  }

  /** Undefined if it failed and another may follow. */
  async #try(turn: Turn): Promise<Reply | undefined> {
    const attempt = this.#begin(turn.target, this.#call)
    const [winner, ...failures] = await this.#endsOf(attempt)
    if (attempt.begun) this.#record(turn)
    if (winner) {
      winner.attempt.wins()
      return winner.reply
    }
    for (const { attempt: failed, error } of failures) this.#failed(failed, error)
    return undefined
  }

  #begin(target: Target, call: PendingCall): AttemptRun {
    const attempt = new AttemptRun(this.#exchange, target, call)
    this.#turns.began(target)
    return attempt
  }

  async #endsOf(attempt: AttemptRun): Promise<EndedAttempt> {
    const { hedgeAfterMs } = this.#exchange.services.routing
    if (hedgeAfterMs === undefined || this.#hasHedged || !this.#turns.spare()) {
      try {
        return [{ attempt, reply: await runAttempt(this.#exchange, attempt) }]
      } catch (error) {
        return [undefined, { attempt, error: error as GatewayError }]
      }
    }
    return besideOne(this.#exchange, {
      attempt,
      afterMs: hedgeAfterMs,
      call: this.#call,
      target: () => this.#turns.spare(),
      begin: (target, call) => {
        this.#hasHedged = true
        return this.#begin(target, call)
      },
    })
  }

  /** @throws the error, if nothing may follow it */
  #failed(attempt: AttemptRun, error: GatewayError): void {
    if (attempt.begun) {
      this.#lastError = error
      this.#turns.failed(attempt.target, error)
    } else {
      this.#refusals.push(error)
      this.#turns.refused(attempt.target)
    }
    if (this.#exchange.cancellation.aborted || error.retryable === false) throw error
  }

  #record({ kind, target }: Turn): void {
    const { telemetry } = this.#exchange.services
    if (kind === 'retry') telemetry.recordRetry(target.provider)
    else if (kind === 'fallback') telemetry.recordFallback(target.provider)
  }
}

/** What to say when every target was refused before it was called: the soonest of the times to come back. */
function unavailable(refusals: readonly GatewayError[]): GatewayError {
  const timed = refusals.flatMap((refusal) => {
    const seconds = refusal.details?.['retry_after_secs']
    return typeof seconds === 'number' ? [{ refusal, seconds }] : []
  })
  const [first, ...others] = timed
  if (!first) return refusals.at(-1)!
  const { refusal, seconds } = others.reduce(
    (soonest, each) => (each.seconds < soonest.seconds ? each : soonest),
    first,
  )
  const error = gatewayError(
    'provider_unavailable',
    refusals.length === 1 ? refusal.message : 'No target can take the request at the moment',
    {
      details: { ...refusal.details, retry_after_secs: seconds },
      headers: { ...refusal.headers, 'Retry-After': String(Math.ceil(seconds)) },
      cause: refusal.cause,
    },
  )
  if (refusal.plugin !== undefined) error.plugin = refusal.plugin
  if (refusal.hook !== undefined) error.hook = refusal.hook
  return error
}

function pause(exchange: ExchangeState, delayMs: number): Promise<void> {
  const { cancellation } = exchange
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel()
      reject(cancellation.reason)
    }
    const cancel = exchange.services.clock.after(delayMs, () => {
      cancellation.removeEventListener('abort', onAbort)
      resolve()
    })
    if (cancellation.aborted) onAbort()
    else cancellation.addEventListener('abort', onAbort)
  })
}
