import type { JsonObject, MediaPart, Part } from '../contract/canonical.ts'
import { FieldReader, isObject } from './chat-fields.ts'

/** Names of audio formats in `input_audio` whose media type is not `audio/` and the name. */
const audioTypes: Readonly<Record<string, string>> = { mp3: 'audio/mpeg' }

const dataUrl = /^data:([^,]+);base64,/

/** Where the bytes are, as a canonical part says it; undefined for a reference of another kind. */
function readUrl(url: string): Pick<MediaPart, 'url' | 'data' | 'mediaType'> | undefined {
  const head = url.slice(0, 200)
  if (/^https?:\/\//i.test(head)) return { url }
  const match = dataUrl.exec(head)
  if (!match) return undefined
  const data = url.slice(match[0].length)
  return { mediaType: match[1], data: /\s/.test(data) ? data.replaceAll(/\s+/g, '') : data }
}

function readLinked(kind: 'image' | 'video', inner: FieldReader): Partial<MediaPart> | undefined {
  const url = inner.string('url')
  const place = url === undefined ? undefined : readUrl(url)
  if (!place) return undefined
  const detail = kind === 'image' ? inner.string('detail') : undefined
  return { kind, ...place, ...(detail !== undefined && { detail }) }
}

function readAudio(inner: FieldReader): Partial<MediaPart> | undefined {
  const data = inner.string('data')
  if (data === undefined) return undefined
  const format = inner.string('format')
  // The encoder derives the format from the media type; a format that would not come out alike is kept as it is.
  if (format === 'mpeg' || format === '') inner.keep('format', format)
  return { kind: 'audio', data, ...(format && { mediaType: audioTypes[format] ?? `audio/${format}` }) }
}

function readFile(inner: FieldReader): Partial<MediaPart> | undefined {
  const filename = inner.string('filename')
  const named = { kind: 'file', ...(filename !== undefined && { filename }) } as const
  const fileData = inner.string('file_data')
  if (fileData === undefined) {
    const fileId = inner.string('file_id')
    return fileId === undefined ? undefined : { ...named, fileId }
  }
  const place = readUrl(fileData)
  if (!place && fileData.startsWith('data:')) return undefined
  return { ...named, ...(place ?? { data: fileData }) }
}

const mediaReaders: Readonly<Record<string, (inner: FieldReader) => Partial<MediaPart> | undefined>> = {
  image_url: (inner) => readLinked('image', inner),
  video_url: (inner) => readLinked('video', inner),
  input_audio: readAudio,
  file: readFile,
}

function readMedia(part: JsonObject, type: string): Part | undefined {
  const value = part[type]
  const read = Object.hasOwn(mediaReaders, type) ? mediaReaders[type] : undefined
  if (!read || !isObject(value)) return undefined
  const inner = new FieldReader(value)
  const media = read(inner)
  if (!media) return undefined
  const { type: _, cache_control: mark, [type]: __, ...others } = part
  const unread = inner.rest()
  const extra = {
    ...others,
    ...(unread && { [type]: unread }),
    ...oddMark(mark),
  }
  return {
    type: 'media',
    ...(media as Omit<MediaPart, 'type'>),
    ...(isObject(mark) && { cacheControl: mark }),
    ...(Object.keys(extra).length > 0 && { extra }),
  }
}

/** A cache mark that is no object, which the canonical form has no place for. */
function oddMark(mark: unknown): JsonObject {
  return mark === undefined || mark === null || isObject(mark) ? {} : { cache_control: mark }
}

/** One content part. A part of an unknown type or shape becomes a native one. */
function readPart(part: JsonObject): Part {
  const type = part['type']
  const textField = type === 'text' ? 'text' : 'refusal'
  if ((type === 'text' || type === 'refusal') && typeof part[textField] === 'string') {
    const { type: _, [textField]: text, cache_control: mark, ...others } = part
    const extra = { ...others, ...oddMark(mark) }
    return {
      type: 'text',
      text: text as string,
      ...(type === 'refusal' && { refusal: true }),
      ...(isObject(mark) && { cacheControl: mark }),
      ...(Object.keys(extra).length > 0 && { extra }),
    }
  }
  const media = typeof type === 'string' ? readMedia(part, type) : undefined
  return media ?? { type: 'native', dialect: 'chat', value: part }
}

/**
 * The `content` field of a message. Adds to `form` how it was written: `string`, `list` or, for null and absent, `none`.
 * An empty string has no part.
 */
export function readContent(fields: FieldReader, form: string[]): readonly Part[] {
  const text = fields.string('content')
  if (text !== undefined) {
    form.push('string')
    return text === '' ? [] : [{ type: 'text', text }]
  }
  const parts = fields.objects('content')
  form.push(parts ? 'list' : 'none')
  return parts?.map(readPart) ?? []
}
