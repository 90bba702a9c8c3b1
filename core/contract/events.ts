/** The canonical form of an answer: a sequence of events. */

import type { JsonObject, Part, ReasoningFormat, Usage } from './canonical.ts'
import type { GatewayError } from './errors.ts'

/**
 * Why a choice ended, in OpenAI's words; the provider's own stands in `raw`. `error` says that the model broke off: the
 * kernel makes a failure of it, so that no client ever sees it.
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'error'

/** Something the client asked for that did not happen, or happened otherwise. Logged and shown in `hadrian_metadata`. */
export interface Warning {
  /** snake_case: `unsupported_parameter`, `dropped_part`, `adjusted_value`, ... */
  readonly code: string
  readonly message: string
  /** The canonical field concerned, in the client's spelling where there is one. */
  readonly param?: string
  /** Facts behind the message for programs: numbers and names in snake_case, never content. */
  readonly details?: JsonObject
}

interface EventFields {
  /** Index of the choice, 0 where the request did not ask for several. */
  readonly choice?: number
  /** The provider's own object behind the event, where an encoder of the same dialect can make use of it. */
  readonly native?: JsonObject
}

/** First event of an answer. */
export interface StartEvent extends EventFields {
  readonly type: 'start'
  /** The upstream's id of the answer. */
  readonly id?: string
  /** The model as the upstream names it. */
  readonly model?: string
  /** Unix time in seconds. */
  readonly created?: number
}

/**
 * A piece of text. `block` tells the pieces of one block from those of the next (Anthropic content blocks, Responses
 * content parts); absent means that all text of the choice is one block.
 */
export interface TextEvent extends EventFields {
  readonly type: 'text'
  readonly text: string
  readonly block?: number
  readonly refusal?: boolean
  /** OpenAI's token objects for exactly this text. The kernel drops them when a hook changes the text. */
  readonly logprobs?: readonly JsonObject[]
}

/** A piece of thinking. `signature` and `encrypted` come whole, in one piece, at any point of their block. */
export interface ReasoningEvent extends EventFields {
  readonly type: 'reasoning'
  readonly block?: number
  readonly text?: string
  readonly summary?: string
  readonly signature?: string
  readonly encrypted?: string
  readonly id?: string
  readonly format?: ReasoningFormat
}

/** A piece of a tool call. The first of an `index` has `id` and `name`; the pieces of `arguments` join to the whole. */
export interface ToolCallEvent extends EventFields {
  readonly type: 'tool_call'
  /** Counts the tool calls of the choice from 0, in the order they begin; parallel calls may interleave. */
  readonly index: number
  readonly id?: string
  readonly name?: string
  readonly arguments?: string
  readonly custom?: boolean
}

/** A whole part at once: an image, a citation, the item of a hosted tool. */
export interface PartEvent extends EventFields {
  readonly type: 'part'
  readonly part: Part
}

/** Token counts so far. A later one replaces an earlier one, field by field. */
export interface UsageEvent extends EventFields {
  readonly type: 'usage'
  readonly usage: Usage
}

/** The end of one choice. Comes once for each choice of a complete answer; a stream without one was cut. */
export interface FinishEvent extends EventFields {
  readonly type: 'finish'
  readonly reason: FinishReason
  /** The provider's own word. */
  readonly raw?: string
}

/** A warning that came up while the answer was read. The kernel takes it out of the stream and adds it to the exchange's. */
export interface WarningEvent extends EventFields {
  readonly type: 'warning'
  readonly warning: Warning
}

/** A failure inside the stream. Nothing follows it. */
export interface ErrorEvent extends EventFields {
  readonly type: 'error'
  readonly error: GatewayError
}

/** One step of an answer. A non-streamed answer is the same sequence, in few and large events. Treat events as frozen. */
export type StreamEvent =
  | StartEvent
  | TextEvent
  | ReasoningEvent
  | ToolCallEvent
  | PartEvent
  | UsageEvent
  | FinishEvent
  | WarningEvent
  | ErrorEvent
