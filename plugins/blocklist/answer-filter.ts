import { mapTexts, someText } from '@hadrian/core/plugin'
import type { Matcher, ReasoningEvent, StreamEvent, TextEvent, ToolCallEvent } from '@hadrian/core/plugin'
import { filterText, TextFilter } from './text-filter.ts'
import type { Filtered } from './text-filter.ts'
import { TextLane } from './text-lane.ts'

type PieceEvent = TextEvent | ReasoningEvent | ToolCallEvent
type Field = 'text' | 'summary' | 'arguments'

/** Text of one kind of one choice. */
interface Lane {
  readonly kind: PieceEvent['type']
  readonly field: Field
  readonly text: TextLane
  /** An event of the newest block without its text, to let out in what was held back. */
  empty: PieceEvent
}

export interface AnswerFilterOptions {
  readonly matcher: Matcher
  readonly replacement: string
  /** Called for a match in what the client would see; throws to refuse the answer. */
  readonly found: () => void
}

/**
 * Filters the events of one answer. The text of each kind in each choice is held back only as far as its end may be the
 * beginning of a match. Order is kept: what is held back goes out before something of another kind, except that parallel
 * tool calls, which may interleave, do not wait for each other.
 */
export class AnswerFilter {
  readonly #options: AnswerFilterOptions
  readonly #choices = new Map<number, Map<string, Lane>>()

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
    const released = this.#release(event.choice ?? 0, event)
    let changed = this.#withoutLogprobs(this.#withoutNative(event))
    for (const field of fieldsOf(event)) {
      const text = (event as Partial<Record<Field, string>>)[field]
      if (text === undefined && event.type !== 'tool_call') continue
      // Only the first event of a tool call says of what kind it is, and that often has no arguments yet.
      const lane = this.#lane(event, field)
      if (text === undefined) continue
      const heldBefore = lane.text.holds
      const filtered = this.#checked(lane.text.push(blockOf(event), text))
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

  /** Lets out what a choice holds back, but for what goes on with this event. */
  #release(choice: number, next?: PieceEvent): StreamEvent[] {
    const events: StreamEvent[] = []
    for (const [name, { kind, field, text, empty }] of this.#choices.get(choice) ?? []) {
      if (next?.type === kind && (kind !== 'text' || name === laneOf(next, field))) continue
      if (!text.holds) continue
      const rest = this.#checked(text.release()).text
      if (rest !== '') events.push({ ...empty, [field]: rest })
    }
    return events
  }

  #lane(event: PieceEvent, field: Field): Lane {
    const index = event.choice ?? 0
    let choice = this.#choices.get(index)
    if (!choice) this.#choices.set(index, (choice = new Map()))
    const name = laneOf(event, field)
    const known = choice.get(name)
    if (known) {
      if (blockOf(event) !== blockOf(known.empty)) known.empty = emptyOf(event)
      return known
    }
    const empty = emptyOf(event)
    const isJson = event.type === 'tool_call' && event.custom !== true
    const { matcher, replacement } = this.#options
    const text = new TextLane(() => new TextFilter(matcher, replacement, isJson))
    const lane = { kind: event.type, field, text, empty }
    choice.set(name, lane)
    return lane
  }

  #filter(text: string, json: boolean): Filtered {
    return filterText(this.#options.matcher, this.#options.replacement, text, json)
  }

  #checked(filtered: Filtered): Filtered {
    if (filtered.matched) this.#options.found()
    return filtered
  }

  /** The event without its probabilities if the word is among the tokens that the model did not choose. */
  #withoutLogprobs(event: PieceEvent): PieceEvent {
    if (event.type !== 'text' || !event.logprobs) return event
    return someText(event.logprobs, (text) => this.#filter(text, false).matched) ? own(event) : event
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

/** What is one text to a client that does not tell blocks apart. */
function laneOf(event: PieceEvent, field: Field): string {
  switch (event.type) {
    case 'text':
      return event.refusal ? 'refusal' : 'text'
    case 'reasoning':
      return `reasoning ${field}`
    case 'tool_call':
      return `tool_call ${event.index}`
  }
}

/** Blocks as the contract tells them apart. */
function blockOf(event: PieceEvent): string {
  if (event.type === 'tool_call') return ''
  return event.type === 'text' ? `${event.block ?? ''}` : `${event.block ?? ''} ${event.id ?? ''}`
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
