import type { JsonObject, Usage } from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'
import { costFields } from './chat-usage.ts'
import type { ReplyContext, ReplyEnd, StreamWriter, UpstreamRecord } from './dialect.ts'
import { isObject } from './chat-fields.ts'
import { responseObject } from './responses-object.ts'
import { doneRecord, failureRecords, responsesRecord } from './responses-stream.ts'
import { encodeResponsesUsage } from './responses-usage.ts'
import { parseObject } from './verbatim-stream.ts'

/**
 * Hands the records of an upstream through as they are. The terminal one is held until the exchange is settled, and then
 * gets cost and metadata; a failing one is not forwarded, since the kernel calls `fail` for it.
 */
export class VerbatimResponsesWriter implements StreamWriter<UpstreamRecord> {
  readonly #context: ReplyContext
  /** Data of `response.created`, and of the last record that went out: parsed only if the stream fails. */
  #created: string | undefined
  #last: string | undefined
  #terminal: UpstreamRecord | undefined

  constructor(context: ReplyContext) {
    this.#context = context
  }

  push(record: UpstreamRecord): string {
    const { data, events } = record
    if (data === '[DONE]') return ''
    for (const { type } of events) {
      if (type === 'error') return ''
      if (type !== 'finish') continue
      this.#terminal = record
      return ''
    }
    // Only a record without events can be no JSON at all, which clients would fail to parse.
    if (events.length === 0 && !parseObject(data)) return ''
    this.#created ??= data
    this.#last = data
    const event = record.event ?? parseObject(data)?.['type']
    const eventLine = typeof event === 'string' ? `event: ${event}\n` : ''
    const lines = data.includes('\n') ? data.replaceAll('\n', '\ndata: ') : data
    return `${eventLine}data: ${lines}\n\n`
  }

  end(end: ReplyEnd): string {
    if (!this.#terminal) return doneRecord
    const record = parseObject(this.#terminal.data)
    const type = record?.['type'] ?? this.#terminal.event
    const response = record?.['response']
    if (!record || typeof type !== 'string' || !isObject(response)) return doneRecord
    const { type: _, sequence_number: sequenceNumber, ...fields } = record
    const patched = {
      ...response,
      ...(end.usage && { usage: finalUsage(response['usage'], end.usage) }),
      ...(end.metadata && { hadrian_metadata: end.metadata }),
    }
    const number = typeof sequenceNumber === 'number' ? sequenceNumber : this.#nextSequenceNumber()
    return responsesRecord(type, number, { ...fields, response: patched }) + doneRecord
  }

  fail(error: ErrorBody): string {
    const created = this.#created === undefined ? undefined : parseObject(this.#created)?.['response']
    const shown = { code: error.code, message: error.message }
    if (isObject(created)) {
      const failed = { ...created, status: 'failed', error: shown }
      return failureRecords(error, this.#nextSequenceNumber(), failed)
    }
    const state = { model: this.#context.model, output: [] }
    const begun = responseObject(this.#context, { ...state, status: 'in_progress' })
    const failed = responseObject(this.#context, { ...state, status: 'failed', error: shown })
    return (
      responsesRecord('response.created', 0, { response: begun }) +
      responsesRecord('response.in_progress', 1, { response: begun }) +
      failureRecords(error, 2, failed)
    )
  }

  #nextSequenceNumber(): number {
    const last = this.#last === undefined ? undefined : parseObject(this.#last)?.['sequence_number']
    return typeof last === 'number' ? last + 1 : 0
  }
}

/** The upstream's own counts stay; what only the gateway knows is added. */
function finalUsage(upstream: unknown, usage: Usage): JsonObject {
  return isObject(upstream) ? { ...upstream, ...costFields(usage, upstream) } : encodeResponsesUsage(usage)
}
