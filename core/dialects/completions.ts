import { AnswerBuilder } from '../contract/answer.ts'
import type { Answer } from '../contract/answer.ts'
import type { FinishEvent, GenerateRequest, JsonObject, StreamEvent, TextEvent } from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'
import { answerId } from './chat-answer.ts'
import { nativeFields } from './chat-content.ts'
import { FieldReader, readCommon, readScalars, readStreamAndStop, samplingScalars } from './chat-fields.ts'
import { doneRecord, errorRecord } from './chat-stream.ts'
import { encodeChatUsage } from './chat-usage.ts'
import type { ClientDialect, ReplyContext, ReplyEnd, StreamWriter } from './dialect.ts'
import { VerbatimChunkWriter } from './verbatim-stream.ts'

/** Reads a completions body: the prompt and whatever else is its own stays in `extra`. */
function decode(body: JsonObject): GenerateRequest {
  const fields = new FieldReader(body)
  const form: string[] = []
  // `max_completion_tokens` is no word of this API: upstreams do not heed it, so it must not count as the ceiling.
  const maxOutputTokens = fields.number('max_tokens')
  const known = {
    ...readCommon(fields),
    ...readStreamAndStop(fields, form),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...readScalars(fields, samplingScalars),
  }
  return {
    operation: 'completions',
    dialect: 'completions',
    messages: [],
    ...known,
    extra: fields.rest() ?? {},
    form: form.join(' '),
  }
}

/**
 * Joins the logprobs of several pieces of text. This API has one object of parallel lists (`tokens`, `token_logprobs`,
 * ...), which stands as one element in the list of a text event.
 */
function joinLogprobs(pieces: readonly JsonObject[] | undefined): JsonObject | null {
  if (!pieces || pieces.length === 0) return null
  const joined: Record<string, unknown> = {}
  for (const [name, value] of pieces.flatMap((piece) => Object.entries(piece))) {
    const known = joined[name]
    joined[name] = Array.isArray(known) && Array.isArray(value) ? [...known, ...value] : value
  }
  return joined
}

function textOf(choice: Answer['choices'][number]): string {
  return choice.content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

function encode(answer: Answer, end: ReplyEnd, context: ReplyContext): JsonObject {
  return {
    id: answer.id ?? answerId('cmpl', context),
    object: 'text_completion',
    created: answer.created ?? context.created,
    model: answer.model ?? context.model,
    ...nativeFields(answer.native),
    choices: answer.choices.map((choice) => ({
      text: textOf(choice),
      index: choice.index,
      logprobs: joinLogprobs(choice.logprobs),
      finish_reason: choice.finishReason ?? 'stop',
    })),
    ...(end.usage && { usage: encodeChatUsage(end.usage) }),
    ...(end.metadata && { hadrian_metadata: end.metadata }),
  }
}

/** Writes a completions stream from events. The finish of every choice waits for the end. */
class CompletionStreamWriter implements StreamWriter<StreamEvent> {
  readonly #context: ReplyContext
  readonly #answer = new AnswerBuilder()
  readonly #finishes: FinishEvent[] = []
  #head: JsonObject | undefined

  constructor(context: ReplyContext) {
    this.#context = context
  }

  push(event: StreamEvent): string {
    if (event.type === 'start') this.#answer.push(event)
    if (event.type === 'finish') this.#finishes.push(event)
    return event.type === 'text' ? this.#chunk([choiceOf(event)]) : ''
  }

  end(end: ReplyEnd): string {
    const asked = this.#context.request.includeUsage === true && end.usage !== undefined
    const metadata = end.metadata && { hadrian_metadata: end.metadata }
    const finishes = this.#finishes.map((event, position) => {
      const choice = { text: '', index: event.choice ?? 0, logprobs: null, finish_reason: event.reason }
      return this.#chunk([choice], position === this.#finishes.length - 1 && !asked ? metadata : undefined)
    })
    const usage = asked ? this.#chunk([], { usage: encodeChatUsage(end.usage), ...metadata }) : ''
    return finishes.join('') + usage + doneRecord
  }

  fail(error: ErrorBody): string {
    return errorRecord(error)
  }

  #chunk(choices: readonly JsonObject[], extra?: JsonObject): string {
    this.#head ??= this.#headFields()
    return `data: ${JSON.stringify({ ...this.#head, choices, ...extra })}\n\n`
  }

  #headFields(): JsonObject {
    const { id, created, model, native } = this.#answer.answer()
    return {
      id: id ?? answerId('cmpl', this.#context),
      object: 'text_completion',
      created: created ?? this.#context.created,
      model: model ?? this.#context.model,
      ...nativeFields(native),
    }
  }
}

function choiceOf(event: TextEvent): JsonObject {
  return { text: event.text, index: event.choice ?? 0, logprobs: joinLogprobs(event.logprobs), finish_reason: null }
}

/** The client dialect of `POST /completions`. Its answers are text events, so that every guardrail sees them. */
export const completions: ClientDialect = {
  name: 'completions',
  operation: 'completions',
  decode,
  encode,
  writer: (context) => new CompletionStreamWriter(context),
  verbatimWriter: (context) => new VerbatimChunkWriter(context, 'text_completion'),
  encodeUsage: encodeChatUsage,
}
