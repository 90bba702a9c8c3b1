import type { JsonObject, ReasoningEvent, StreamEvent } from '@hadrian/core/provider'
import { isObject } from './json.ts'

/** The format of thinking in this API; its encrypted blocks can be read by OpenAI alone. */
const format = 'openai-responses-v1'

/** What has been passed on of one text, summary or arguments. */
interface Piece {
  readonly block: number
  length: number
  annotations: number
}

interface Item {
  readonly pieces: Map<string, Piece>
  id?: string
  callIndex?: number
  isComplete: boolean
}

/**
 * The output items of one response. Upstreams send each text up to four times: in deltas, in its done-event, in that of
 * its item and in the final response. Whatever comes first is passed on, and of the later ones only what is new.
 */
export class ResponseItems {
  readonly #items = new Map<number, Item>()
  #blocks = 0
  #calls = 0

  /** True once a call of a function or custom tool was seen. */
  get hasCalls(): boolean {
    return this.#calls > 0
  }

  /** Reads a record about an item; none of any other type. */
  push(type: unknown, record: JsonObject): StreamEvent[] {
    const index = numberOf(record['output_index'])
    if (isText(record['item_id'])) this.#item(index).id ??= record['item_id']
    switch (type) {
      case 'response.output_item.added':
        return isObject(record['item']) ? this.#added(index, record['item']) : []
      case 'response.output_item.done':
        return isObject(record['item']) ? this.complete(index, record['item']) : []
      case 'response.content_part.done':
        return isObject(record['part']) ? this.#part(index, numberOf(record['content_index']), record['part']) : []
      case 'response.output_text.delta':
        return this.#text(index, record, 'delta')
      case 'response.output_text.done':
        return this.#text(index, record, 'text')
      case 'response.refusal.delta':
        return this.#text(index, record, 'delta', true)
      case 'response.refusal.done':
        return this.#text(index, record, 'refusal', true)
      case 'response.output_text.annotation.added':
        return this.#annotation(index, record)
      case 'response.reasoning_text.delta':
      case 'response.reasoning.delta':
        return this.#reasoning(index, 'text', numberOf(record['content_index']), record['delta'], true)
      case 'response.reasoning_text.done':
      case 'response.reasoning.done':
        return this.#reasoning(index, 'text', numberOf(record['content_index']), record['text'])
      case 'response.reasoning_summary_text.delta':
        return this.#reasoning(index, 'summary', numberOf(record['summary_index']), record['delta'], true)
      case 'response.reasoning_summary_text.done':
        return this.#reasoning(index, 'summary', numberOf(record['summary_index']), record['text'])
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        return this.#arguments(index, record['delta'], true)
      case 'response.function_call_arguments.done':
        return this.#arguments(index, record['arguments'])
      case 'response.custom_tool_call_input.done':
        return this.#arguments(index, record['input'])
      default:
        return []
    }
  }

  /** A whole item: what of it has not been passed on yet. */
  complete(index: number, item: JsonObject): StreamEvent[] {
    const known = this.#item(index)
    if (known.isComplete) return []
    known.isComplete = true
    switch (item['type']) {
      case 'message':
        return objects(item['content']).flatMap((part, position) => this.#part(index, position, part))
      case 'reasoning':
        return this.#wholeReasoning(index, item)
      case 'function_call':
        return [...this.#call(index, item), ...this.#arguments(index, item['arguments'])]
      case 'custom_tool_call':
        return [...this.#call(index, item), ...this.#arguments(index, item['input'])]
      default:
        return [{ type: 'part', part: { type: 'native', dialect: 'responses', value: item } }]
    }
  }

  #item(index: number): Item {
    let item = this.#items.get(index)
    if (!item) this.#items.set(index, (item = { pieces: new Map(), isComplete: false }))
    return item
  }

  #piece(index: number, key: string): Piece {
    const { pieces } = this.#item(index)
    let piece = pieces.get(key)
    if (!piece) pieces.set(key, (piece = { block: this.#blocks++, length: 0, annotations: 0 }))
    return piece
  }

  #added(index: number, item: JsonObject): StreamEvent[] {
    if (isText(item['id'])) this.#item(index).id = item['id']
    return item['type'] === 'function_call' || item['type'] === 'custom_tool_call' ? this.#call(index, item) : []
  }

  #call(index: number, item: JsonObject): StreamEvent[] {
    const known = this.#item(index)
    if (known.callIndex !== undefined) return []
    known.callIndex = this.#calls++
    const custom = item['type'] === 'custom_tool_call'
    const id = [item['call_id'], item['id']].find(isText) ?? `call_${known.callIndex}`
    const name = isText(item['name']) ? item['name'] : ''
    return [{ type: 'tool_call', index: known.callIndex, id, name, ...(custom && { custom }) }]
  }

  #arguments(index: number, value: unknown, isDelta = false): StreamEvent[] {
    const { callIndex } = this.#item(index)
    if (callIndex === undefined) return []
    const text = this.#news(this.#piece(index, 'arguments'), value, isDelta)
    return text === '' ? [] : [{ type: 'tool_call', index: callIndex, arguments: text }]
  }

  #text(index: number, record: JsonObject, field: string, refusal = false): StreamEvent[] {
    const piece = this.#piece(index, `content ${numberOf(record['content_index'])}`)
    const isUntouched = piece.length === 0
    const isDelta = field === 'delta'
    const text = this.#news(piece, record[field], isDelta)
    if (text === '') return []
    const logprobs = isDelta || isUntouched ? objects(record['logprobs']) : []
    return [
      {
        type: 'text',
        text,
        block: piece.block,
        ...(refusal && { refusal }),
        ...(logprobs.length > 0 && { logprobs }),
      },
    ]
  }

  #part(index: number, position: number, part: JsonObject): StreamEvent[] {
    const place = { ...part, content_index: position }
    switch (part['type']) {
      case 'output_text':
        return [...this.#text(index, place, 'text'), ...this.#missingAnnotations(index, position, part)]
      case 'refusal':
        return this.#text(index, place, 'refusal', true)
      default:
        return []
    }
  }

  #annotation(index: number, record: JsonObject): StreamEvent[] {
    const { annotation } = record
    if (!isObject(annotation)) return []
    this.#piece(index, `content ${numberOf(record['content_index'])}`).annotations++
    return [{ type: 'part', part: { type: 'native', dialect: 'responses', value: annotation } }]
  }

  #missingAnnotations(index: number, position: number, part: JsonObject): StreamEvent[] {
    const piece = this.#piece(index, `content ${position}`)
    const missing = objects(part['annotations']).slice(piece.annotations)
    return missing.flatMap((annotation) => this.#annotation(index, { content_index: position, annotation }))
  }

  #reasoning(
    index: number,
    kind: 'text' | 'summary',
    position: number,
    value: unknown,
    isDelta = false,
  ): StreamEvent[] {
    const piece = this.#piece(index, `${kind} ${position}`)
    const text = this.#news(piece, value, isDelta)
    return text === '' ? [] : [this.#reasoningEvent(index, piece.block, { [kind]: text })]
  }

  #wholeReasoning(index: number, item: JsonObject): StreamEvent[] {
    const known = this.#item(index)
    if (isText(item['id'])) known.id ??= item['id']
    const events = (['summary', 'content'] as const).flatMap((field) =>
      objects(item[field]).flatMap((part, position) =>
        this.#reasoning(index, field === 'summary' ? 'summary' : 'text', position, part['text']),
      ),
    )
    const encrypted = item['encrypted_content']
    if (typeof encrypted !== 'string') return events
    const block = [...known.pieces.values()].at(-1)?.block ?? this.#blocks++
    return [...events, this.#reasoningEvent(index, block, { encrypted })]
  }

  #reasoningEvent(index: number, block: number, fields: Partial<ReasoningEvent>): StreamEvent {
    const { id } = this.#item(index)
    return { type: 'reasoning', block, ...fields, ...(id !== undefined && { id }), format }
  }

  /** The part of `value` that is new: all of a delta, or what a whole text has beyond the deltas before it. */
  #news(piece: Piece, value: unknown, isDelta: boolean): string {
    if (typeof value !== 'string') return ''
    const text = isDelta ? value : value.slice(piece.length)
    piece.length += text.length
    return text
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? (value as unknown[]).filter(isObject) : []
}
