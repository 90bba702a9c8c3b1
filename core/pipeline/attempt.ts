import type { FinishReason, GenerateRequest, StreamEvent, Usage } from '../contract/canonical.ts'
import type { GatewayError } from '../contract/errors.ts'
import { gatewayError, isGatewayError } from '../contract/errors.ts'
import type { Attempt, AttemptRecord, Target } from '../contract/plugin.ts'
import type { UpstreamRecord } from '../dialects/dialect.ts'
import { Cancellation } from '../services/cancellation.ts'
import type { ExchangeState } from './exchange.ts'
import { imagesOf } from './images.ts'
import { tokensOfBytes } from './input-estimate.ts'
import type { ProviderReply } from './provider-reply.ts'
import type { ProviderInstance } from './services.ts'
import { openAnswer } from './answer.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A shorter header would match ordinary words of a message. */
const shortestCredential = 8

/**
 * One try of one target: sends the request, watches every event of the answer go by, and says at the end what it used.
 * Whatever ends it (the answer's end, a failure, the client's leaving), it is closed once.
 */
export class AttemptRun implements Attempt {
  readonly exchange: ExchangeState
  readonly instance: ProviderInstance
  readonly target: Target
  readonly number: number
  readonly record: Mutable<AttemptRecord>
  readonly span: ReturnType<ExchangeState['services']['telemetry']['attemptSpan']>
  #request: GenerateRequest
  #edited: boolean
  #done: Promise<AttemptRecord> | undefined
  #resolveDone: ((record: AttemptRecord) => void) | undefined
  #usage: Usage | undefined
  #outputBytes = 0
  #plainHeaders: Readonly<Record<string, string>> | undefined
  #sentHeaders: Readonly<Record<string, string>> | undefined
  #begun = false
  #sent = false
  readonly cancellation = new Cancellation()
  readonly #onAbort = (): void => this.cancellation.abort(this.exchange.cancellation.reason)
  #finishReason: FinishReason | undefined
  #responseModel: string | undefined
  #responseId: string | undefined

  /** @param call the request of the dispatch call, and whether it differs from what the client sent */
  constructor(
    exchange: ExchangeState,
    target: Target,
    call: { readonly request: GenerateRequest; readonly edited: boolean; readonly hedge: boolean },
  ) {
    const { clock, telemetry, providers } = exchange.services
    const instance = providers.get(target.provider)!
    this.exchange = exchange
    this.instance = instance
    this.target = target
    this.number = exchange.attempts.length + 1
    this.#request = call.request
    this.#edited = call.edited
    this.record = { target, startedMs: clock.monotonicMs() }
    if (call.hedge) this.record.hedge = true
    this.span = telemetry.tracing
      ? telemetry.attemptSpan(exchange.span, {
          operation: exchange.operation,
          provider: target.provider,
          providerType: instance.type,
          model: target.model,
          stream: call.request.stream,
          request: call.request,
          number: this.number,
        })
      : undefined
    exchange.open(this)
    exchange.cancellation.addEventListener('abort', this.#onAbort)
  }

  get request(): GenerateRequest {
    return this.#request
  }

  get done(): Promise<AttemptRecord> {
    this.#done ??=
      this.record.outcome === undefined
        ? new Promise((resolve) => {
            this.#resolveDone = resolve
          })
        : Promise.resolve(this.record)
    return this.#done
  }

  /** The request is not what the client's own bytes say. */
  get edited(): boolean {
    return this.#edited
  }

  edit(change: (request: GenerateRequest) => GenerateRequest): void {
    const changed = change(this.#request)
    this.#edited ||= changed !== this.#request
    this.#request = changed
  }

  /** Calls the provider. Resolves at the first event of the answer; until then another target can still take over. */
  async send(): Promise<ProviderReply> {
    this.#begun = true
    try {
      return await openAnswer(this)
    } catch (error) {
      throw this.fail(error)
    }
  }

  /** The call of the provider has begun; not so where an `attempt` hook refused it before. */
  get begun(): boolean {
    return this.#begun
  }

  /** The answer of this attempt is the one that goes on to the client. */
  wins(): void {
    this.exchange.answering = this.record
    this.exchange.finishReason = this.#finishReason
  }

  /** Another attempt has answered first: ends this one and its upstream call. */
  loses(): void {
    this.fail(gatewayError('request_cancelled', 'Another attempt has answered first'))
  }

  /** Aborts when the exchange does, and when the attempt ends before its answer: then nobody reads it. */
  get signal(): AbortSignal {
    return this.cancellation.signal
  }

  /** The request is on its way: from now on the upstream may bill it. */
  markSent(): void {
    this.#sent = true
  }

  /**
   * Upstreams quote the credential they refuse, which is the operator's: what `authorize` has added to the headers is taken
   * out of what the client gets to see.
   */
  hideCredentials(plain: Readonly<Record<string, string>>, sent: Readonly<Record<string, string>>): void {
    this.#plainHeaders = plain
    this.#sentHeaders = sent
  }

  #credentials(): string[] {
    return Object.entries(this.#sentHeaders ?? {}).flatMap(([name, value]) => {
      const [credential = ''] = this.#plainHeaders?.[name] === value ? [] : value.split(' ').slice(-1)
      return credential.length >= shortestCredential ? [credential] : []
    })
  }

  /**
   * Looks at the events of one record.
   *
   * @returns the events to pass on, and the failure that an `error` event among them means
   */
  watch(events: readonly StreamEvent[]): { readonly events: readonly StreamEvent[]; readonly failure?: GatewayError } {
    let special = false
    for (const event of events) {
      switch (event.type) {
        case 'text':
          this.#outputBytes += bytesOf(event.text)
          break
        case 'reasoning':
          this.#outputBytes += bytesOf(event.text) + bytesOf(event.summary)
          break
        case 'tool_call':
          this.#outputBytes += bytesOf(event.arguments) + bytesOf(event.name)
          break
        case 'start':
          this.#responseModel ??= event.model
          this.#responseId ??= event.id
          break
        case 'usage':
          this.#usage = { ...this.#usage, ...event.usage }
          break
        case 'finish':
          special ||= event.reason === 'error'
          this.#finishReason = event.reason
          if (this.record.outcome === undefined) this.exchange.finishReason = event.reason
          break
        case 'warning':
        case 'error':
          special = true
          break
        case 'part':
          break
      }
    }
    if (events.length > 0) this.record.firstEventMs ??= this.exchange.services.clock.monotonicMs()
    return special ? this.#withoutSpecial(events) : { events }
  }

  /** The answer has ended by itself. Without a finish it was cut, however politely. */
  complete(): void {
    if (this.#finishReason === undefined && this.exchange.operation !== 'embeddings')
      throw this.#brokenOff('the answer ended before it was complete')
    this.close('completed')
  }

  /** Closes the attempt as failed, or as aborted if the client is why. Returns the error to throw. */
  fail(error: unknown): GatewayError {
    const { cancellation } = this.exchange
    const reason: unknown = cancellation.aborted && !isGatewayError(error) ? cancellation.reason : error
    const shown = isGatewayError(reason)
      ? reason
      : // A defect of one provider, which another does not have.
        gatewayError('internal_error', 'Internal error', { cause: error, retryable: true })
    for (const credential of this.#credentials()) shown.message = shown.message.replaceAll(credential, '[redacted]')
    this.close(shown.code === 'request_cancelled' ? 'aborted' : 'failed', shown)
    return shown
  }

  /** Ends the attempt: records outcome and usage. Only the first call counts. */
  close(outcome: 'completed' | 'failed' | 'aborted', error?: GatewayError): void {
    if (this.record.outcome !== undefined) return
    const { exchange, record, target } = this
    const { clock, telemetry } = exchange.services
    record.outcome = outcome
    exchange.cancellation.removeEventListener('abort', this.#onAbort)
    if (outcome !== 'completed')
      this.cancellation.abort(error ?? gatewayError('request_cancelled', 'The answer was left'))
    record.endedMs = clock.monotonicMs()
    if (error) record.error = error
    if (!this.#begun && outcome === 'failed') {
      this.#endRefused(error)
      return
    }
    const usage = this.#finalUsage(outcome, error)
    if (usage) {
      record.usage = usage
      exchange.charge(usage)
    }
    exchange.closed(this)
    const firstEventMs = record.firstEventMs === undefined ? undefined : record.firstEventMs - record.startedMs
    telemetry.recordAttempt({
      operation: exchange.operation,
      provider: target.provider,
      providerType: this.instance.type,
      model: target.model,
      outcome,
      ...(error && { errorCode: error.code }),
      durationMs: record.endedMs - record.startedMs,
      ...(firstEventMs !== undefined && { firstEventMs }),
      ...(usage && { usage }),
    })
    if (this.span)
      telemetry.endAttemptSpan(this.span, {
        ...(usage && { usage }),
        ...(this.#finishReason && { finishReason: this.#finishReason }),
        ...(this.#responseModel !== undefined && { responseModel: this.#responseModel }),
        ...(this.#responseId !== undefined && { responseId: this.#responseId }),
        ...(error && { error }),
        ...(firstEventMs !== undefined && { firstEventMs }),
      })
    this.#resolveDone?.(record)
  }

  /** A call that was refused before it began reached no provider: it is no attempt in any count. */
  #endRefused(error: GatewayError | undefined): void {
    this.exchange.refused(this)
    if (this.span) this.exchange.services.telemetry.endAttemptSpan(this.span, error ? { error } : {})
    this.#resolveDone?.(this.record)
  }

  /**
   * The provider's count, else an estimate that says so: of a complete answer, of what came before a cut, and of the
   * input of a call that was left while the upstream was at work. A count that came before the end of the answer is a
   * count so far, and at least what came is charged. A call that the upstream failed before it gave anything is free.
   */
  #finalUsage(outcome: 'completed' | 'failed' | 'aborted', error: GatewayError | undefined): Usage | undefined {
    const left = this.#sent && (outcome === 'aborted' || isOurEnding(error))
    const owed = outcome === 'completed' || this.#outputBytes > 0 || left
    const counted = this.#usage
    if (!counted && !owed) return undefined
    const isFinal = outcome === 'completed' || this.#finishReason !== undefined
    const { native: _, ...soFar } = counted ?? {}
    const usage: Usage =
      counted && isFinal
        ? counted
        : {
            ...soFar,
            inputTokens: counted?.inputTokens || this.exchange.estimateInputTokens(this.#request),
            outputTokens: Math.max(counted?.outputTokens ?? 0, tokensOfBytes(this.#outputBytes)),
            estimated: true,
          }
    const { catalog } = this.exchange.services
    const images = catalog.prices(this.target)?.image === undefined ? 0 : imagesOf(this.#request)
    const priced = images > 0 ? { ...usage, images } : usage
    const costMicros = catalog.price(this.target, priced)
    return costMicros === undefined ? usage : { ...priced, costMicros }
  }

  #brokenOff(what: string): GatewayError {
    return gatewayError('provider_error', `Upstream provider returned error: ${what}`, {
      details: { provider: this.target.provider, upstream_status: null, upstream_code: null },
      retryable: 'same',
    })
  }

  #withoutSpecial(events: readonly StreamEvent[]): {
    readonly events: readonly StreamEvent[]
    readonly failure?: GatewayError
  } {
    const kept: StreamEvent[] = []
    for (const event of events) {
      if (event.type === 'error') return { events: kept, failure: event.error }
      if (event.type === 'finish' && event.reason === 'error')
        return { events: kept, failure: this.#brokenOff('the model broke off') }
      if (event.type === 'warning') this.exchange.warn(event.warning)
      else kept.push(event)
    }
    return { events: kept }
  }
}

/** A record of a transport that has none: events alone. */
export function bareRecord(events: readonly StreamEvent[]): UpstreamRecord {
  return { data: '', events }
}

/** Whether the gateway ended a call that the upstream may have been at work on, and bills. */
function isOurEnding(error: GatewayError | undefined): boolean {
  if (error?.code === 'provider_timeout') return error.details?.['timeout'] !== 'connect'
  // A plugin that refuses an answer, or a prompt while the upstream is at work on it, ends the call too.
  return error?.code === 'shutting_down' || error?.plugin !== undefined
}

function bytesOf(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text)
}
