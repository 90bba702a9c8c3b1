import type { Answer, AnswerChoice } from '../contract/answer.ts'
import type { JsonObject, Part } from '../contract/canonical.ts'
import { finishReason, isLegacy, nativeFields, placePart, reasoningDetails } from './chat-content.ts'
import { encodeChatUsage } from './chat-usage.ts'
import type { ReplyContext, ReplyEnd } from './dialect.ts'

/** The id of an answer whose upstream gave none: the exchange's, with OpenAI's prefix. */
export function answerId(prefix: string, context: ReplyContext): string {
  return `${prefix}-${context.exchangeId}`
}

/** What the parts of a message add up to, field by field. */
class MessageBuilder {
  readonly #lists = new Map<string, JsonObject[]>()
  #content: string | null = null
  #refusal: string | null = null
  #reasoning: string | undefined
  #audio: JsonObject | undefined

  constructor(content: readonly Part[], hidesReasoning: boolean) {
    for (const part of content) {
      if (!hidesReasoning || part.type !== 'reasoning') this.#add(part, hidesReasoning)
    }
  }

  message(legacy: boolean): JsonObject {
    const calls = this.#lists.get('tool_calls')
    const { annotations, reasoning_details: details, images } = Object.fromEntries(this.#lists)
    return {
      role: 'assistant',
      content: this.#content,
      refusal: this.#refusal,
      ...(this.#reasoning !== undefined && { reasoning: this.#reasoning }),
      ...(details && { reasoning_details: details }),
      ...(calls && (legacy ? { function_call: calls[0]?.['function'] } : { tool_calls: calls })),
      ...(annotations && { annotations }),
      ...(images && { images }),
      ...(this.#audio && { audio: this.#audio }),
    }
  }

  #add(part: Part, hidesReasoning: boolean): void {
    if (part.type === 'text') {
      if (part.refusal) this.#refusal = (this.#refusal ?? '') + part.text
      else this.#content = (this.#content ?? '') + part.text
    } else if (part.type === 'reasoning') {
      const text = (part.text ?? '') + (part.summary ?? '')
      if (text !== '') this.#reasoning = (this.#reasoning ?? '') + text
      for (const detail of reasoningDetails(part)) this.#push('reasoning_details', detail)
    } else if (part.type === 'tool_call') {
      const { id, name, arguments: input } = part
      const call = part.custom
        ? { id, type: 'custom', custom: { name, input } }
        : { id, type: 'function', function: { name, arguments: input } }
      this.#list('tool_calls').push(call)
    } else {
      const placed = placePart(part)
      if (!placed || (hidesReasoning && placed.field === 'reasoning_details')) return
      if (placed.field === 'audio') this.#audio = placed.value
      else if (placed.field === 'annotations') this.#list('annotations').push(placed.value)
      else this.#push(placed.field, placed.value)
    }
  }

  #list(name: string): JsonObject[] {
    let list = this.#lists.get(name)
    if (!list) this.#lists.set(name, (list = []))
    return list
  }

  #push(name: string, value: JsonObject): void {
    const list = this.#list(name)
    list.push({ ...value, index: list.length })
  }
}

/** The whole body of a chat answer. */
export function encodeChatAnswer(answer: Answer, end: ReplyEnd, context: ReplyContext): JsonObject {
  const legacy = isLegacy(context.request)
  const hidesReasoning = context.request.reasoning?.exclude === true
  const choices: readonly AnswerChoice[] = answer.choices.length > 0 ? answer.choices : [{ index: 0, content: [] }]
  return {
    id: answer.id ?? answerId('chatcmpl', context),
    object: 'chat.completion',
    created: answer.created ?? context.created,
    model: answer.model ?? context.model,
    ...nativeFields(answer.native),
    choices: choices.map((choice) => ({
      index: choice.index,
      message: new MessageBuilder(choice.content, hidesReasoning).message(legacy),
      logprobs: choice.logprobs ? { content: choice.logprobs, refusal: null } : null,
      finish_reason: finishReason(choice.finishReason ?? 'stop', legacy),
      native_finish_reason: choice.rawFinishReason ?? choice.finishReason ?? 'stop',
    })),
    ...(end.usage && { usage: encodeChatUsage(end.usage) }),
    ...(end.metadata && { hadrian_metadata: end.metadata }),
  }
}
