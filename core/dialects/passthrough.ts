/** Byte passthrough of requests: the client's own body sent upstream with nothing changed but what the gateway owns. */

import type { Dialect, GenerateRequest, JsonObject } from '../contract/canonical.ts'
import type { Capabilities, Target } from '../contract/provider.ts'
import { spliceFields } from './json-bytes.ts'

/** Fields that are the gateway's alone: never sent upstream. */
export const gatewayFields: readonly string[] = [
  'models',
  'provider',
  'plugins',
  'route',
  'transforms',
  'session_id',
  'usage',
]

/**
 * Fields that some upstreams take and others refuse. With one of them in the body, bytes pass only to an upstream whose
 * capabilities list it; for any other its provider maps the field or warns.
 */
export const extensionFields: Readonly<Record<Dialect, readonly string[]>> = {
  chat: ['top_k', 'min_p', 'top_a', 'repetition_penalty', 'reasoning', 'include_reasoning'],
  responses: ['top_k', 'min_p', 'top_a', 'repetition_penalty'],
  completions: ['top_k', 'min_p', 'top_a', 'repetition_penalty'],
  embeddings: [],
}

/** Keys of the Responses API's own `reasoning` that OpenAI does not have. */
const foreignReasoningKeys = ['max_tokens', 'enabled', 'exclude']

export interface PassthroughInput {
  /** The client's bytes; absent if they must not be used, or there are none. */
  readonly bytes: Uint8Array | undefined
  readonly body: JsonObject
  readonly request: GenerateRequest
  readonly target: Target
  readonly capabilities: Capabilities
}

/** The body for an upstream that speaks the client's dialect, or undefined if some field of it must be mapped first. */
export function passthroughBody({
  bytes,
  body,
  request,
  target,
  capabilities,
}: PassthroughInput): Uint8Array | undefined {
  if (!passesAsItIs({ body, request, target, capabilities })) return undefined
  const { dialect } = request
  const isAccepted = (field: string): boolean => capabilities.extensions?.includes(field) === true
  const set: Record<string, unknown> = { model: target.model }
  if (dialect !== 'responses' && request.stream) {
    const options = body['stream_options'] as JsonObject | null | undefined
    if (options?.['include_usage'] !== true) set['stream_options'] = { ...options, include_usage: true }
  }
  if (dialect === 'responses' && body['store'] !== false) set['store'] = false
  // An extension that is null means nothing, yet an upstream that does not know it would refuse it.
  const removed: string[] = []
  for (const field of gatewayFields)
    if (field in body && (body[field] == null || !isAccepted(field))) removed.push(field)
  for (const field of extensionFields[dialect]) if (field in body && !isAccepted(field)) removed.push(field)
  return (removed.length === 0 && bytes && spliceFields(bytes, body, set)) || rewriteFields(body, set, removed)
}

/** Whether a client's body may go to an upstream that speaks its dialect, with nothing of it mapped. */
export function passesAsItIs({ body, request, target, capabilities }: Omit<PassthroughInput, 'bytes'>): boolean {
  const { dialect } = request
  const isAccepted = (field: string): boolean => capabilities.extensions?.includes(field) === true
  for (const field of extensionFields[dialect]) if (body[field] != null && !isAccepted(field)) return false
  if (dialect === 'responses' && hasForeignReasoning(body['reasoning']) && !isAccepted('reasoning')) return false
  return !capabilities.passes || capabilities.passes(request, target)
}

function hasForeignReasoning(reasoning: unknown): boolean {
  return typeof reasoning === 'object' && reasoning !== null && foreignReasoningKeys.some((key) => key in reasoning)
}

function rewriteFields(body: JsonObject, set: JsonObject, removed: readonly string[]): Uint8Array {
  const copy: Record<string, unknown> = { ...body, ...set }
  for (const field of removed) delete copy[field]
  return Buffer.from(JSON.stringify(copy))
}
