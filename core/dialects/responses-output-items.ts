import type { JsonObject, TextEvent, ToolCallEvent } from '../contract/canonical.ts'

/** Takes an event of the stream, without its sequence number. */
export type Emit = (type: string, fields: JsonObject) => void

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

/** Where an item stands in the response. */
export interface ItemPlace {
  readonly id: string
  readonly outputIndex: number
}

/** An item of the output while it is made. */
export interface OutputItem {
  /** The wire object as far as it is known. */
  value(status: ItemStatus): JsonObject
  /** Emits the done-events of whatever is open in the item; the assembler emits that of the item. */
  close(): void
}

interface TextEntry {
  readonly block: string
  readonly isRefusal: boolean
  readonly annotations: JsonObject[]
  readonly logprobs: JsonObject[]
  /** Characters of the answer's text before it. */
  readonly offset: number
  text: string
}

export class MessageItem implements OutputItem {
  readonly #place: ItemPlace
  readonly #emit: Emit
  readonly #entries: TextEntry[] = []
  #isPartOpen = false

  constructor(place: ItemPlace, emit: Emit) {
    this.#place = place
    this.#emit = emit
  }

  /** @param offset characters of the answer's text so far */
  text(event: TextEvent, offset: number): void {
    const isRefusal = event.refusal === true
    const entry = this.#entry(`${event.block ?? ''} ${isRefusal}`, isRefusal, offset)
    entry.text += event.text
    const logprobs = event.logprobs?.map(wholeLogprob) ?? []
    entry.logprobs.push(...logprobs)
    if (isRefusal) this.#emit('response.refusal.delta', { ...this.#contentPlace(), delta: event.text })
    else this.#emit('response.output_text.delta', { ...this.#contentPlace(), delta: event.text, logprobs })
  }

  /** Adds an annotation to the text that was written last. `ofAnswer`: its place is one in the text of the answer. */
  annotate(given: JsonObject, ofAnswer: boolean): void {
    const entry = this.#isPartOpen ? this.#entries.at(-1) : undefined
    if (!entry || entry.isRefusal) return
    const annotation = ofAnswer ? placedIn(given, entry) : given
    this.#emit('response.output_text.annotation.added', {
      ...this.#contentPlace(),
      annotation_index: entry.annotations.length,
      annotation,
    })
    entry.annotations.push(annotation)
  }

  close(): void {
    const entry = this.#entries.at(-1)
    if (!entry || !this.#isPartOpen) return
    this.#isPartOpen = false
    const place = this.#contentPlace()
    if (entry.isRefusal) this.#emit('response.refusal.done', { ...place, refusal: entry.text })
    else this.#emit('response.output_text.done', { ...place, text: entry.text, logprobs: entry.logprobs })
    this.#emit('response.content_part.done', { ...place, part: contentPart(entry) })
  }

  value(status: ItemStatus): JsonObject {
    return { id: this.#place.id, type: 'message', status, role: 'assistant', content: this.#entries.map(contentPart) }
  }

  #entry(block: string, isRefusal: boolean, offset: number): TextEntry {
    const last = this.#entries.at(-1)
    if (last && this.#isPartOpen && last.block === block) return last
    this.close()
    const entry: TextEntry = { block, isRefusal, annotations: [], logprobs: [], offset, text: '' }
    this.#entries.push(entry)
    this.#isPartOpen = true
    this.#emit('response.content_part.added', { ...this.#contentPlace(), part: contentPart(entry) })
    return entry
  }

  #contentPlace(): JsonObject {
    const { id, outputIndex } = this.#place
    return { item_id: id, output_index: outputIndex, content_index: this.#entries.length - 1 }
  }
}

/** Places in the text of the answer are places in one of its parts here. */
function placedIn(annotation: JsonObject, { offset }: TextEntry): JsonObject {
  const { start_index: start, end_index: end } = annotation
  if (offset === 0 || typeof start !== 'number' || typeof end !== 'number' || start < offset) return annotation
  return { ...annotation, start_index: start - offset, end_index: end - offset }
}

function contentPart({ isRefusal, text, annotations, logprobs }: TextEntry): JsonObject {
  if (isRefusal) return { type: 'refusal', refusal: text }
  return { type: 'output_text', text, annotations: [...annotations], logprobs: [...logprobs] }
}

/** The schema wants lists where Chat Completions may have null. */
function wholeLogprob(logprob: JsonObject): JsonObject {
  const top = (logprob['top_logprobs'] as readonly JsonObject[] | null | undefined) ?? []
  return {
    ...logprob,
    bytes: logprob['bytes'] ?? [],
    top_logprobs: top.map((each) => ({ ...each, bytes: each['bytes'] ?? [] })),
  }
}

/** A call of a function, or of a custom tool with free text. */
export class CallItem implements OutputItem {
  readonly #place: ItemPlace
  readonly #emit: Emit
  readonly #custom: boolean
  readonly #callId: string
  readonly #name: string
  #arguments = ''

  constructor(place: ItemPlace, first: ToolCallEvent, emit: Emit) {
    this.#place = place
    this.#emit = emit
    this.#custom = first.custom === true
    this.#callId = first.id ?? `call_${place.id}`
    this.#name = first.name ?? ''
  }

  add(delta: string): void {
    this.#arguments += delta
    const type = this.#custom ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta'
    this.#emit(type, { item_id: this.#place.id, output_index: this.#place.outputIndex, delta })
  }

  close(): void {
    const place = { item_id: this.#place.id, output_index: this.#place.outputIndex }
    if (this.#custom) this.#emit('response.custom_tool_call_input.done', { ...place, input: this.#arguments })
    else {
      const done = { ...place, name: this.#name, arguments: this.#arguments }
      this.#emit('response.function_call_arguments.done', done)
    }
  }

  value(status: ItemStatus): JsonObject {
    return {
      id: this.#place.id,
      type: this.#custom ? 'custom_tool_call' : 'function_call',
      status,
      call_id: this.#callId,
      name: this.#name,
      [this.#custom ? 'input' : 'arguments']: this.#arguments,
    }
  }
}

/** An item that comes whole: that of a hosted tool, or a medium. */
export class WholeItem implements OutputItem {
  readonly #item: JsonObject

  constructor(place: ItemPlace, item: JsonObject) {
    this.#item = { ...item, id: place.id }
  }

  close(): void {}

  value(status: ItemStatus): JsonObject {
    return { status, ...this.#item }
  }
}
