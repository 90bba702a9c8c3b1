import type { JsonObject, MediaPart, ReasoningEvent, StreamEvent } from '@hadrian/core/provider'
import { finishReason } from './finish-reason.ts'
import { filled, isObject } from './json.ts'
import { ToolCallDecoder } from './tool-call-decoder.ts'

/** Fields of `reasoning_details` entries, by their type, and the canonical name of what they hold. */
const detailContents: Readonly<Record<string, readonly [wire: string, canonical: 'text' | 'summary' | 'encrypted']>> = {
  'reasoning.text': ['text', 'text'],
  'reasoning.summary': ['summary', 'summary'],
  'reasoning.encrypted': ['data', 'encrypted'],
}

/** What a message may hold beside its text. */
const richFields: readonly string[] = [
  'reasoning_details',
  'reasoning',
  'reasoning_content',
  'refusal',
  'tool_calls',
  'function_call',
  'annotations',
  'images',
  'audio',
]

interface DetailBlock {
  readonly block: number
  readonly id: string | undefined
}

function listOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function logprobsOf(logprobs: unknown, name: 'content' | 'refusal'): readonly JsonObject[] | undefined {
  const list = isObject(logprobs) ? listOf(logprobs[name]) : []
  return list.length > 0 ? list : undefined
}

/** The place of an image: a URL, or the two parts of a data URL. */
function imagePart(image: JsonObject): MediaPart | undefined {
  const url = isObject(image['image_url']) ? filled(image['image_url']['url']) : filled(image['image_url'])
  if (url === undefined) return undefined
  const match = /^data:([^,]*);base64,/.exec(url.slice(0, 200))
  if (!match) return { type: 'media', kind: 'image', url }
  const mediaType = filled(match[1])
  return { type: 'media', kind: 'image', ...(mediaType && { mediaType }), data: url.slice(match[0].length) }
}

/** Reads one choice of a chat answer, from the deltas of its chunks or from its whole message. */
export class ChoiceDecoder {
  readonly #choice: number
  readonly #calls: ToolCallDecoder
  #blocks: Map<string, DetailBlock> | undefined
  #blockCount = 0
  #lastDetail: string | undefined
  #audio: Record<string, unknown> | undefined
  #isFinished = false
  readonly #isWhole: boolean

  /** `isWhole`: there is one message and no deltas. */
  constructor(choice: number, isWhole = false) {
    this.#choice = choice
    this.#isWhole = isWhole
    this.#calls = new ToolCallDecoder(choice)
  }

  /** `wireChoice` is an entry of `choices`, `message` its delta or message. */
  push(wireChoice: JsonObject, message: unknown, answerId: string): StreamEvent[] {
    const events = isObject(message) ? this.#message(message, wireChoice['logprobs'], answerId) : []
    const word = filled(wireChoice['finish_reason'])
    return word === undefined ? events : [...events, ...this.#finish(word, wireChoice, answerId)]
  }

  /** The answer is complete, whatever its choices said. */
  close(answerId: string): StreamEvent[] {
    if (this.#isFinished) return []
    this.#isFinished = true
    const reason = this.#calls.hasCalls ? 'tool_calls' : 'stop'
    return [...this.#rest(answerId), { type: 'finish', choice: this.#choice, reason }]
  }

  #finish(word: string, wireChoice: JsonObject, answerId: string): StreamEvent[] {
    if (this.#isFinished) return []
    this.#isFinished = true
    const raw = filled(wireChoice['native_finish_reason']) ?? word
    return [...this.#rest(answerId), { type: 'finish', choice: this.#choice, reason: finishReason(word), raw }]
  }

  /** What can only go out once no more pieces will come. */
  #rest(answerId: string): StreamEvent[] {
    const events = this.#calls.flush(answerId)
    if (this.#audio) events.push(this.#native({ type: 'audio', audio: this.#audio }))
    return events
  }

  #message(message: JsonObject, logprobs: unknown, answerId: string): StreamEvent[] {
    const content = message['content']
    // Nearly every chunk of nearly every stream is this.
    if (typeof content === 'string' && richFields.every((name) => message[name] == null))
      return this.#text(content, logprobsOf(logprobs, 'content'), false)
    const call = message['function_call']
    return [
      ...this.#reasoning(message),
      ...this.#content(content, logprobs),
      ...this.#text(message['refusal'], logprobsOf(logprobs, 'refusal'), true),
      ...this.#calls.push(message['tool_calls'], answerId),
      ...(isObject(call) ? this.#calls.push([{ index: 0, function: call }], answerId) : []),
      ...listOf(message['annotations']).map((annotation) => this.#native(annotation)),
      ...this.#images(message['images']),
      ...this.#addAudio(message['audio']),
    ]
  }

  #text(text: unknown, logprobs: readonly JsonObject[] | undefined, refusal: boolean): StreamEvent[] {
    const piece = filled(text)
    if (piece === undefined && !logprobs) return []
    return [
      {
        type: 'text',
        choice: this.#choice,
        text: piece ?? '',
        ...(refusal && { refusal: true }),
        ...(logprobs && { logprobs }),
      },
    ]
  }

  /** A string, or a list of parts as Mistral has it, with thinking among them. */
  #content(content: unknown, logprobs: unknown): StreamEvent[] {
    const contentLogprobs = logprobsOf(logprobs, 'content')
    if (!Array.isArray(content)) return this.#text(content, contentLogprobs, false)
    return listOf(content).flatMap((part) => {
      if (part['type'] === 'thinking') return this.#plainReasoning(thinkingText(part['thinking']))
      if (part['type'] === 'refusal') return this.#text(part['refusal'], undefined, true)
      const image = part['type'] === 'image_url' ? imagePart(part) : undefined
      if (image) return [{ type: 'part', choice: this.#choice, part: image } as const]
      return this.#text(part['text'], undefined, false)
    })
  }

  #reasoning(message: JsonObject): StreamEvent[] {
    const details = listOf(message['reasoning_details']).flatMap((detail) => this.#detail(detail))
    const hasText = details.some(
      (event) => event.type === 'reasoning' && (event.text !== undefined || event.summary !== undefined),
    )
    if (hasText) return details
    // Servers that send both mean the same text.
    const plain = filled(message['reasoning']) ?? filled(message['reasoning_content'])
    return [...this.#plainReasoning(plain), ...details]
  }

  #plainReasoning(text: string | undefined): StreamEvent[] {
    return text === undefined ? [] : [{ type: 'reasoning', choice: this.#choice, text }]
  }

  #detail(detail: JsonObject): StreamEvent[] {
    const type = String(detail['type'])
    const known = Object.hasOwn(detailContents, type) ? detailContents[type] : undefined
    if (!known) return [this.#native(detail)]
    const [wire, canonical] = known
    const content = filled(detail[wire])
    const signature = type === 'reasoning.text' ? filled(detail['signature']) : undefined
    if (content === undefined && signature === undefined) return []
    const { block, id } = this.#blockOf(detail, type)
    const format = filled(detail['format'])
    const event: ReasoningEvent = {
      type: 'reasoning',
      choice: this.#choice,
      block,
      ...(content !== undefined && { [canonical]: content }),
      ...(signature !== undefined && { signature }),
      ...(id !== undefined && { id }),
      ...(format !== undefined && { format }),
    }
    return [event]
  }

  /**
   * The block an entry belongs to. In a whole message each entry is one; in a stream those of one type and index are
   * pieces of one, and so are neighbours of one type without an index, but for encrypted ones, which come whole.
   */
  #blockOf(detail: JsonObject, type: string): DetailBlock {
    const { index } = detail
    const id = filled(detail['id'])
    const isNumbered = typeof index === 'number'
    const key = isNumbered ? `${type} ${index}` : type
    const continues = isNumbered || (this.#lastDetail === type && type !== 'reasoning.encrypted')
    const previous = continues && !this.#isWhole ? this.#blocks?.get(key) : undefined
    this.#lastDetail = type
    const differs = id !== undefined && previous?.id !== undefined && previous.id !== id
    if (previous && !differs) return previous
    const block = { block: this.#blockCount++, id }
    ;(this.#blocks ??= new Map()).set(key, block)
    return block
  }

  #images(images: unknown): StreamEvent[] {
    return listOf(images).flatMap((image) => {
      const part = imagePart(image)
      return part ? [{ type: 'part', choice: this.#choice, part } as const] : []
    })
  }

  /** Spoken answers come in pieces, which only make sense together. */
  #addAudio(audio: unknown): StreamEvent[] {
    if (!isObject(audio)) return []
    const known = this.#audio ?? {}
    const joined: Record<string, unknown> = { ...known, ...audio }
    for (const name of ['data', 'transcript']) {
      const pieces = [known[name], audio[name]].filter((piece) => typeof piece === 'string')
      if (pieces.length > 0) joined[name] = pieces.join('')
    }
    this.#audio = joined
    return []
  }

  #native(value: JsonObject): StreamEvent {
    return { type: 'part', choice: this.#choice, part: { type: 'native', dialect: 'chat', value } }
  }
}

function thinkingText(thinking: unknown): string | undefined {
  if (typeof thinking === 'string') return filled(thinking)
  return filled(
    listOf(thinking)
      .map((piece) => (typeof piece['text'] === 'string' ? piece['text'] : ''))
      .join(''),
  )
}
