import type {
  FinishEvent,
  PartEvent,
  ReasoningEvent,
  StreamEvent,
  TextEvent,
  ToolCallEvent,
} from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'
import { answerId } from './chat-answer.ts'
import { finishReason, isLegacy, nativeFields, placePart, reasoningDetails } from './chat-content.ts'
import { encodeChatUsage } from './chat-usage.ts'
import type { ReplyContext, ReplyEnd, StreamWriter } from './dialect.ts'

/** The record that ends a completed stream. */
export const doneRecord = 'data: [DONE]\n\n'

/** The record that ends a failed one. */
export function errorRecord(error: ErrorBody): string {
  return `data: ${JSON.stringify({ error })}\n\n`
}

/** Numbers the entries of the lists that a choice streams, so that a client can add up the deltas of each. */
class Numbering {
  readonly #numbers = new Map<string, number>()
  #next = 0

  of(key: string): number {
    let number = this.#numbers.get(key)
    if (number === undefined) this.#numbers.set(key, (number = this.#next++))
    return number
  }

  next(): number {
    return this.#next++
  }
}

interface OpenChoice {
  readonly details: Numbering
  readonly images: Numbering
  readonly calls: Set<number>
}

/** Writes a chat stream from events. Holds back the finish of every choice until the end, where metadata may join it. */
export class ChatStreamWriter implements StreamWriter<StreamEvent> {
  readonly #context: ReplyContext
  readonly #legacy: boolean
  readonly #hidesReasoning: boolean
  readonly #choices = new Map<number, OpenChoice>()
  readonly #finishes: FinishEvent[] = []
  /** Every chunk up to its choices: id, created and model never change within a stream. */
  #head: string | undefined
  /** Every chunk after its choices. OpenAI's chunks have a null usage where the client asked for one. */
  readonly #tail: string

  constructor(context: ReplyContext) {
    this.#context = context
    this.#legacy = isLegacy(context.request)
    this.#hidesReasoning = context.request.reasoning?.exclude === true
    this.#tail = context.request.includeUsage ? ',"usage":null}\n\n' : '}\n\n'
  }

  push(event: StreamEvent): string {
    switch (event.type) {
      case 'start':
        this.#head ??= this.#headOf(event)
        return this.#open(event.choice)
      case 'text':
        return this.#text(event)
      case 'reasoning':
        return this.#hidesReasoning ? '' : this.#reasoning(event)
      case 'tool_call':
        return this.#toolCall(event)
      case 'part':
        return this.#part(event)
      case 'finish':
        this.#finishes.push(event)
        return this.#open(event.choice)
      default:
        return ''
    }
  }

  end(end: ReplyEnd): string {
    const asked = this.#context.request.includeUsage === true && end.usage !== undefined
    const metadata = end.metadata ? `,"hadrian_metadata":${JSON.stringify(end.metadata)}` : ''
    const finishes = this.#finishes.map((event, position) => {
      const isLast = !asked && position === this.#finishes.length - 1
      const words = {
        finish_reason: finishReason(event.reason, this.#legacy),
        native_finish_reason: event.raw ?? event.reason,
      }
      const choice = `{"index":${event.choice ?? 0},"delta":{},"logprobs":null,${JSON.stringify(words).slice(1)}`
      return this.#chunk(choice, isLast ? metadata : '')
    })
    const usage = asked
      ? `${this.#prefix()}[],"usage":${JSON.stringify(encodeChatUsage(end.usage))}${metadata}}\n\n`
      : ''
    return finishes.join('') + usage + doneRecord
  }

  fail(error: ErrorBody): string {
    return errorRecord(error)
  }

  #headOf(start: {
    readonly id?: string
    readonly model?: string
    readonly created?: number
    readonly native?: object
  }) {
    const fields = {
      id: start.id ?? answerId('chatcmpl', this.#context),
      object: 'chat.completion.chunk',
      created: start.created ?? this.#context.created,
      model: start.model ?? this.#context.model,
      ...nativeFields(start.native as Record<string, unknown> | undefined),
    }
    return `data: ${JSON.stringify(fields).slice(0, -1)},"choices":`
  }

  #prefix(): string {
    return (this.#head ??= this.#headOf({}))
  }

  #chunk(choice: string, extra = ''): string {
    return `${this.#prefix()}[${choice}]${extra}${this.#tail}`
  }

  /** One chunk with one delta; `delta` is JSON. */
  #delta(choice: number | undefined, delta: string, logprobs = 'null'): string {
    return this.#chunk(`{"index":${choice ?? 0},"delta":${delta},"logprobs":${logprobs},"finish_reason":null}`)
  }

  /** The chunk with the role, if the choice has not had it. */
  #open(index = 0): string {
    if (this.#choices.has(index)) return ''
    this.#choices.set(index, { details: new Numbering(), images: new Numbering(), calls: new Set() })
    return this.#delta(index, '{"role":"assistant","content":""}')
  }

  #text(event: TextEvent): string {
    const opening = this.#open(event.choice)
    if (event.text === '' && !event.logprobs?.length) return opening
    const logprobs = event.logprobs && `{"content":${JSON.stringify(event.logprobs)},"refusal":null}`
    const field = event.refusal ? 'refusal' : 'content'
    return opening + this.#delta(event.choice, `{"${field}":${JSON.stringify(event.text)}}`, logprobs)
  }

  #reasoning(event: ReasoningEvent): string {
    const opening = this.#open(event.choice)
    const text = (event.text ?? '') + (event.summary ?? '')
    const numbering = this.#choices.get(event.choice ?? 0)?.details
    const details = reasoningDetails(event).map((detail) => ({
      ...detail,
      index: numbering?.of(`${String(detail['type'])} ${event.block ?? ''} ${event.id ?? ''}`),
    }))
    if (details.length === 0) return opening
    const delta = { ...(text !== '' && { reasoning: text }), reasoning_details: details }
    return opening + this.#delta(event.choice, JSON.stringify(delta))
  }

  #toolCall(event: ToolCallEvent): string {
    const opening = this.#open(event.choice)
    const known = this.#choices.get(event.choice ?? 0)?.calls
    const isFirst = known !== undefined && !known.has(event.index)
    known?.add(event.index)
    const field = event.custom ? 'custom' : 'function'
    const inputField = event.custom ? 'input' : 'arguments'
    const { index, id = '', name = '', arguments: input = '' } = event
    if (this.#legacy) {
      if (index > 0) return opening
      const call = isFirst ? { name, arguments: input } : { arguments: input }
      return opening + this.#delta(event.choice, JSON.stringify({ function_call: call }))
    }
    const first = isFirst
      ? this.#delta(
          event.choice,
          JSON.stringify({ tool_calls: [{ index, id, type: field, [field]: { name, [inputField]: '' } }] }),
        )
      : ''
    const rest =
      input === ''
        ? ''
        : this.#delta(event.choice, JSON.stringify({ tool_calls: [{ index, [field]: { [inputField]: input } }] }))
    return opening + first + rest
  }

  #part(event: PartEvent): string {
    const placed = placePart(event.part)
    if (!placed || (this.#hidesReasoning && placed.field === 'reasoning_details')) return ''
    const opening = this.#open(event.choice)
    const choice = this.#choices.get(event.choice ?? 0)
    const { field, value } = placed
    const index = field === 'images' ? choice?.images.next() : choice?.details.next()
    const isNumbered = field === 'images' || field === 'reasoning_details'
    const entry = field === 'audio' ? value : [isNumbered ? { ...value, index } : value]
    return opening + this.#delta(event.choice, JSON.stringify({ [field]: entry }))
  }
}
