import type { JsonObject, StreamEvent } from '@hadrian/core/provider'

import { citationParts } from './citations.ts'
import { isObject, messagesDialect, structuredOutputTool } from './wire.ts'

/** What the blocks of one answer share. */
export interface AnswerState {
  /** The one tool is {@link structuredOutputTool}, so its input is the answer's text. */
  readonly structuredOutput: boolean
  /** Characters of text so far: citations name their place by it. */
  textLength: number
  toolCalls: number
}

/** Reads one content block, from its start over its deltas to its end. */
export interface BlockDecoder {
  start(): readonly StreamEvent[]
  delta(delta: JsonObject): readonly StreamEvent[]
  stop(): readonly StreamEvent[]
}

/** The decoder for a block that begins like this; `index` is its place in the answer. */
export function blockDecoder(start: JsonObject, index: number, state: AnswerState): BlockDecoder {
  switch (start['type']) {
    case 'text':
      return new TextBlock(start, index, state)
    case 'thinking':
    case 'redacted_thinking':
      return new ThinkingBlock(start, index)
    case 'tool_use':
      return state.structuredOutput && start['name'] === structuredOutputTool
        ? new AnswerToolBlock(start, index, state)
        : new ToolBlock(start, state)
    default:
      return new NativeBlock(start)
  }
}

class TextBlock implements BlockDecoder {
  readonly #start: JsonObject
  readonly #index: number
  readonly #state: AnswerState
  readonly #offset: number
  readonly #citations: JsonObject[]

  constructor(start: JsonObject, index: number, state: AnswerState) {
    this.#start = start
    this.#index = index
    this.#state = state
    this.#offset = state.textLength
    this.#citations = Array.isArray(start['citations']) ? start['citations'].filter(isObject) : []
  }

  start(): readonly StreamEvent[] {
    return this.#text(this.#start['text'])
  }

  delta(delta: JsonObject): readonly StreamEvent[] {
    if (isObject(delta['citation'])) this.#citations.push(delta['citation'])
    return this.#text(delta['text'])
  }

  stop(): readonly StreamEvent[] {
    return citationParts(this.#citations, this.#offset, this.#state.textLength).map((part) => ({ type: 'part', part }))
  }

  #text(text: unknown): readonly StreamEvent[] {
    if (typeof text !== 'string' || text === '') return []
    this.#state.textLength += text.length
    return [{ type: 'text', block: this.#index, text }]
  }
}

class ThinkingBlock implements BlockDecoder {
  readonly #start: JsonObject
  readonly #index: number
  #signature: string

  constructor(start: JsonObject, index: number) {
    this.#start = start
    this.#index = index
    this.#signature = textOf(start['signature'])
  }

  start(): readonly StreamEvent[] {
    return [...this.#event('text', this.#start['thinking']), ...this.#event('encrypted', this.#start['data'])]
  }

  delta(delta: JsonObject): readonly StreamEvent[] {
    this.#signature += textOf(delta['signature'])
    return this.#event('text', delta['thinking'])
  }

  stop(): readonly StreamEvent[] {
    return this.#event('signature', this.#signature)
  }

  #event(field: 'text' | 'encrypted' | 'signature', value: unknown): readonly StreamEvent[] {
    if (typeof value !== 'string' || value === '') return []
    return [{ type: 'reasoning', block: this.#index, [field]: value, format: 'anthropic-claude-v1' }]
  }
}

/** Joins pieces of JSON. A block without any has its input in the start, whole or empty. */
class InputJson {
  readonly #input: unknown
  #hasPieces = false

  constructor(start: JsonObject) {
    this.#input = start['input']
  }

  piece(delta: JsonObject): string {
    const piece = delta['partial_json']
    if (typeof piece !== 'string' || piece === '') return ''
    this.#hasPieces = true
    return piece
  }

  rest(): string {
    return this.#hasPieces ? '' : JSON.stringify(this.#input ?? {})
  }
}

class ToolBlock implements BlockDecoder {
  readonly #start: JsonObject
  readonly #input: InputJson
  readonly #index: number

  constructor(start: JsonObject, state: AnswerState) {
    this.#start = start
    this.#input = new InputJson(start)
    this.#index = state.toolCalls++
  }

  start(): readonly StreamEvent[] {
    const { id, name } = this.#start
    return [{ type: 'tool_call', index: this.#index, id: textOf(id), name: textOf(name) }]
  }

  delta(delta: JsonObject): readonly StreamEvent[] {
    return this.#arguments(this.#input.piece(delta))
  }

  stop(): readonly StreamEvent[] {
    return this.#arguments(this.#input.rest())
  }

  #arguments(text: string): readonly StreamEvent[] {
    return text === '' ? [] : [{ type: 'tool_call', index: this.#index, arguments: text }]
  }
}

/** The forced tool of a model without structured output: what it is called with is the text of the answer. */
class AnswerToolBlock implements BlockDecoder {
  readonly #input: InputJson
  readonly #index: number
  readonly #state: AnswerState

  constructor(start: JsonObject, index: number, state: AnswerState) {
    this.#input = new InputJson(start)
    this.#index = index
    this.#state = state
  }

  start(): readonly StreamEvent[] {
    return []
  }

  delta(delta: JsonObject): readonly StreamEvent[] {
    return this.#text(this.#input.piece(delta))
  }

  stop(): readonly StreamEvent[] {
    return this.#text(this.#input.rest())
  }

  #text(text: string): readonly StreamEvent[] {
    if (text === '') return []
    this.#state.textLength += text.length
    return [{ type: 'text', block: this.#index, text }]
  }
}

/** Blocks of server-side tools and blocks not known yet: collected, and given as one native part. */
class NativeBlock implements BlockDecoder {
  readonly #block: Record<string, unknown>
  #json = ''

  constructor(start: JsonObject) {
    this.#block = { ...start }
  }

  start(): readonly StreamEvent[] {
    return []
  }

  delta(delta: JsonObject): readonly StreamEvent[] {
    for (const [field, value] of Object.entries(delta)) {
      if (field === 'type') continue
      if (field === 'partial_json') this.#json += textOf(value)
      else {
        const before = this.#block[field]
        this.#block[field] = typeof before === 'string' && typeof value === 'string' ? before + value : value
      }
    }
    return []
  }

  stop(): readonly StreamEvent[] {
    if (this.#json !== '') {
      try {
        this.#block['input'] = JSON.parse(this.#json)
      } catch {
        this.#block['input'] = { _raw: this.#json }
      }
    }
    return [{ type: 'part', part: { type: 'native', dialect: messagesDialect, value: this.#block } }]
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
