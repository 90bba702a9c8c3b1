import type { FinishEvent, JsonObject, StreamEvent } from '../contract/canonical.ts'
import { isObject } from './chat-fields.ts'

/** What OpenAI's API has as `finish_reason`. Typed clients fail on any other word. */
const words: ReadonlySet<unknown> = new Set(['stop', 'length', 'tool_calls', 'content_filter', 'function_call'])

/** Whether an answer or a chunk of it says in a word of the upstream's own how a choice ended. */
export function hasForeignFinish(body: unknown): boolean {
  return isObject(body) && Array.isArray(body['choices']) && body['choices'].some(isForeign)
}

function isForeign(choice: unknown): boolean {
  const word = isObject(choice) ? choice['finish_reason'] : undefined
  return typeof word === 'string' && word !== '' && !words.has(word)
}

/** The chunk with the reasons that its provider read from it, in place of the upstream's own words. */
export function withKnownFinish(chunk: JsonObject, events: readonly StreamEvent[]): JsonObject {
  const finishes = events.filter((event): event is FinishEvent => event.type === 'finish')
  const choices = (chunk['choices'] as unknown[]).map((choice) => {
    if (!isObject(choice) || !isForeign(choice)) return choice
    const finish = finishes.find((event) => (event.choice ?? 0) === (choice['index'] ?? 0))
    return { ...choice, finish_reason: finish?.reason ?? 'stop', native_finish_reason: choice['finish_reason'] }
  })
  return { ...chunk, choices }
}

/** A finish whose word may be none of OpenAI's: the record has to be looked at. */
export function isDoubtful(event: StreamEvent): boolean {
  return event.type === 'finish' && event.raw !== undefined && !words.has(event.raw)
}
