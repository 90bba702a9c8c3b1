import { errorBody, gatewayError } from '../contract/errors.ts'
import type { Reply } from '../contract/plugin.ts'
import type { StreamWriter } from '../dialects/dialect.ts'
import { dialects } from '../dialects/index.ts'
import { answerHeaders } from './answer-headers.ts'
import type { ExchangeState } from './exchange.ts'
import { ProviderReply } from './provider-reply.ts'
import { mapped } from './mapped.ts'
import { clientEvents, contextOf, endOf, observe } from './reply-events.ts'
import type { ReadyAnswer } from './respond.ts'
import { hasResponseHooks } from './response-hooks.ts'
import { endingOf } from './settle.ts'
import type { Settlement } from './settle.ts'

/** The answer as a stream. Resolves when its first piece is ready; throws what went wrong before. */
export async function respondStream(
  exchange: ExchangeState,
  reply: Reply,
  settlement: Settlement,
): Promise<ReadyAnswer> {
  const pieces = streamPieces(exchange, reply, settlement)
  const first = await pieces.next()
  return {
    status: reply.status,
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      ...answerHeaders(exchange),
      ...exchange.responseHeaders,
      ...reply.headers,
    },
    stream: new SettledStream(first, pieces, exchange, settlement),
  }
}

/**
 * A stream that settles its exchange when it is left before its end, even before it was begun, and when the exchange is
 * aborted while nobody pulls.
 */
class SettledStream implements AsyncIterableIterator<string> {
  #first: IteratorResult<string, void> | undefined
  readonly #rest: AsyncGenerator<string, void>
  readonly #exchange: ExchangeState
  readonly #settlement: Settlement

  constructor(
    first: IteratorResult<string, void>,
    rest: AsyncGenerator<string, void>,
    exchange: ExchangeState,
    settlement: Settlement,
  ) {
    this.#first = first
    this.#rest = rest
    this.#exchange = exchange
    this.#settlement = settlement
    const { cancellation } = exchange
    const onAbort = (): void => void settlement.settle(endingOf(exchange, cancellation.reason))
    if (cancellation.aborted) onAbort()
    else cancellation.addEventListener('abort', onAbort)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<string, void>> {
    const first = this.#first
    if (!first) return this.#rest.next()
    this.#first = undefined
    return Promise.resolve(first)
  }

  async return(): Promise<IteratorResult<string, void>> {
    if (!this.#settlement.begun) {
      this.#exchange.cancellation.abort(gatewayError('request_cancelled', 'The client went away'))
      await this.#settlement.settle(endingOf(this.#exchange, this.#exchange.cancellation.reason))
    }
    this.#first = undefined
    return this.#rest.return()
  }
}

/** The text of a stream, piece by piece. Throws only before its first piece. */
async function* streamPieces(
  exchange: ExchangeState,
  reply: Reply,
  settlement: Settlement,
): AsyncGenerator<string, void> {
  const { clock } = exchange.services
  const { writer, texts } = openWriter(exchange, reply)
  let begun = false
  let ending: ReturnType<typeof endingOf> | undefined
  try {
    for await (const text of texts) {
      if (text === '') continue
      if (!begun) {
        exchange.firstEventMs = clock.monotonicMs()
        begun = true
      }
      yield text
    }
  } catch (error) {
    if (!begun) throw error
    // Of the ending, since a plugin may throw undefined.
    ending = endingOf(exchange, error)
  }
  if (!ending) {
    exchange.firstEventMs ??= clock.monotonicMs()
    await settlement.settle({ status: 'completed', httpStatus: reply.status })
    yield writer.end(endOf(exchange))
    return
  }
  const outcome = await settlement.settle({ ...ending, httpStatus: reply.status })
  if (outcome.status !== 'aborted') yield writer.fail(errorBody(ending.error, exchange.requestId))
}

/** Chooses between handing the upstream's records through and writing new ones from events. */
function openWriter(
  exchange: ExchangeState,
  reply: Reply,
): { readonly writer: Pick<StreamWriter<unknown>, 'end' | 'fail'>; readonly texts: AsyncIterable<string> } {
  const dialect = dialects[exchange.dialect]
  const context = contextOf(exchange)
  if (
    reply instanceof ProviderReply &&
    reply.dialect === exchange.dialect &&
    !reply.whole &&
    !hasResponseHooks(exchange)
  ) {
    const writer = dialect.verbatimWriter(context)
    const observers = exchange.steps('observe')
    const texts = mapped(reply.batches, (batch) => {
      let text = ''
      for (const record of batch) {
        if (observers.length > 0) observe(exchange, record.events)
        if (record.data !== '') text += writer.push(record)
      }
      return text
    })
    return { writer, texts }
  }
  const writer = dialect.writer(context)
  const texts = mapped(clientEvents(exchange, reply), (batch) => {
    let text = ''
    for (const event of batch) text += writer.push(event)
    return text
  })
  return { writer, texts }
}
