import { eventsOf } from '../contract/answer.ts'
import type { JsonObject, MediaPart, Part, ReasoningEvent, StreamEvent } from '../contract/canonical.ts'
import { CallItem, MessageItem, WholeItem } from './responses-output-items.ts'
import type { Emit, ItemPlace, ItemStatus, OutputItem } from './responses-output-items.ts'
import { isObject } from './chat-fields.ts'
import { openaiReasoningFormat } from './responses-reasoning.ts'
import { ReasoningItem } from './responses-reasoning-item.ts'

export interface OutputOptions {
  /** Common to the ids of all items. */
  readonly idSuffix: string
  /** The client asked for `reasoning.encrypted_content`. */
  readonly showsEncrypted: boolean
  /** The client asked not to see the thinking. */
  readonly hidesReasoning: boolean
  readonly emit: Emit
}

const annotationTypes: ReadonlySet<unknown> = new Set([
  'url_citation',
  'file_citation',
  'container_file_citation',
  'file_path',
])

/**
 * Makes the output items of a response from events, and emits the stream's events about them. Message and reasoning
 * items end when the next item begins; calls stay open until the end, since parallel calls may interleave.
 */
export class ResponseOutput {
  readonly #options: OutputOptions
  readonly #items: OutputItem[] = []
  /** Index of every item that has not ended, in the order of the output. */
  readonly #open = new Set<number>()
  readonly #calls = new Map<number, CallItem>()
  readonly #usedIds = new Set<string>()
  /** Status each ended item ended with. */
  readonly #ended = new Map<number, ItemStatus>()
  /** The message or reasoning item that the next piece may belong to. */
  #current: MessageItem | ReasoningItem | undefined
  #partBlocks = 0
  /** Characters of the answer's text so far. */
  #textLength = 0

  constructor(options: OutputOptions) {
    this.#options = options
  }

  push(event: StreamEvent): void {
    if (event.choice !== undefined && event.choice !== 0) return
    switch (event.type) {
      case 'text':
        if (event.text !== '' || event.logprobs?.length) this.#message().text(event, this.#textLength)
        if (!event.refusal) this.#textLength += event.text.length
        break
      case 'reasoning':
        if (!this.#options.hidesReasoning && hasContent(event)) this.#reasoning(event).add(event)
        break
      case 'tool_call': {
        const call = this.#calls.get(event.index) ?? this.#startCall(event)
        if (event.arguments) call.add(event.arguments)
        break
      }
      case 'part':
        this.#part(event.part)
        break
      default:
    }
  }

  /** Ends all items. If the answer was cut short and its last item is open, that one is incomplete. */
  finish(isCutShort: boolean): void {
    const last = this.#items.length - 1
    for (const index of [...this.#open].toSorted((a, b) => a - b)) {
      this.#end(index, isCutShort && index === last ? 'incomplete' : 'completed')
    }
    this.#current = undefined
  }

  /** The items as they are; those that have not ended have the given status. */
  items(openStatus: ItemStatus): JsonObject[] {
    return this.#items.map((item, index) => item.value(this.#ended.get(index) ?? openStatus))
  }

  #message(): MessageItem {
    if (this.#current instanceof MessageItem) return this.#current
    return this.#startCurrent('msg', undefined, (place) => new MessageItem(place, this.#options.emit))
  }

  #reasoning(event: ReasoningEvent): ReasoningItem {
    if (this.#current instanceof ReasoningItem && this.#current.continues(event)) return this.#current
    const { showsEncrypted, emit } = this.#options
    // OpenAI checks that an encrypted block comes back with the id it was made for.
    const id = event.format === openaiReasoningFormat ? event.id : undefined
    return this.#startCurrent('rs', id, (place) => new ReasoningItem(place, event, showsEncrypted, emit))
  }

  #startCall(event: Extract<StreamEvent, { type: 'tool_call' }>): CallItem {
    this.#endCurrent()
    const prefix = event.custom ? 'ctc' : 'fc'
    const call = this.#start(prefix, undefined, (place) => new CallItem(place, event, this.#options.emit))
    this.#calls.set(event.index, call)
    return call
  }

  #part(part: Part): void {
    switch (part.type) {
      case 'native': {
        const annotation = annotationOf(part.value)
        if (annotation) {
          const isNested = annotation !== part.value
          if (this.#current instanceof MessageItem) this.#current.annotate(annotation, isNested)
        } else if (part.dialect === 'responses') this.#whole('item', part.value)
        break
      }
      case 'media':
        this.#whole('ig', mediaItem(part))
        break
      case 'tool_result':
        break
      case 'tool_call':
        this.push({
          type: 'tool_call',
          index: this.#partIndex(),
          id: part.id,
          name: part.name,
          arguments: part.arguments,
          ...(part.custom && { custom: true }),
        })
        break
      default:
        for (const event of eventsOf([part])) this.push({ ...event, block: this.#partIndex() } as StreamEvent)
    }
  }

  /** Whole parts have no number among the blocks and calls of the stream, so that they count from the other side. */
  #partIndex(): number {
    this.#partBlocks -= 1
    return this.#partBlocks
  }

  #whole(prefix: string, item: JsonObject): void {
    this.#endCurrent()
    const id = typeof item['id'] === 'string' ? item['id'] : undefined
    this.#start(prefix, id, (place) => new WholeItem(place, item))
    this.#end(this.#items.length - 1, 'completed')
  }

  #startCurrent<I extends MessageItem | ReasoningItem>(
    prefix: string,
    id: string | undefined,
    make: (place: ItemPlace) => I,
  ): I {
    this.#endCurrent()
    const item = this.#start(prefix, id, make)
    this.#current = item
    return item
  }

  #start<I extends OutputItem>(prefix: string, wantedId: string | undefined, make: (place: ItemPlace) => I): I {
    const outputIndex = this.#items.length
    const isFree = wantedId !== undefined && wantedId !== '' && !this.#usedIds.has(wantedId)
    const id = isFree ? wantedId : `${prefix}_${this.#options.idSuffix}_${outputIndex}`
    this.#usedIds.add(id)
    const item = make({ id, outputIndex })
    this.#items.push(item)
    this.#open.add(outputIndex)
    const value = item.value('in_progress')
    this.#options.emit('response.output_item.added', { output_index: outputIndex, item: value })
    return item
  }

  #endCurrent(): void {
    if (!this.#current) return
    this.#end(this.#items.indexOf(this.#current), 'completed')
    this.#current = undefined
  }

  #end(index: number, status: ItemStatus): void {
    const item = this.#items[index]
    if (!item) return
    item.close()
    this.#open.delete(index)
    this.#ended.set(index, status)
    this.#options.emit('response.output_item.done', { output_index: index, item: item.value(status) })
  }
}

function hasContent({ text, summary, signature, encrypted }: ReasoningEvent): boolean {
  return Boolean(text) || Boolean(summary) || signature !== undefined || encrypted !== undefined
}

/** Chat Completions nests what is flat here. */
function annotationOf(value: JsonObject): JsonObject | undefined {
  const { type } = value
  if (!annotationTypes.has(type)) return undefined
  const nested = value[String(type)]
  return isObject(nested) ? { type, ...nested } : value
}

/** The API has an item for generated images only. */
function mediaItem(part: MediaPart): JsonObject {
  if (part.kind === 'image' && part.data !== undefined) return { type: 'image_generation_call', result: part.data }
  const { kind, mediaType, url, data, fileId, filename } = part
  return {
    type: 'hadrian:media',
    kind,
    ...(mediaType !== undefined && { media_type: mediaType }),
    ...(url !== undefined && { url }),
    ...(data !== undefined && { data }),
    ...(fileId !== undefined && { file_id: fileId }),
    ...(filename !== undefined && { filename }),
  }
}
