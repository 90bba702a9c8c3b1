import type { JsonObject, MediaPart, Part, ReasoningPart, TextPart } from '@hadrian/core/provider'
import { isObject, overlay } from './json.ts'
import type { Losses } from './losses.ts'
import type { Quirks } from './quirks.ts'

/** What the encoding of a message needs to know besides the message. */
export interface Wire {
  readonly quirks: Quirks
  readonly losses: Losses
  /** The client speaks chat too: its own extra fields, native parts and spellings go back as they came. */
  readonly sameDialect: boolean
}

/** Media types of audio whose name in `input_audio` is not what follows the slash. */
const audioFormats: Readonly<Record<string, string>> = {
  'audio/mpeg': 'mp3',
  'audio/x-wav': 'wav',
  'audio/wave': 'wav',
}

function dataUrl(part: MediaPart): string {
  return `data:${part.mediaType ?? 'application/octet-stream'};base64,${part.data}`
}

function audioFields(part: MediaPart): JsonObject | undefined {
  if (part.data === undefined) return undefined
  const type = part.mediaType
  const format = type && (audioFormats[type] ?? type.replace(/^audio\//, ''))
  return { type: 'input_audio', input_audio: { data: part.data, ...(format && { format }) } }
}

function fileFields(part: MediaPart, wire: Wire): JsonObject | undefined {
  const filename = part.filename !== undefined && { filename: part.filename }
  if (part.fileId !== undefined) return { type: 'file', file: { file_id: part.fileId, ...filename } }
  if (part.data !== undefined) {
    const isBare = part.mediaType === undefined && wire.sameDialect
    return { type: 'file', file: { ...filename, file_data: isBare ? part.data : dataUrl(part) } }
  }
  return wire.sameDialect ? { type: 'file', file: { ...filename, file_data: part.url } } : undefined
}

function mediaFields(part: MediaPart, wire: Wire): JsonObject | undefined {
  if (part.kind === 'audio') return audioFields(part)
  if (part.kind === 'file') return fileFields(part, wire)
  const url = part.url ?? (part.data === undefined ? undefined : dataUrl(part))
  if (url === undefined) return undefined
  const type = part.kind === 'image' ? 'image_url' : 'video_url'
  return { type, [type]: { url, ...(part.detail !== undefined && { detail: part.detail }) } }
}

function placeOf(part: MediaPart): string {
  if (part.url !== undefined) return 'by URL'
  return part.fileId === undefined ? 'as data' : 'by file id'
}

/** `cache_control` and the client's own fields around those of a part. */
function dressed(fields: JsonObject, part: Part, wire: Wire): JsonObject {
  const mark = wire.quirks.extensions.has('cache_control') ? part.cacheControl : undefined
  return overlay({ ...fields, ...(mark && { cache_control: mark }) }, wire.sameDialect ? part.extra : undefined)
}

/** A text, media or native part as an entry of a content list; undefined, with a warning, where chat has none for it. */
export function encodePart(part: Part, wire: Wire): JsonObject | undefined {
  if (part.type === 'text') {
    return dressed(
      part.refusal ? { type: 'refusal', refusal: part.text } : { type: 'text', text: part.text },
      part,
      wire,
    )
  }
  if (part.type === 'media') {
    const fields = mediaFields(part, wire)
    if (fields) return dressed(fields, part, wire)
    wire.losses.part(`${part.kind} input ${placeOf(part)}`)
    return undefined
  }
  if (part.type === 'native' && part.dialect === 'chat' && wire.sameDialect) return part.value
  const kind =
    part.type === 'native' ? `${part.dialect} parts of type ${String(part.value['type'])}` : `${part.type} parts`
  wire.losses.part(kind)
  return undefined
}

function isPlainText(part: Part, wire: Wire): part is TextPart {
  if (part.type !== 'text' || part.refusal) return false
  if (part.cacheControl && wire.quirks.extensions.has('cache_control')) return false
  return !wire.sameDialect || part.extra === undefined
}

/**
 * A content field: a string or a list as the client wrote it, as long as the content allows that. `none` is what stands
 * for no content at all.
 */
export function encodeContent(parts: readonly Part[], written: string, wire: Wire, none: null | ''): unknown {
  const [first] = parts
  if (written === 'none' && parts.length === 0) return null
  if (parts.length === 0) return written === 'list' ? [] : written === 'string' ? '' : none
  const isString = parts.length === 1 && written !== 'list' && first !== undefined && isPlainText(first, wire)
  if (isString) return first.text
  return parts.map((part) => encodePart(part, wire)).filter((part) => part !== undefined)
}

/** The entries of `reasoning_details` that one part stands for. */
export function encodeDetails(part: ReasoningPart, wire: Wire): readonly JsonObject[] {
  const { text, summary, signature, encrypted, id, format } = part
  const common = { ...(id !== undefined && { id }), ...(format !== undefined && { format }) }
  const extra = wire.sameDialect ? part.extra : undefined
  const details: JsonObject[] = []
  if (text !== undefined || signature !== undefined) {
    const content = { ...(text !== undefined && { text }), ...(signature !== undefined && { signature }) }
    details.push({ type: 'reasoning.text', ...content, ...common, ...extra })
  }
  if (summary !== undefined) details.push({ type: 'reasoning.summary', summary, ...common, ...extra })
  if (encrypted !== undefined) details.push({ type: 'reasoning.encrypted', data: encrypted, ...common, ...extra })
  return details
}

/** True for an entry of `reasoning_details` that has no canonical form. */
export function isNativeDetail(part: Part): boolean {
  return part.type === 'native' && part.dialect === 'chat' && String(part.value['type']).startsWith('reasoning.')
}

/** The `audio` field of an assistant message, which names an earlier spoken answer. */
export function nativeAudio(part: Part): JsonObject | undefined {
  if (part.type !== 'native' || part.dialect !== 'chat' || part.value['type'] !== 'audio') return undefined
  return isObject(part.value['audio']) ? part.value['audio'] : undefined
}
