import type { JsonObject, StreamEvent } from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'
import { isObject } from './chat-fields.ts'
import { doneRecord, errorRecord } from './chat-stream.ts'
import { costFields, encodeChatUsage } from './chat-usage.ts'
import type { ReplyContext, ReplyEnd, StreamWriter, UpstreamRecord } from './dialect.ts'
import { hasForeignFinish, isDoubtful, withKnownFinish } from './finish-words.ts'

const nullUsage = /,\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,/
const anyUsage = '"usage"'

/** The data of a record as an object; undefined if it is none. */
export function parseObject(data: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function withKnownWords({ data, events }: UpstreamRecord): string {
  const chunk = parseObject(data)
  return chunk && hasForeignFinish(chunk) ? JSON.stringify(withKnownFinish(chunk, events)) : data
}

/** Writes a stream anew from the events of its records, for an answer that may not go out as it came. */
export class RewritingWriter implements StreamWriter<UpstreamRecord> {
  readonly #writer: StreamWriter<StreamEvent>

  constructor(writer: StreamWriter<StreamEvent>) {
    this.#writer = writer
  }

  push(record: UpstreamRecord): string {
    return record.events.map((event) => this.#writer.push(event)).join('')
  }

  end(end: ReplyEnd): string {
    return this.#writer.end(end)
  }

  fail(error: ErrorBody): string {
    return this.#writer.fail(error)
  }
}

/**
 * Hands through a stream of chat or completions chunks. Only records with a usage are touched: it is held back until the
 * end, where the cost is known, and goes out only if the client asked for it.
 */
export class VerbatimChunkWriter implements StreamWriter<UpstreamRecord> {
  readonly #context: ReplyContext
  readonly #asked: boolean
  readonly #object: string
  /** The last chunk, whose id and model a chunk of our own repeats. */
  #last: string | undefined
  /** The chunk whose usage waits for the end. */
  #held: JsonObject | undefined

  /** `object` is the type of the chunks, for one of our own. */
  constructor(context: ReplyContext, object: string) {
    this.#context = context
    this.#asked = context.request.includeUsage === true
    this.#object = object
  }

  push(record: UpstreamRecord): string {
    const { event, events } = record
    if (record.data === '[DONE]' || events.some(({ type }) => type === 'error')) return ''
    // Only a record without events can be no JSON at all, which clients would fail to parse.
    if (events.length === 0 && !parseObject(record.data)) return ''
    const data = events.some(isDoubtful) ? withKnownWords(record) : record.data
    // A quote inside a JSON string is escaped, so this finds nothing in the text of an answer.
    const text = data.includes(anyUsage) ? this.#withoutUsage(data) : data
    this.#last = data
    if (text === '') return ''
    const lines = text.includes('\n') ? text.replaceAll('\n', '\ndata: ') : text
    return event === undefined ? `data: ${lines}\n\n` : `event: ${event}\ndata: ${lines}\n\n`
  }

  end(end: ReplyEnd): string {
    const usage = this.#asked ? this.#usage(end) : undefined
    const metadata = end.metadata && { hadrian_metadata: end.metadata }
    if (!usage && !metadata) return doneRecord
    // A client that did not ask for usage may read the first choice of every chunk.
    const choices = usage ? [] : [{ index: 0, delta: {}, logprobs: null, finish_reason: null }]
    const chunk = { ...this.#chunk(), choices, ...(usage && { usage }), ...metadata }
    return `data: ${JSON.stringify(chunk)}\n\n${doneRecord}`
  }

  fail(error: ErrorBody): string {
    return errorRecord(error)
  }

  /** The record as it may go out now, empty if it was only there for its usage. */
  #withoutUsage(data: string): string {
    if (data.indexOf(anyUsage) === data.lastIndexOf(anyUsage) && nullUsage.test(data)) {
      return this.#asked ? data : data.replace(nullUsage, '')
    }
    const chunk = parseObject(data)
    if (!chunk || !isObject(chunk['usage'])) return data
    const { usage: _, ...others } = chunk
    this.#held = chunk
    const choices = chunk['choices']
    if (!Array.isArray(choices) || choices.length === 0) return ''
    return JSON.stringify(this.#asked ? { ...others, usage: null } : others)
  }

  #usage(end: ReplyEnd): JsonObject | undefined {
    const held = isObject(this.#held?.['usage']) ? this.#held['usage'] : undefined
    if (!end.usage) return held
    return held ? { ...held, ...costFields(end.usage, held) } : encodeChatUsage(end.usage)
  }

  /** The fields of a chunk of our own. */
  #chunk(): JsonObject {
    const model = this.#held ?? (this.#last === undefined ? undefined : parseObject(this.#last))
    if (model) {
      const { choices: _, usage: __, obfuscation: ___, ...fields } = model
      return fields
    }
    const { exchangeId, created, model: name } = this.#context
    const prefix = this.#object === 'text_completion' ? 'cmpl' : 'chatcmpl'
    return { id: `${prefix}-${exchangeId}`, object: this.#object, created, model: name }
  }
}
