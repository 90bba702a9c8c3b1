import type { GenerateRequest, StreamEvent, Warning } from '../contract/canonical.ts'
import { gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import { readProviderPreferences } from '../contract/provider-preferences.ts'
import type { Decoder, HttpProvider, ServerSentEvent, Target, WireRequest } from '../contract/provider.ts'
import type { UpstreamRecord } from '../dialects/dialect.ts'
import { EventSplitter } from '../dialects/event-stream.ts'
import { passthroughBody } from '../dialects/passthrough.ts'
import type { AttemptRun } from './attempt.ts'
import { bareRecord } from './attempt.ts'
import { isLoss } from './losses.ts'
import { judgeTurn } from './guards.ts'
import { ProviderReply } from './provider-reply.ts'
import { openTransport } from './transport.ts'
import { callUpstream, readAll } from './upstream.ts'
import type { UpstreamBody } from './upstream.ts'

/** A whole answer with a few images in it stays below this; more is a runaway upstream. */
const answerLimitBytes = 256 * 1024 * 1024
/** What is read of a failed answer: enough for any message. */
const errorLimitBytes = 1024 * 1024

type Batches = AsyncGenerator<readonly UpstreamRecord[], void>

/**
 * Sends the request of an attempt and waits for the first event of its answer. The generator of the rest closes the
 * attempt when it ends, fails or is left.
 *
 * @throws GatewayError when the answer is a failure, or none comes
 */
export async function openAnswer(attempt: AttemptRun): Promise<ProviderReply> {
  const { provider } = attempt.instance
  const request = provider.prepare
    ? await provider.prepare(attempt.request, attempt.target, attempt.signal)
    : attempt.request
  if (request !== attempt.request) attempt.edit(() => request)
  const judging = judgeLast(attempt)
  if (judging) await judging
  if (provider.send) return started(attempt, undefined, openTransport(attempt, provider))

  const wire = await wireOf(attempt, provider)
  const { exchange, instance, target } = attempt
  attempt.markSent()
  const { status, headers, body } = await callUpstream({
    provider: target.provider,
    baseUrl: provider.baseUrl,
    wire,
    timeouts: instance.timeouts,
    signal: attempt.cancellation,
    clock: exchange.services.clock,
    connections: exchange.services.connections,
  })
  if (status >= 300) throw provider.decodeError(status, headers, await errorBodyOf(body, target.provider))
  const type = headers['content-type'] ?? ''
  if (type.startsWith('text/event-stream') || (type === '' && request.stream))
    return started(attempt, wire.dialect, streamed(attempt, body, provider.decoder(wire)))
  return whole(attempt, provider, wire, await readAll(body, target.provider, answerLimitBytes))
}

/**
 * Has the guardrails see what `attempt` hooks and the provider itself have put in: the file behind a URL, for one.
 *
 * @throws GatewayError of the guardrail that refuses
 */
function judgeLast(attempt: AttemptRun): Promise<void> | undefined {
  const judged = judgeTurn(attempt.exchange, attempt.request)
  return judged && takeJudged(attempt, judged)
}

async function takeJudged(attempt: AttemptRun, judged: NonNullable<ReturnType<typeof judgeTurn>>): Promise<void> {
  const { request, reply } = await judged
  if (reply) throw gatewayError('content_blocked', 'The content was blocked by policy')
  attempt.edit(() => request)
}

/** The request on the wire: the client's own bytes where nothing has to change, else what the provider makes of it. */
async function wireOf(attempt: AttemptRun, provider: HttpProvider): Promise<WireRequest> {
  const { exchange, target, request } = attempt
  const path = provider.capabilities.dialects[exchange.dialect]
  const passed =
    path === undefined || attempt.edited
      ? undefined
      : passthroughBody({
          bytes: exchange.inspected ? undefined : exchange.bytes,
          body: exchange.body,
          request,
          target,
          capabilities: provider.capabilities,
        })
  let wire: WireRequest
  if (passed !== undefined && path !== undefined)
    wire = { method: 'POST', path, headers: {}, body: passed, dialect: exchange.dialect }
  else {
    const encoded = provider.encode(request, target)
    if (request.provider) refuseLosses(request, target, encoded.warnings)
    for (const warning of encoded.warnings) exchange.warn(warning)
    wire = encoded.wire
  }
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: request.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'hadrian',
  }
  Object.assign(headers, wire.headers)
  if (attempt.span) Object.assign(headers, exchange.services.telemetry.traceHeaders(attempt.span))
  const authorized = provider.authorize({ ...wire, headers })
  const ready = authorized instanceof Promise ? await authorized : authorized
  attempt.hideCredentials(headers, ready.headers)
  return ready
}

/**
 * What a plugin has made of the request since it was routed may suffer a loss that nobody could foresee.
 *
 * @throws GatewayError `routing_error`, so that another target is tried
 */
function refuseLosses(request: GenerateRequest, target: Target, warnings: readonly Warning[]): void {
  if (readProviderPreferences(request).requireParameters !== true) return
  const loss = warnings.find(isLoss)
  if (!loss) return
  const removedBy = `provider.require_parameters: ${loss.param ?? loss.message}`
  throw gatewayError('routing_error', `${target.name} cannot take all of the request: ${loss.message}`, {
    param: 'provider.require_parameters',
    details: { candidates: [{ target: target.name, removed_by: removedBy }] },
    retryable: true,
  })
}

/** Waits for the first batch with an event in it, so that a failure before it can still move on to another target. */
async function started(attempt: AttemptRun, dialect: string | undefined, batches: Batches): Promise<ProviderReply> {
  const first: (readonly UpstreamRecord[])[] = []
  for (;;) {
    const { done, value } = await batches.next()
    if (done) break
    first.push(value)
    if (value.some(({ events }) => events.length > 0)) break
  }
  return new ProviderReply({ dialect, batches: new GuardedBatches(attempt, first, batches) })
}

/**
 * The batches of an answer; ending, failing or leaving the iteration closes the attempt. No generator, since every chunk
 * of every stream would pay for one more.
 */
class GuardedBatches implements AsyncIterableIterator<readonly UpstreamRecord[], void> {
  readonly #attempt: AttemptRun
  readonly #first: (readonly UpstreamRecord[])[]
  readonly #rest: Batches

  constructor(attempt: AttemptRun, first: (readonly UpstreamRecord[])[], rest: Batches) {
    this.#attempt = attempt
    this.#first = first
    this.#rest = rest
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<readonly UpstreamRecord[], void>> {
    const value = this.#first.shift()
    if (value) return { done: false, value }
    try {
      const result = await this.#rest.next()
      if (result.done) this.#attempt.close('aborted')
      return result
    } catch (error) {
      throw this.#attempt.fail(error)
    }
  }

  async return(): Promise<IteratorResult<readonly UpstreamRecord[], void>> {
    this.#first.length = 0
    try {
      await this.#rest.return()
    } catch (error) {
      throw this.#attempt.fail(error)
    } finally {
      this.#attempt.close('aborted')
    }
    return { done: true, value: undefined }
  }
}

/** Reads an event stream. The records that came in one piece from the socket are yielded together. */
async function* streamed(attempt: AttemptRun, body: UpstreamBody, decoder: Decoder): Batches {
  const splitter = new EventSplitter()
  let failure: GatewayError | undefined
  const batchOf = (messages: readonly ServerSentEvent[]): UpstreamRecord[] => {
    const batch: UpstreamRecord[] = []
    for (const message of messages) {
      const watched = attempt.watch(decode(attempt, () => decoder.push(message)))
      failure = watched.failure
      if (failure) {
        if (watched.events.length > 0) batch.push(bareRecord(watched.events))
        break
      }
      batch.push({ event: message.event, data: message.data, events: watched.events })
      if (message.data === '[DONE]') body.expectEnd()
    }
    return batch
  }
  try {
    for (let pieces = await body.read(); pieces; pieces = await body.read()) {
      const batch: UpstreamRecord[] = []
      for (const piece of pieces) {
        batch.push(...batchOf(split(attempt, () => splitter.push(piece))))
        if (failure) break
      }
      if (batch.length > 0) yield batch
      if (failure) throw failure
    }
    const batch = batchOf(split(attempt, () => splitter.end()))
    if (!failure) {
      const watched = attempt.watch(decode(attempt, () => decoder.end()))
      failure = watched.failure
      if (watched.events.length > 0) batch.push(bareRecord(watched.events))
    }
    if (batch.length > 0) yield batch
    if (failure) throw failure
    attempt.complete()
  } finally {
    body.leave()
  }
}

/** Reads a whole JSON answer. */
function whole(attempt: AttemptRun, provider: HttpProvider, wire: WireRequest, bytes: Buffer): ProviderReply {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw malformed(attempt, error)
  }
  const { events, failure } = attempt.watch(decode(attempt, () => provider.decode(value, wire)))
  if (failure) throw failure
  attempt.complete()
  return new ProviderReply({
    dialect: wire.dialect,
    whole: { bytes, value },
    batches: one([bareRecord(events)]),
  })
}

async function* one<T>(value: T): AsyncGenerator<T, void> {
  yield value
}

async function errorBodyOf(body: UpstreamBody, provider: string): Promise<unknown> {
  const text = await readAll(body, provider, errorLimitBytes).then(
    (bytes) => bytes.toString('utf8'),
    (error: unknown) => {
      // A cut body still leaves the status to tell; a client that left does not.
      if (isGatewayError(error) && error.code === 'request_cancelled') throw error
      return ''
    },
  )
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Decoders are total; one that throws all the same has met something that is no answer. */
function decode(attempt: AttemptRun, read: () => readonly StreamEvent[]): readonly StreamEvent[] {
  try {
    return read()
  } catch (error) {
    throw isGatewayError(error) ? error : malformed(attempt, error)
  }
}

function split(attempt: AttemptRun, read: () => readonly ServerSentEvent[]): readonly ServerSentEvent[] {
  try {
    return read()
  } catch (error) {
    throw malformed(attempt, error)
  }
}

function malformed(attempt: AttemptRun, cause: unknown): GatewayError {
  return gatewayError('provider_error', 'Upstream provider returned error: the answer is malformed', {
    cause,
    details: { provider: attempt.target.provider, upstream_status: 200, upstream_code: null },
    retryable: 'same',
  })
}
