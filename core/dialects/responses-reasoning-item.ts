import type { JsonObject, ReasoningEvent, ReasoningPart } from '../contract/canonical.ts'
import type { Emit, ItemPlace, ItemStatus, OutputItem } from './responses-output-items.ts'
import { openaiReasoningFormat, sealReasoning } from './responses-reasoning.ts'

interface ReasoningEntry {
  readonly shows: 'summary' | 'text'
  readonly place: 'summary' | 'content'
  readonly index: number
  readonly part: { -readonly [K in keyof ReasoningPart]: ReasoningPart[K] }
  readonly block: number | undefined
}

/**
 * Thinking. Text of a provider that speaks this API is raw `content`, as it was there. All other text is written as
 * `summary`, which every client of the API shows and sends back, with a seal that says what it was.
 */
export class ReasoningItem implements OutputItem {
  readonly #place: ItemPlace
  readonly #emit: Emit
  readonly #showsEncrypted: boolean
  readonly #upstreamId: string | undefined
  readonly #entries: ReasoningEntry[] = []
  readonly #silent: ReasoningPart[] = []
  #open: ReasoningEntry | undefined
  #block: number | undefined

  constructor(place: ItemPlace, first: ReasoningEvent, showsEncrypted: boolean, emit: Emit) {
    this.#place = place
    this.#upstreamId = first.id
    this.#block = first.block
    this.#showsEncrypted = showsEncrypted
    this.#emit = emit
  }

  /** True if the event is more of this item: the same id upstream, or without ids the same block. */
  continues(event: ReasoningEvent): boolean {
    const hasBothIds = event.id !== undefined && this.#upstreamId !== undefined
    return hasBothIds ? event.id === this.#upstreamId : event.block === this.#block
  }

  add(event: ReasoningEvent): void {
    this.#block = event.block
    if (event.text) this.#delta('text', event.text, event)
    if (event.summary) this.#delta('summary', event.summary, event)
    const { signature, encrypted, id, format } = event
    if (signature === undefined && encrypted === undefined) return
    const entry = this.#entries.findLast(({ block }) => block === event.block)
    const proofs = {
      ...(signature !== undefined && { signature }),
      ...(encrypted !== undefined && { encrypted }),
      ...(format !== undefined && { format }),
    }
    if (entry) Object.assign(entry.part, proofs)
    else this.#silent.push({ type: 'reasoning', ...(id !== undefined && { id }), ...proofs })
  }

  close(): void {
    const entry = this.#open
    if (!entry) return
    this.#open = undefined
    const place = this.#entryPlace(entry)
    const text = entry.part[entry.shows] ?? ''
    if (entry.place === 'summary') {
      this.#emit('response.reasoning_summary_text.done', { ...place, text })
      this.#emit('response.reasoning_summary_part.done', { ...place, part: { type: 'summary_text', text } })
    } else {
      this.#emit('response.reasoning_text.done', { ...place, text })
      this.#emit('response.content_part.done', { ...place, part: { type: 'reasoning_text', text } })
    }
  }

  value(status: ItemStatus): JsonObject {
    const contents = this.#texts('content')
    const encrypted = status === 'in_progress' ? undefined : this.#encrypted()
    return {
      id: this.#place.id,
      type: 'reasoning',
      status,
      summary: this.#texts('summary').map((text) => ({ type: 'summary_text', text })),
      ...(contents.length > 0 && { content: contents.map((text) => ({ type: 'reasoning_text', text })) }),
      ...(encrypted !== undefined && { encrypted_content: encrypted }),
    }
  }

  #texts(place: 'summary' | 'content'): string[] {
    return this.#entries.filter((entry) => entry.place === place).map(({ shows, part }) => part[shows] ?? '')
  }

  #encrypted(): string | undefined {
    const parts = [...this.#entries.map(({ part }) => part), ...this.#silent]
    if (!parts.every(({ format }) => format === openaiReasoningFormat)) return sealReasoning(parts)
    return this.#showsEncrypted ? parts.findLast(({ encrypted }) => encrypted !== undefined)?.encrypted : undefined
  }

  #delta(shows: 'summary' | 'text', delta: string, event: ReasoningEvent): void {
    const entry = this.#entry(shows, event)
    entry.part[shows] = (entry.part[shows] ?? '') + delta
    const type = entry.place === 'summary' ? 'response.reasoning_summary_text.delta' : 'response.reasoning_text.delta'
    this.#emit(type, { ...this.#entryPlace(entry), delta })
  }

  #entry(shows: 'summary' | 'text', { block, id, format }: ReasoningEvent): ReasoningEntry {
    if (this.#open && this.#open.block === block && this.#open.shows === shows) return this.#open
    this.close()
    const place = shows === 'text' && format === openaiReasoningFormat ? 'content' : 'summary'
    const entry: ReasoningEntry = {
      shows,
      place,
      index: this.#entries.filter((other) => other.place === place).length,
      part: { type: 'reasoning', ...(id !== undefined && { id }), ...(format !== undefined && { format }) },
      block,
    }
    this.#entries.push(entry)
    this.#open = entry
    if (place === 'summary') {
      const part = { type: 'summary_text', text: '' }
      this.#emit('response.reasoning_summary_part.added', { ...this.#entryPlace(entry), part })
    } else {
      const part = { type: 'reasoning_text', text: '' }
      this.#emit('response.content_part.added', { ...this.#entryPlace(entry), part })
    }
    return entry
  }

  #entryPlace({ place, index }: ReasoningEntry): JsonObject {
    const { id, outputIndex } = this.#place
    return { item_id: id, output_index: outputIndex, [place === 'summary' ? 'summary_index' : 'content_index']: index }
  }
}
