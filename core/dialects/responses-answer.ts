import { eventsOf } from '../contract/answer.ts'
import type { Answer, AnswerChoice } from '../contract/answer.ts'
import type { JsonObject, StreamEvent } from '../contract/canonical.ts'
import type { ReplyContext, ReplyEnd } from './dialect.ts'
import { responseObject } from './responses-object.ts'
import { endOf, outputFor } from './responses-stream.ts'
import { encodeResponsesUsage } from './responses-usage.ts'

/** The whole response object: what a stream of the same events would have ended with. */
export function encodeResponsesAnswer(answer: Answer, end: ReplyEnd, context: ReplyContext): JsonObject {
  const choice = answer.choices.find(({ index }) => index === 0)
  const output = outputFor(context, () => {})
  for (const event of choice ? choiceEvents(choice) : []) output.push(event)
  const { status, incompleteReason, error } = endOf(choice?.finishReason)
  output.finish(status === 'incomplete')
  return responseObject(context, {
    status,
    model: answer.model ?? context.model,
    ...(status === 'completed' && { completedAt: end.completedAt ?? context.created }),
    ...(incompleteReason !== undefined && { incompleteReason }),
    ...(error && { error }),
    output: output.items('incomplete'),
    ...(end.usage && { usage: encodeResponsesUsage(end.usage) }),
    ...(end.metadata && { metadata: end.metadata }),
  })
}

/** The events of a choice, its token objects dealt out to the texts they spell. */
function choiceEvents({ content, logprobs = [] }: AnswerChoice): StreamEvent[] {
  let next = 0
  return eventsOf(content).map((event) => {
    if (event.type !== 'text' || event.refusal || next >= logprobs.length) return event
    const first = next
    for (let length = 0; length < event.text.length && next < logprobs.length; next++) {
      const token: unknown = logprobs[next]?.['token']
      length += typeof token === 'string' ? token.length : 0
    }
    return { ...event, logprobs: logprobs.slice(first, next) }
  })
}
