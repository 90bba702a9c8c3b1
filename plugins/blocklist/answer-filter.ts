import type { ReasoningEvent, StreamEvent, TextEvent, ToolCallEvent } from '@hadrian/core/plugin'
import type { Matcher } from './matcher.ts'
import { mapTexts } from './strings.ts'
import { filterText, TextFilter } from './text-filter.ts'
import type { Filtered } from './text-filter.ts'

type PieceEvent = TextEvent | ReasoningEvent | ToolCallEvent
type Field = 'text' | 'summary' | 'arguments'

/** A block of the answer that comes in pieces: some text, some thinking, a tool call. */
interface Block {
  readonly type: PieceEvent['type']
  /** An event of the block without its text, to let out in what was held back. */
  readonly empty: PieceEvent
  readonly filters: Map<Field, TextFilter>
}

export interface AnswerFilterOptions {
  readonly matcher: Matcher
  readonly replacement: string
  /** Called for a match in what the client would see; throws to refuse the answer. */
  readonly found: () => void
}

/**
 * Filters the events of one answer. Each block of each choice is one text, and is held back only as far as its end may be
 * the beginning of a match. Order is kept: what is held back goes out before another block of its choice begins, except
 * that parallel tool calls, which may interleave, do not wait for each other.
 */
export class AnswerFilter {
  readonly #options: AnswerFilterOptions
  readonly #choices = new Map<number, Map<string, Block>>()

  constructor(options: AnswerFilterOptions) {
    this.#options = options
  }

  /** What to send in place of the event; undefined for the event as it is. */
  push(event: StreamEvent): readonly StreamEvent[] | undefined {
    switch (event.type) {
      case 'text':
      case 'reasoning':
      case 'tool_call':
        return this.#piece(event)
      case 'part': {
        const released = this.#release(event.choice ?? 0)
        const part = mapTexts(event.part, (text, json) => this.#checked(this.#filter(text, json)).text)
        const kept = this.#withoutNative(event)
        if (part !== event.part) return [...released, { ...own(kept), part }]
        return kept === event && released.length === 0 ? undefined : [...released, kept]
      }
      case 'finish': {
        const released = this.#release(event.choice ?? 0)
        this.#choices.delete(event.choice ?? 0)
        const kept = this.#withoutNative(event)
        return kept === event && released.length === 0 ? undefined : [...released, kept]
      }
      case 'error': {
        const released = this.flush()
        return released.length === 0 ? undefined : [...released, event]
      }
      default: {
        const kept = this.#withoutNative(event)
        return kept === event ? undefined : [kept]
      }
    }
  }

  /** Lets out everything that is held back. */
  flush(): readonly StreamEvent[] {
    return [...this.#choices.keys()].flatMap((choice) => this.#release(choice))
  }

  #piece(event: PieceEvent): readonly StreamEvent[] | undefined {
    const key = keyOf(event)
    const released = this.#release(event.choice ?? 0, key, event.type)
    const block = this.#block(event, key)
    let changed = this.#withoutNative(event)
    for (const field of fieldsOf(event)) {
      const text = (event as Partial<Record<Field, string>>)[field]
      if (text === undefined) continue
      const filter = this.#fieldFilter(block, field)
      const heldBefore = filter.holds
      const filtered = this.#checked(filter.push(text))
      if (heldBefore || filtered.matched || filtered.text !== text) {
        changed = { ...own(changed), [field]: filtered.text }
      }
    }
    if (event.type === 'tool_call' && event.name !== undefined) {
      const name = this.#checked(this.#filter(event.name, false))
      if (name.matched) changed = { ...own(changed), name: name.text } as ToolCallEvent
    }
    if (changed === event && released.length === 0) return undefined
    return changed !== event && saysNothing(changed) ? released : [...released, changed]
  }

  /** Lets out what other blocks of the choice hold back. */
  #release(choice: number, exceptKey?: string, forType?: PieceEvent['type']): StreamEvent[] {
    const events: StreamEvent[] = []
    for (const [key, block] of this.#choices.get(choice) ?? []) {
      if (key === exceptKey || (forType === 'tool_call' && block.type === 'tool_call')) continue
      for (const [field, filter] of block.filters) {
        if (!filter.holds) continue
        const { text } = this.#checked(filter.release())
        if (text !== '') events.push({ ...block.empty, [field]: text })
      }
    }
    return events
  }

  #block(event: PieceEvent, key: string): Block {
    const index = event.choice ?? 0
    let choice = this.#choices.get(index)
    if (!choice) this.#choices.set(index, (choice = new Map()))
    let block = choice.get(key)
    if (!block) {
      block = { type: event.type, empty: emptyOf(event), filters: new Map() }
      choice.set(key, block)
    }
    return block
  }

  #fieldFilter(block: Block, field: Field): TextFilter {
    let filter = block.filters.get(field)
    if (!filter) {
      const isJson = block.empty.type === 'tool_call' && block.empty.custom !== true
      filter = new TextFilter(this.#options.matcher, this.#options.replacement, isJson)
      block.filters.set(field, filter)
    }
    return filter
  }

  #filter(text: string, json: boolean): Filtered {
    return filterText(this.#options.matcher, this.#options.replacement, text, json)
  }

  #checked(filtered: Filtered): Filtered {
    if (filtered.matched) this.#options.found()
    return filtered
  }

  /**
   * The event without its provider's object if that has a match of its own. No refusal: it may only quote the prompt, and
   * whatever of it is the answer stands in the events too.
   */
  #withoutNative<E extends StreamEvent>(event: E): E {
    if (!event.native) return event
    const clean = mapTexts(event.native, (text, json) => this.#filter(text, json).text)
    return clean === event.native ? event : own(event)
  }
}

/** The event without what would still show its text as it was. */
function own<E extends StreamEvent>(event: E): E {
  const { native: _native, logprobs: _logprobs, ...fields } = event as TextEvent
  return fields as StreamEvent as E
}

/** Blocks as the contract tells them apart. */
function keyOf(event: PieceEvent): string {
  switch (event.type) {
    case 'text':
      return `text ${event.block ?? ''} ${event.refusal === true}`
    case 'reasoning':
      return `reasoning ${event.block ?? ''} ${event.id ?? ''}`
    case 'tool_call':
      return `tool_call ${event.index}`
  }
}

function fieldsOf(event: PieceEvent): readonly Field[] {
  if (event.type === 'tool_call') return ['arguments']
  return event.type === 'text' ? ['text'] : ['text', 'summary']
}

function emptyOf(event: PieceEvent): PieceEvent {
  const { choice, type } = event
  const place = choice === undefined ? {} : { choice }
  if (type === 'tool_call') return { type, ...place, index: event.index, ...(event.custom && { custom: true }) }
  const inBlock = event.block === undefined ? place : { ...place, block: event.block }
  if (type === 'text') return { type, ...inBlock, text: '', ...(event.refusal && { refusal: true }) }
  return {
    type,
    ...inBlock,
    ...(event.id !== undefined && { id: event.id }),
    ...(event.format !== undefined && { format: event.format }),
  }
}

/** Nothing is left of the event once its text is held back. */
function saysNothing(event: PieceEvent): boolean {
  if (fieldsOf(event).some((field) => (event as Partial<Record<Field, string>>)[field])) return false
  if (event.type === 'tool_call') return event.id === undefined && event.name === undefined
  return event.type === 'text' || (event.signature === undefined && event.encrypted === undefined)
}
