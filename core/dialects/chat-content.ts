/** The pieces of a chat answer that are written alike in a whole body and in the deltas of a stream. */

import type { FinishReason, GenerateRequest, JsonObject, MediaPart, Part } from '../contract/canonical.ts'
import { isObject } from './chat-fields.ts'

/** Fields of an upstream's own answer object that OpenAI's has too, or that name who really answered. */
const answerFields = ['system_fingerprint', 'service_tier', 'provider'] as const

/** The fields of the upstream's answer object that chat and completions clients know. */
export function nativeFields(native: JsonObject | undefined): JsonObject {
  const found: Record<string, unknown> = {}
  for (const name of answerFields) if (typeof native?.[name] === 'string') found[name] = native[name]
  return found
}

/** The client asked with `functions`, so that it expects `function_call` back, not `tool_calls`. */
export function isLegacy(request: GenerateRequest): boolean {
  return request.dialect === 'chat' && request.form?.split(' ').includes('functions') === true
}

/** The `finish_reason` of a choice: OpenAI's word for a client of `functions`, else one of the five. */
export function finishReason(reason: FinishReason, legacy: boolean): string {
  return legacy && reason === 'tool_calls' ? 'function_call' : reason
}

function imageUrl(part: MediaPart): string | undefined {
  if (part.url !== undefined) return part.url
  return part.data === undefined ? undefined : `data:${part.mediaType ?? 'image/png'};base64,${part.data}`
}

/** An annotation in chat's spelling: that of the Responses API has the fields of the citation beside its type. */
function annotationOf(value: JsonObject): JsonObject | undefined {
  const type = value['type']
  if (type !== 'url_citation' && type !== 'file_citation' && type !== 'file') return undefined
  if (isObject(value[type])) return value
  if (type !== 'url_citation' || typeof value['url'] !== 'string') return undefined
  const { type: _, ...citation } = value
  return { type, url_citation: citation }
}

/** Where a whole part stands in a chat message. */
export type PlacedPart =
  | { readonly field: 'annotations' | 'images' | 'reasoning_details'; readonly value: JsonObject }
  | { readonly field: 'audio'; readonly value: JsonObject }

/** The place of a part in a chat message, or undefined for one that chat has no word for. */
export function placePart(part: Part): PlacedPart | undefined {
  if (part.type === 'media') {
    const url = part.kind === 'image' ? imageUrl(part) : undefined
    if (url !== undefined) return { field: 'images', value: { type: 'image_url', image_url: { url } } }
    const isAudio = part.kind === 'audio' && part.data !== undefined
    return isAudio ? { field: 'audio', value: { id: part.fileId ?? '', data: part.data, transcript: '' } } : undefined
  }
  if (part.type !== 'native') return undefined
  const { type, audio } = part.value
  if (type === 'audio' && isObject(audio)) return { field: 'audio', value: audio }
  if (part.dialect === 'chat' && typeof type === 'string' && type.startsWith('reasoning.')) {
    return { field: 'reasoning_details', value: part.value }
  }
  const annotation = annotationOf(part.value)
  return annotation && { field: 'annotations', value: annotation }
}

/** What a reasoning part and a piece of one have in common. */
interface Thinking {
  readonly text?: string
  readonly summary?: string
  readonly signature?: string
  readonly encrypted?: string
  readonly id?: string
  readonly format?: string
}

/** The entries of `reasoning_details` for one part or one piece, in order; the caller adds `index`. */
export function reasoningDetails(thinking: Thinking): readonly JsonObject[] {
  const { text, summary, signature, encrypted, id = null, format = 'unknown' } = thinking
  const details: JsonObject[] = []
  if (text !== undefined || signature !== undefined) {
    details.push({
      type: 'reasoning.text',
      ...(text !== undefined && { text }),
      ...(signature !== undefined && { signature }),
      id,
      format,
    })
  }
  if (summary !== undefined) details.push({ type: 'reasoning.summary', summary, id, format })
  if (encrypted !== undefined) details.push({ type: 'reasoning.encrypted', data: encrypted, id, format })
  return details
}
