import type { Decoder, JsonObject, ServerSentEvent, StreamEvent } from '@hadrian/core/provider'
import { decodeUsage } from './chat-usage.ts'
import { choicesOf, indexOf, parseRecord, startOf, usageOf } from './decode.ts'
import { decodeInnerError, senselessAnswer } from './errors.ts'
import { finishReason } from './finish-reason.ts'
import { filled, isObject } from './json.ts'

function textEvents(choice: JsonObject, index: number): StreamEvent[] {
  const text = filled(choice['text'])
  const { logprobs } = choice
  if (text === undefined && !isObject(logprobs)) return []
  return [{ type: 'text', choice: index, text: text ?? '', ...(isObject(logprobs) && { logprobs: [logprobs] }) }]
}

function finishEvents(choice: JsonObject, index: number): StreamEvent[] {
  const raw = filled(choice['finish_reason'])
  return raw === undefined ? [] : [{ type: 'finish', choice: index, reason: finishReason(raw), raw }]
}

/** A whole answer of `/completions`. Throws `provider_error` for a body without choices. */
export function decodeCompletions(body: unknown, provider = 'openai'): readonly StreamEvent[] {
  if (!isObject(body)) throw senselessAnswer(provider)
  const choices = choicesOf(body)
  if (choices.length === 0) throw body['error'] ? decodeInnerError(provider, body) : senselessAnswer(provider)
  const finishes = choices.map((choice, position): StreamEvent => {
    const index = indexOf(choice, position)
    return finishEvents(choice, index)[0] ?? { type: 'finish', choice: index, reason: 'stop' }
  })
  const texts = choices.flatMap((choice, position) => textEvents(choice, indexOf(choice, position)))
  return [startOf(body), ...texts, ...usageOf(body), ...finishes]
}

class CompletionsDecoder implements Decoder {
  readonly #provider: string
  readonly #open = new Set<number>()
  readonly #finished = new Set<number>()
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
    const start: StreamEvent[] = this.#hasStarted ? [] : [startOf(chunk)]
    this.#hasStarted = true
    const content = choicesOf(chunk).flatMap((choice, position) => this.#choice(choice, indexOf(choice, position)))
    return [...start, ...content, ...usageOf(chunk)]
  }

  end(): readonly StreamEvent[] {
    return []
  }

  #choice(choice: JsonObject, index: number): StreamEvent[] {
    this.#open.add(index)
    const texts = textEvents(choice, index)
    const finish = this.#finished.has(index) ? [] : finishEvents(choice, index)
    if (finish.length > 0) this.#finished.add(index)
    return [...texts, ...finish]
  }

  #close(): StreamEvent[] {
    this.#isOver = true
    const unfinished = [...this.#open].filter((index) => !this.#finished.has(index))
    return unfinished.map((choice) => ({ type: 'finish', choice, reason: 'stop' }))
  }
}

/** Reads a streamed answer of `/completions`. */
export function completionsDecoder(provider = 'openai'): Decoder {
  return new CompletionsDecoder(provider)
}

/** An answer of `/embeddings`: one native part with the body but for its usage. Throws for a body without `data`. */
export function decodeEmbeddings(body: unknown, provider = 'openai'): readonly StreamEvent[] {
  if (!isObject(body)) throw senselessAnswer(provider)
  if (!Array.isArray(body['data'])) throw body['error'] ? decodeInnerError(provider, body) : senselessAnswer(provider)
  const { usage, ...value } = body
  const model = filled(body['model'])
  const counts = decodeUsage(usage)
  return [
    { type: 'start', ...(model !== undefined && { model }) },
    { type: 'part', part: { type: 'native', dialect: 'embeddings', value } },
    ...(counts ? [{ type: 'usage', usage: counts } as const] : []),
    { type: 'finish', reason: 'stop' },
  ]
}
