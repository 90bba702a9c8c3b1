import { AnswerBuilder } from '../contract/answer.ts'
import type { JsonObject } from '../contract/canonical.ts'
import type { Reply, RunResult } from '../contract/plugin.ts'
import { hasForeignFinish } from '../dialects/finish-words.ts'
import { dialects } from '../dialects/index.ts'
import { verbatimBody } from '../dialects/verbatim-body.ts'
import { answerHeaders, usageHeaders } from './answer-headers.ts'
import type { ExchangeState } from './exchange.ts'
import { ProviderReply } from './provider-reply.ts'
import { clientEvents, contextOf, endOf } from './reply-events.ts'
import { respondStream } from './respond-stream.ts'
import { hasResponseHooks } from './response-hooks.ts'
import type { Settlement } from './settle.ts'

/** An answer ready to send. */
export type ReadyAnswer = Pick<RunResult, 'status' | 'headers' | 'body' | 'stream'>

/**
 * Turns a reply into what goes to the client, through the response hooks, settling the exchange before the last piece.
 * Resolves when the first piece is ready, so that a failure until then is still a clean JSON error.
 *
 * @throws whatever ended the answer before its first piece; the exchange is not settled then
 */
export async function respond(exchange: ExchangeState, reply: Reply, settlement: Settlement): Promise<ReadyAnswer> {
  if (typeof (reply as Reply | null | undefined)?.status !== 'number')
    throw new TypeError(`${exchange.answeredBy ?? 'a plugin'} answered with something that is no reply`)
  if (!(reply instanceof ProviderReply) && !reply.events) return respondBody(exchange, reply, settlement)
  return exchange.request.stream
    ? respondStream(exchange, reply, settlement)
    : respondWhole(exchange, reply, settlement)
}

/** A reply that is no model output goes out as it is. */
async function respondBody(exchange: ExchangeState, reply: Reply, settlement: Settlement): Promise<ReadyAnswer> {
  await settlement.settle({ status: 'completed', httpStatus: reply.status })
  const { body } = reply
  return {
    status: reply.status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...exchange.responseHeaders, ...reply.headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body ?? {}),
  }
}

async function respondWhole(exchange: ExchangeState, reply: Reply, settlement: Settlement): Promise<ReadyAnswer> {
  const dialect = dialects[exchange.dialect]
  const verbatim = isUntouched(exchange, reply) ? reply.whole : undefined
  const builder = new AnswerBuilder()
  // The answer is complete; where nobody wants to see its events, they need not be made to pass.
  if (verbatim && exchange.steps('observe').length === 0)
    exchange.firstEventMs ??= exchange.services.clock.monotonicMs()
  else for await (const batch of clientEvents(exchange, reply)) for (const event of batch) builder.push(event)
  await settlement.settle({ status: 'completed', httpStatus: reply.status })
  const end = endOf(exchange)
  return {
    status: reply.status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      ...answerHeaders(exchange),
      ...usageHeaders(end.usage),
      ...exchange.responseHeaders,
      ...reply.headers,
    },
    body: verbatim
      ? verbatimBody(verbatim.bytes, verbatim.value as JsonObject, end, dialect.encodeUsage.bind(dialect))
      : JSON.stringify(dialect.encode(builder.answer(), end, contextOf(exchange))),
  }
}

/** Whether the upstream's own bytes are what the client asked for. */
function isUntouched(exchange: ExchangeState, reply: Reply): reply is ProviderReply {
  if (!(reply instanceof ProviderReply) || reply.dialect !== exchange.dialect) return false
  if (hasForeignFinish(reply.whole?.value)) return false
  return !hasResponseHooks(exchange) && exchange.request.reasoning?.exclude !== true
}
