import type { MediaPart, Part } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'
import { type Block, messagesDialect } from './wire.ts'

/** Image types the Messages API reads, by how their base64 begins. The API refuses an image whose type is misdeclared. */
const imageSignatures: readonly (readonly [string, string])[] = [
  ['/9j/', 'image/jpeg'],
  ['iVBORw0KGgo', 'image/png'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
]
const imageTypes = new Set(imageSignatures.map(([, type]) => type))

const textTypes =
  /^(text\/|application\/(json|xml|yaml|x-yaml|toml|javascript|typescript|x-ndjson|sql)\b|.*\+(json|xml)$)/

/**
 * The block of a text, image, file or native part: what may stand in a user turn, in a tool result and, as far as it is
 * text or native, anywhere. Undefined for blank text, which the API rejects, and for what it cannot take (recorded as a
 * loss).
 */
export function contentBlock(part: Part, losses: LossList): Block | undefined {
  switch (part.type) {
    case 'text':
      return textBlock(part.text, part)
    case 'media': {
      const block = mediaBlock(part, losses)
      return block && { ...block, ...cacheMark(part) }
    }
    case 'native':
      if (part.dialect === messagesDialect && typeof part.value['type'] === 'string') return part.value as Block
      losses.dropped(
        `a ${part.dialect} part of type ${String(part.value['type'])}`,
        'the Messages API has no such block',
      )
      return undefined
    default:
      losses.dropped(`a ${part.type} part`, 'it has no place in a message of this role')
      return undefined
  }
}

/** A text block, or undefined if the text is blank. */
export function textBlock(text: string, part?: Pick<Part, 'cacheControl'>): Block | undefined {
  return text.trim() === '' ? undefined : { type: 'text', text, ...cacheMark(part) }
}

/** The prompt-cache mark of a part as a field of its block. */
export function cacheMark(part?: Pick<Part, 'cacheControl'>): { cache_control?: unknown } {
  return part?.cacheControl === undefined ? {} : { cache_control: part.cacheControl }
}

function mediaBlock(part: MediaPart, losses: LossList): Block | undefined {
  const { kind, mediaType } = part
  if (kind === 'audio' || kind === 'video') {
    losses.dropped(`a part with ${kind}`, `the Messages API takes no ${kind}`)
    return undefined
  }
  const isImage = kind === 'image' || mediaType?.startsWith('image/') === true
  if (part.fileId !== undefined) {
    if (part.fileId.startsWith('file_')) {
      return { type: isImage ? 'image' : 'document', source: { type: 'file', file_id: part.fileId } }
    }
    losses.dropped(`the file ${part.fileId}`, 'its id is not one of the Anthropic Files API')
    return undefined
  }
  if (isImage) return imageBlock(part, losses)
  return documentBlock(part, losses)
}

function imageBlock(part: MediaPart, losses: LossList): Block | undefined {
  if (part.url !== undefined) return { type: 'image', source: { type: 'url', url: part.url } }
  const data = part.data ?? ''
  const mediaType = imageSignatures.find(([start]) => data.startsWith(start))?.[1] ?? part.mediaType
  if (mediaType !== undefined && imageTypes.has(mediaType) && data !== '') {
    return { type: 'image', source: { type: 'base64', media_type: mediaType, data } }
  }
  losses.dropped(`an image of type ${mediaType ?? 'unknown'}`, 'the Messages API takes JPEG, PNG, GIF and WebP')
  return undefined
}

function documentBlock(part: MediaPart, losses: LossList): Block | undefined {
  const title = part.filename === undefined ? {} : { title: part.filename }
  const extension = part.filename?.toLowerCase().split('.').at(-1)
  const mediaType = part.mediaType?.toLowerCase().split(';')[0]?.trim()
  if (part.url !== undefined) return { type: 'document', source: { type: 'url', url: part.url }, ...title }
  const data = part.data ?? ''
  if (
    data.startsWith('JVBERi') ||
    mediaType === 'application/pdf' ||
    (mediaType === undefined && extension === 'pdf')
  ) {
    return { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data }, ...title }
  }
  if (textTypes.test(mediaType ?? '') || (mediaType === undefined && /^(txt|md|csv|json|xml)$/.test(extension ?? ''))) {
    const text = Buffer.from(data, 'base64').toString('utf8')
    if (text.trim() !== '') {
      return { type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...title }
    }
  }
  losses.dropped(`a file of type ${mediaType ?? 'unknown'}`, 'the Messages API takes PDF and text')
  return undefined
}
