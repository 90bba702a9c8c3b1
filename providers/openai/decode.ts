import type { Decoder, JsonObject, ServerSentEvent, StartEvent, StreamEvent } from '@hadrian/core/provider'
import { decodeUsage } from './chat-usage.ts'
import { ChoiceDecoder } from './choice-decoder.ts'
import { decodeInnerError, senselessAnswer } from './errors.ts'
import { filled, isObject } from './json.ts'

/** The start of an answer, from its body or its first chunk. */
export function startOf(body: JsonObject): StartEvent {
  const { choices: _, usage: __, data: ___, ...native } = body
  const id = filled(body['id'])
  const model = filled(body['model'])
  const created = body['created']
  return {
    type: 'start',
    ...(id !== undefined && { id }),
    ...(model !== undefined && { model }),
    ...(typeof created === 'number' && created > 0 && { created }),
    native,
  }
}

/** Usage stands beside the choices, at Groq under a name of its own, at Moonshot inside the last choice. */
export function usageOf(body: JsonObject): StreamEvent[] {
  const choice = Array.isArray(body['choices']) ? (body['choices'].at(-1) as unknown) : undefined
  const groq = body['x_groq']
  const usage =
    decodeUsage(body['usage']) ??
    (isObject(groq) ? decodeUsage(groq['usage']) : undefined) ??
    (isObject(choice) ? decodeUsage(choice['usage']) : undefined)
  return usage ? [{ type: 'usage', usage }] : []
}

export function choicesOf(body: JsonObject): readonly JsonObject[] {
  const choices: unknown = body['choices']
  if (!Array.isArray(choices)) return []
  return choices.every(isObject) ? choices : choices.filter(isObject)
}

/** The choice an entry belongs to. */
export function indexOf(choice: JsonObject, position: number): number {
  const index = choice['index']
  return typeof index === 'number' && index >= 0 ? index : position
}

/** The record as an object; undefined if it is none, which is no failure of the stream. */
export function parseRecord(data: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A whole chat answer. Throws `provider_error` for a body without choices; `provider` is the name of the instance. */
export function decodeChat(body: unknown, provider = 'openai'): readonly StreamEvent[] {
  if (!isObject(body)) throw senselessAnswer(provider)
  const choices = choicesOf(body)
  if (choices.length === 0) throw body['error'] ? decodeInnerError(provider, body) : senselessAnswer(provider)
  const start = startOf(body)
  const contents = choices.map((choice, position) => {
    const decoder = new ChoiceDecoder(indexOf(choice, position), true)
    const { finish_reason: word, ...rest } = choice
    const answerId = start.id ?? ''
    return {
      events: decoder.push(rest, choice['message'], answerId),
      finish: [...decoder.push({ ...choice, finish_reason: word }, undefined, answerId), ...decoder.close(answerId)],
    }
  })
  return [
    start,
    ...contents.flatMap(({ events }) => events),
    ...usageOf(body),
    ...contents.flatMap(({ finish }) => finish),
  ]
}

/** Reads the chunks of a streamed chat answer. */
class ChatDecoder implements Decoder {
  readonly #provider: string
  readonly #choices = new Map<number, ChoiceDecoder>()
  #answerId = ''
  #hasStarted = false
  #isOver = false

  constructor(provider: string) {
    this.#provider = provider
  }

  push(message: ServerSentEvent): readonly StreamEvent[] {
    if (this.#isOver) return []
    if (message.data.trim() === '[DONE]') return this.#close()
    const chunk = parseRecord(message.data)
    if (!chunk) return []
    if (chunk['error'] || message.event === 'error') {
      this.#isOver = true
      return [{ type: 'error', error: decodeInnerError(this.#provider, chunk) }]
    }
    const choices = choicesOf(chunk)
    const start = this.#start(chunk, choices.length > 0)
    const [only] = choices
    if (
      choices.length === 1 &&
      start.length === 0 &&
      chunk['usage'] == null &&
      chunk['x_groq'] == null &&
      only!['usage'] == null
    )
      return this.#choice(indexOf(only!, 0)).push(only!, only!['delta'] ?? only!['message'], this.#answerId)
    const content = choices.flatMap((choice, position) => {
      // Some servers send a whole message where a delta belongs.
      const message = choice['delta'] ?? choice['message']
      return this.#choice(indexOf(choice, position)).push(choice, message, this.#answerId)
    })
    return [...start, ...content, ...usageOf(chunk)]
  }

  end(): readonly StreamEvent[] {
    return []
  }

  /** `[DONE]`: the upstream says that all is well, even if it gave no reason to finish. */
  #close(): readonly StreamEvent[] {
    this.#isOver = true
    return [...this.#choices.values()].flatMap((choice) => choice.close(this.#answerId))
  }

  #choice(index: number): ChoiceDecoder {
    let choice = this.#choices.get(index)
    if (!choice) this.#choices.set(index, (choice = new ChoiceDecoder(index)))
    return choice
  }

  /** Azure's first chunk has neither id nor choices: the start waits for one that has. */
  #start(chunk: JsonObject, hasChoices: boolean): StreamEvent[] {
    if (this.#hasStarted || (!hasChoices && !filled(chunk['id']))) return []
    this.#hasStarted = true
    const start = startOf(chunk)
    this.#answerId = start.id ?? ''
    return [start]
  }
}

/** Reads a streamed chat answer. `provider` is the name of the instance, for errors. */
export function chatDecoder(provider = 'openai'): Decoder {
  return new ChatDecoder(provider)
}
