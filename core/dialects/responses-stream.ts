import type { FinishReason, JsonObject, StreamEvent } from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'
import type { ReplyContext, ReplyEnd, StreamWriter } from './dialect.ts'
import { idSuffix, responseObject } from './responses-object.ts'
import type { ResponseStatus } from './responses-object.ts'
import { ResponseOutput } from './responses-output.ts'
import type { Emit } from './responses-output-items.ts'
import { encodeResponsesUsage } from './responses-usage.ts'

/** Ends every completed stream. */
export const doneRecord = 'data: [DONE]\n\n'

/** One record of a stream; `event:` is equal to the type. */
export function responsesRecord(type: string, sequenceNumber: number, fields: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequenceNumber, ...fields })}\n\n`
}

/**
 * The two records that tell of a failure: the `error` event, whose fields stand both under `error` (the public schema)
 * and at the top (OpenAI's), and `response.failed`.
 */
export function failureRecords(error: ErrorBody, sequenceNumber: number, failed: JsonObject): string {
  const { type, code, message, param } = error
  return (
    responsesRecord('error', sequenceNumber, { code, message, param, error: { type, code, message, param } }) +
    responsesRecord('response.failed', sequenceNumber + 1, { response: failed })
  )
}

/** What a response ends as, by the reason the model stopped for. */
export function endOf(reason: FinishReason | undefined): {
  status: ResponseStatus
  incompleteReason?: string
  error?: JsonObject
} {
  switch (reason) {
    case 'length':
      return { status: 'incomplete', incompleteReason: 'max_output_tokens' }
    case 'content_filter':
      return { status: 'incomplete', incompleteReason: 'content_filter' }
    case 'error':
      return { status: 'failed', error: { code: 'server_error', message: 'The model ended with an error' } }
    default:
      return { status: 'completed' }
  }
}

/** The output for the client of this exchange. */
export function outputFor({ request, body, ...context }: ReplyContext, emit: Emit): ResponseOutput {
  const include: unknown = body['include']
  return new ResponseOutput({
    idSuffix: idSuffix({ request, body, ...context }),
    showsEncrypted: Array.isArray(include) && include.includes('reasoning.encrypted_content'),
    hidesReasoning: request.reasoning?.exclude === true,
    emit,
  })
}

/** Writes the events of the Responses API from canonical ones. */
export class ResponsesWriter implements StreamWriter<StreamEvent> {
  readonly #context: ReplyContext
  readonly #output: ResponseOutput
  #model: string
  #sequenceNumber = 0
  #written = ''
  #hasBegun = false
  #finish: FinishReason | undefined
  #hasFinished = false

  constructor(context: ReplyContext) {
    this.#context = context
    this.#model = context.model
    this.#output = outputFor(context, (type, fields) => this.#write(type, fields))
  }

  push(event: StreamEvent): string {
    if (event.type === 'start' && event.model !== undefined && !this.#hasBegun) this.#model = event.model
    this.#begin()
    if (event.type !== 'finish') this.#output.push(event)
    else if (!event.choice) {
      this.#finish = event.reason
      this.#finishOutput()
    }
    return this.#take()
  }

  end(end: ReplyEnd): string {
    this.#begin()
    this.#finishOutput()
    const { status, incompleteReason, error } = endOf(this.#finish)
    const response = responseObject(this.#context, {
      status,
      model: this.#model,
      ...(status === 'completed' && { completedAt: end.completedAt ?? this.#context.created }),
      ...(incompleteReason !== undefined && { incompleteReason }),
      ...(error && { error }),
      output: this.#output.items('incomplete'),
      ...(end.usage && { usage: encodeResponsesUsage(end.usage) }),
      ...(end.metadata && { metadata: end.metadata }),
    })
    this.#write(`response.${status}`, { response })
    return this.#take() + doneRecord
  }

  fail(error: ErrorBody): string {
    this.#begin()
    const failed = responseObject(this.#context, {
      status: 'failed',
      model: this.#model,
      error: { code: error.code, message: error.message },
      output: this.#output.items('incomplete'),
    })
    return this.#take() + failureRecords(error, this.#sequenceNumber, failed)
  }

  #begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const response = responseObject(this.#context, { status: 'in_progress', model: this.#model, output: [] })
    this.#write('response.created', { response })
    this.#write('response.in_progress', { response })
  }

  #finishOutput(): void {
    if (this.#hasFinished) return
    this.#hasFinished = true
    this.#output.finish(this.#finish === 'length' || this.#finish === 'content_filter')
  }

  #write(type: string, fields: JsonObject): void {
    this.#written += responsesRecord(type, this.#sequenceNumber++, fields)
  }

  #take(): string {
    const written = this.#written
    this.#written = ''
    return written
  }
}
