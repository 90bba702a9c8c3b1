import type { JsonObject } from '@hadrian/core/provider'

/** Name of the wire format, in `WireRequest.dialect` and in the native parts and tools that belong to it. */
export const messagesDialect = 'anthropic-messages'

/**
 * Name of the tool that a model without native structured output is made to call; its input is the answer. Sent only
 * when the client has no tools of its own, so that it cannot collide with one.
 */
export const structuredOutputTool = 'structured_output'

/** A content block, tool or other typed object of the Messages API. */
export interface Block {
  readonly type: string
  readonly [field: string]: unknown
}

/** One entry of `messages`. */
export interface WireMessage {
  readonly role: 'user' | 'assistant'
  readonly content: readonly Block[]
}

/** True for a block of the model's own thinking, readable or not. */
export function isThinking(block: Block | undefined): boolean {
  return block?.type === 'thinking' || block?.type === 'redacted_thinking'
}

/** True for a JSON object: no array, no null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
