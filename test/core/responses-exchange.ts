import { answerOf } from '../../core/contract/answer.ts'
import type { JsonObject, StreamEvent, Usage } from '../../core/contract/canonical.ts'
import { errorBody, gatewayError } from '../../core/contract/errors.ts'
import type { ReplyContext } from '../../core/dialects/dialect.ts'
import { responses } from '../../core/dialects/responses.ts'

/** Usage whose cost is known. */
export const usage: Usage = {
  inputTokens: 10,
  outputTokens: 5,
  reasoningTokens: 2,
  costMicros: 1250,
  reportedCostMicros: 1000,
}
/** An upstream that was cut off. */
export const failure = errorBody(gatewayError('provider_error', 'Upstream provider returned error: cut'), 'req_1')

/** What the dialect knows of an exchange with this body. */
export function contextOf(body: JsonObject = { model: 'gpt-5', input: 'Hi' }): ReplyContext {
  return { exchangeId: 'ex_1', request: responses.decode(body), body, model: 'gpt-5', created: 1_700_000_000 }
}

/** The whole text of a stream made of these events. */
export function streamed(events: readonly StreamEvent[], context = contextOf()): string {
  const writer = responses.writer(context)
  return events.map((event) => writer.push(event)).join('') + writer.end({ usage })
}

/** The whole answer these events add up to. */
export function whole(events: readonly StreamEvent[], context = contextOf()): JsonObject {
  return responses.encode(answerOf(events), { usage }, context)
}

/** The usual end. */
export const finish: StreamEvent = { type: 'finish', reason: 'stop' }
