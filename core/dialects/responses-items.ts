import type { JsonObject, MediaPart, Message, Part, Role, ToolResultPart } from '../contract/canonical.ts'
import { isObject } from './chat-fields.ts'
import { Fields, invalidField } from './responses-fields.ts'
import { decodeReasoningItem } from './responses-reasoning.ts'

const messageRoles: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant'])

/**
 * Reads `input`: each item becomes one message. Items without a canonical form (hosted tools, references, compactions)
 * become a message of one native part with the form `item`.
 */
export function decodeInput(input: unknown): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: [{ type: 'text', text: input }], form: 'input' }]
  if (!Array.isArray(input)) throw invalidField('input', 'must be a string or a list of items')
  return (input as unknown[]).map((item, index) => {
    if (!isObject(item)) throw invalidField(`input[${index}]`, 'must be an object')
    return decodeItem(item)
  })
}

function decodeItem(item: JsonObject): Message {
  switch (item['type']) {
    case undefined:
    case 'message':
      return decodeMessage(item) ?? nativeItem(item)
    case 'reasoning': {
      const { parts, extra } = decodeReasoningItem(item)
      return parts.length === 0 ? nativeItem(item) : { role: 'assistant', content: parts, ...(extra && { extra }) }
    }
    case 'function_call':
      return decodeCall(item, 'arguments') ?? nativeItem(item)
    case 'custom_tool_call':
      return decodeCall(item, 'input') ?? nativeItem(item)
    case 'function_call_output':
    case 'custom_tool_call_output':
      return decodeOutput(item) ?? nativeItem(item)
    default:
      return nativeItem(item)
  }
}

function nativeItem(item: JsonObject): Message {
  const type = String(item['type'])
  const isResult = type.endsWith('_output') || type.endsWith('_response')
  return {
    role: isResult ? 'tool' : 'assistant',
    content: [{ type: 'native', dialect: 'responses', value: item }],
    form: 'item',
  }
}

/** The form says whether the item named its type (`message`) or not (`easy`), and how its content was written. */
function decodeMessage(item: JsonObject): Message | undefined {
  const role = item['role']
  if (!messageRoles.has(role)) return undefined
  const fields = new Fields(item)
  const kind = fields.string('type') === undefined ? 'easy' : 'message'
  fields.drop('role')
  const text = fields.string('content')
  const list = text === undefined ? objects(fields.list('content')) : undefined
  if (text === undefined && list === undefined) return undefined
  const content = text === undefined ? (list ?? []).map((part) => decodePart(part, role as Role)) : [textPart(text)]
  return { role: role as Role, content, form: `${kind}:${text === undefined ? 'list' : 'text'}`, ...fields.extra() }
}

/** The list, if it holds nothing but objects. */
function objects(list: readonly unknown[] | undefined): readonly JsonObject[] | undefined {
  return list?.every(isObject) ? list : undefined
}

function textPart(text: string): Part {
  return { type: 'text', text }
}

function decodeCall(item: JsonObject, input: 'arguments' | 'input'): Message | undefined {
  const fields = new Fields(item)
  const custom = fields.string('type') === 'custom_tool_call'
  const id = fields.string('call_id')
  const name = fields.string('name')
  const text = fields.string(input)
  if (id === undefined || name === undefined || text === undefined) return undefined
  return {
    role: 'assistant',
    content: [{ type: 'tool_call', id, name, arguments: text, ...(custom && { custom }) }],
    ...fields.extra(),
  }
}

function decodeOutput(item: JsonObject): Message | undefined {
  const fields = new Fields(item)
  const custom = fields.string('type') === 'custom_tool_call_output'
  const toolCallId = fields.string('call_id')
  const text = fields.string('output')
  const list = text === undefined ? objects(fields.list('output')) : undefined
  if (toolCallId === undefined || (text === undefined && list === undefined)) return undefined
  const result: ToolResultPart = {
    type: 'tool_result',
    toolCallId,
    content: text === undefined ? (list ?? []).map((part) => decodePart(part, 'tool')) : [textPart(text)],
    ...(custom && { custom }),
  }
  return { role: 'tool', content: [result], form: text === undefined ? 'list' : 'text', ...fields.extra() }
}

/** Reads a content part; anything without a canonical form becomes native. */
function decodePart(part: JsonObject, role: Role): Part {
  const fields = new Fields(part)
  const cacheControl = fields.object('cache_control')
  const common = () => ({ ...(cacheControl && { cacheControl }), ...fields.extra() })
  const native: Part = { type: 'native', dialect: 'responses', value: part }
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
    case 'text': {
      const text = fields.string('text')
      if (text === undefined) return native
      const usual = role === 'assistant' ? 'output_text' : 'input_text'
      if (part['type'] === usual) fields.drop('type')
      return { type: 'text', text, ...common() }
    }
    case 'refusal': {
      const text = fields.string('refusal')
      fields.drop('type')
      return text === undefined ? native : { type: 'text', text, refusal: true, ...common() }
    }
    case 'input_image': {
      const source = decodeSource(fields, ['image_url'])
      const detail = fields.string('detail')
      fields.drop('type')
      if (!source) return native
      return { type: 'media', kind: 'image', ...source, ...(detail !== undefined && { detail }), ...common() }
    }
    case 'input_file': {
      const source = decodeSource(fields, ['file_data', 'file_url'])
      const filename = fields.string('filename')
      fields.drop('type')
      if (!source) return native
      return { type: 'media', kind: 'file', ...source, ...(filename !== undefined && { filename }), ...common() }
    }
    case 'input_audio': {
      const audio = new Fields(fields.object('input_audio') ?? {})
      const data = audio.string('data')
      const format = audio.string('format')
      fields.drop('type')
      if (data === undefined || format === undefined || !audio.isEmpty()) return native
      return { type: 'media', kind: 'audio', data, mediaType: audioMediaType(format), ...common() }
    }
    case 'input_video': {
      const source = decodeSource(fields, ['video_url'])
      fields.drop('type')
      return source ? { type: 'media', kind: 'video', ...source, ...common() } : native
    }
    default:
      return native
  }
}

/** `mp3` is the one name of the wire that is no media subtype. */
function audioMediaType(format: string): string {
  return format === 'mp3' ? 'audio/mpeg' : `audio/${format}`
}

type Source = Pick<MediaPart, 'url' | 'data' | 'fileId' | 'mediaType'>

/** Where the bytes of a medium are, from the first of the fields that says so. Data URLs are taken apart. */
function decodeSource(fields: Fields, names: readonly string[]): Source | undefined {
  for (const name of names) {
    const value = fields.string(name)
    if (value === undefined) continue
    const inline = /^data:([^,]*);base64,([^]*)$/.exec(value)
    if (inline) return { mediaType: inline[1] ?? '', data: inline[2] ?? '' }
    return name === 'file_data' ? { data: value } : { url: value }
  }
  const fileId = fields.string('file_id')
  return fileId === undefined ? undefined : { fileId }
}
