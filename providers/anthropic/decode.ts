import type {
  Decoder,
  FinishEvent,
  FinishReason,
  JsonObject,
  ServerSentEvent,
  StreamEvent,
  WireRequest,
} from '@hadrian/core/provider'

import { type AnswerState, type BlockDecoder, blockDecoder } from './block-decoder.ts'
import { decodeStreamError, senselessAnswer } from './errors.ts'
import { decodeUsage, mergeUsage } from './usage.ts'
import { isObject, structuredOutputTool } from './wire.ts'

/** OpenAI's word for every stop reason; the provider's own stays beside it. */
const finishReasons: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
}

/** A whole answer as events. Throws a `GatewayError` if the body is not a message. */
export function decode(provider: string, body: unknown, wire: WireRequest): readonly StreamEvent[] {
  if (isObject(body) && body['type'] === 'error') throw decodeStreamError(provider, body)
  if (!isObject(body) || !Array.isArray(body['content'])) {
    throw senselessAnswer(provider, 'the answer is not a message of the Messages API')
  }
  const state = newState(wire)
  const events = startEvents(body)
  body['content'].forEach((block: unknown, index) => {
    if (!isObject(block)) return
    const decoder = blockDecoder(block, index, state)
    events.push(...decoder.start(), ...decoder.stop())
  })
  if (isObject(body['usage'])) events.push({ type: 'usage', usage: decodeUsage(mergeUsage({}, body['usage'])) })
  events.push(finish(body['stop_reason'], state))
  return events
}

/** Decodes the server-sent events of one streamed answer. */
export class MessageDecoder implements Decoder {
  readonly #provider: string
  readonly #state: AnswerState
  readonly #open = new Map<unknown, BlockDecoder>()
  #usage: JsonObject = {}
  #stopReason: unknown
  #ended = false

  constructor(provider: string, wire: WireRequest) {
    this.#provider = provider
    this.#state = newState(wire)
  }

  push(message: ServerSentEvent): readonly StreamEvent[] {
    if (this.#ended) return []
    const record = parse(message.data)
    if (!isObject(record)) return []
    switch (record['type'] ?? message.event) {
      case 'message_start':
        return isObject(record['message'])
          ? [...startEvents(record['message']), ...this.#count(record['message']['usage'])]
          : []
      case 'content_block_start':
        return this.#openBlock(record)
      case 'content_block_delta':
        return isObject(record['delta']) ? (this.#open.get(record['index'])?.delta(record['delta']) ?? []) : []
      case 'content_block_stop':
        return this.#closeBlock(record['index'])
      case 'message_delta':
        if (isObject(record['delta']) && record['delta']['stop_reason'] !== undefined) {
          this.#stopReason = record['delta']['stop_reason'] ?? this.#stopReason
        }
        return [...this.#closeAll(), ...this.#count(record['usage'])]
      case 'message_stop':
        this.#ended = true
        return [...this.#closeAll(), finish(this.#stopReason, this.#state)]
      case 'error':
        this.#ended = true
        return [{ type: 'error', error: decodeStreamError(this.#provider, record) }]
      default:
        return []
    }
  }

  end(): readonly StreamEvent[] {
    if (this.#ended || this.#stopReason === undefined) return []
    this.#ended = true
    return [finish(this.#stopReason, this.#state)]
  }

  #openBlock(record: JsonObject): readonly StreamEvent[] {
    const { index, content_block: block } = record
    if (!isObject(block)) return []
    const closed = this.#closeBlock(index)
    const decoder = blockDecoder(block, typeof index === 'number' ? index : -1, this.#state)
    this.#open.set(index, decoder)
    return [...closed, ...decoder.start()]
  }

  #closeBlock(index: unknown): readonly StreamEvent[] {
    const decoder = this.#open.get(index)
    this.#open.delete(index)
    return decoder?.stop() ?? []
  }

  #closeAll(): readonly StreamEvent[] {
    return [...this.#open.keys()].flatMap((index) => this.#closeBlock(index))
  }

  #count(usage: unknown): readonly StreamEvent[] {
    if (!isObject(usage)) return []
    this.#usage = mergeUsage(this.#usage, usage)
    return [{ type: 'usage', usage: decodeUsage(this.#usage) }]
  }
}

function newState(wire: WireRequest): AnswerState {
  const choice = isObject(wire.body) ? wire.body['tool_choice'] : undefined
  const structuredOutput = isObject(choice) && choice['type'] === 'tool' && choice['name'] === structuredOutputTool
  return { structuredOutput, textLength: 0, toolCalls: 0 }
}

function startEvents(message: JsonObject): StreamEvent[] {
  const { id, model } = message
  return [{ type: 'start', ...(typeof id === 'string' && { id }), ...(typeof model === 'string' && { model }) }]
}

function finish(stopReason: unknown, state: AnswerState): FinishEvent {
  if (typeof stopReason !== 'string') return { type: 'finish', reason: state.toolCalls > 0 ? 'tool_calls' : 'stop' }
  const known = Object.hasOwn(finishReasons, stopReason) ? finishReasons[stopReason]! : 'stop'
  // The call of the forced tool came out as text, so nobody is to run it.
  const reason = known === 'tool_calls' && state.toolCalls === 0 ? 'stop' : known
  return { type: 'finish', reason, raw: stopReason }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}
