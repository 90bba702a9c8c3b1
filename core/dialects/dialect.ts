/**
 * What the kernel needs of a client dialect: reading requests, and writing answers in four ways (whole or streamed, made
 * from events or handed through from an upstream that speaks the same dialect).
 */

import type { Answer } from '../contract/answer.ts'
import type { Dialect, GenerateRequest, JsonObject, Operation, StreamEvent, Usage } from '../contract/canonical.ts'
import type { ErrorBody } from '../contract/errors.ts'

/** What an encoder knows besides the events. */
export interface ReplyContext {
  /** Id of the exchange. */
  readonly exchangeId: string
  /** The client's request, as it came in. */
  readonly request: GenerateRequest
  /** The client's own body; responses echo it. */
  readonly body: JsonObject
  /** The name to show as `model` where the upstream gives none. */
  readonly model: string
  /** Unix time in seconds. */
  readonly created: number
}

/** What the end of an answer adds, known once the exchange is settled. */
export interface ReplyEnd {
  /** Final tokens and cost, estimated if the upstream sent none; undefined for answers that used no model. */
  readonly usage: Usage | undefined
  /** Unix time in seconds; default: when the answer was created. */
  readonly completedAt?: number
  /** `hadrian_metadata`, if the client asked for it. */
  readonly metadata?: JsonObject
}

/** One record of an upstream stream in the client's own dialect, with the events its provider read from it. */
export interface UpstreamRecord {
  readonly event?: string | undefined
  readonly data: string
  readonly events: readonly StreamEvent[]
}

/**
 * Writes one streamed answer. Every method returns text ready for the socket: zero or more whole SSE records, each ended
 * by an empty line. Holds back whatever may only go out after settling: usage, terminal events, `[DONE]`.
 */
export interface StreamWriter<Input> {
  push(input: Input): string
  /** The answer is complete and settled. */
  end(end: ReplyEnd): string
  /** The answer failed after its first byte: the dialect's typed error, and no `[DONE]`. */
  fail(error: ErrorBody): string
}

export interface ClientDialect {
  readonly name: Dialect
  readonly operation: Operation
  /**
   * Reads a body that has passed its request schema. Total on parts and fields it does not know. Throws a
   * `GatewayError` `invalid_request_error` with `param` and `details.errors` for contradictions a schema cannot see, and
   * `unsupported` for fields this gateway does not serve.
   */
  decode(body: JsonObject): GenerateRequest
  /** The whole body of a non-streamed answer. */
  encode(answer: Answer, end: ReplyEnd, context: ReplyContext): JsonObject
  /** Writes a stream from events. */
  writer(context: ReplyContext): StreamWriter<StreamEvent>
  /** Hands through a stream of an upstream that speaks this dialect; only records the gateway owns part of are changed. */
  verbatimWriter(context: ReplyContext): StreamWriter<UpstreamRecord>
  /** This dialect's usage object, with `cost`, `cost_details` and `is_byok` where a cost is known. */
  encodeUsage(usage: Usage): JsonObject
}
