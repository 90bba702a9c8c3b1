import type {
  JsonObject,
  MediaPart,
  Message,
  NativePart,
  Part,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '@hadrian/core/provider'
import type { Losses } from './losses.ts'

/** The format whose encrypted blocks OpenAI can read. */
const ownFormat = 'openai-responses-v1'

/**
 * Writes messages as input items. `same` says that the client spoke this dialect too: then ids, states and every field
 * without a canonical name come back as they were; otherwise nothing of `extra` and `form` is read.
 */
export function encodeItems(messages: readonly Message[], same: boolean, losses: Losses): JsonObject[] {
  const items = messages.flatMap((message) => {
    const own = same ? message : { ...message, extra: undefined, form: undefined }
    if (message.name !== undefined && message.role !== 'tool' && !same) losses.parameter('messages.name')
    switch (message.role) {
      case 'tool':
        return toolItems(own, same, losses)
      case 'assistant':
        return assistantItems(own, same, losses)
      default:
        return messageItems(own, own.content, same, losses)
    }
  })
  return items.filter((item) => {
    const isKept = !isUnresolvable(item)
    if (!isKept) losses.part('reasoning', 'A reasoning item without content would be looked up, and none is stored')
    return isKept
  })
}

/**
 * A reasoning item that is nothing but a reference: upstreams look up its id, find nothing, since no answer of the
 * gateway is stored there, and refuse the whole request. Clients send such items back that did not ask for encrypted ones.
 */
function isUnresolvable(item: JsonObject): boolean {
  const { type, id, encrypted_content: encrypted, content } = item
  const hasContent = Array.isArray(content) && content.length > 0
  return type === 'reasoning' && typeof id === 'string' && typeof encrypted !== 'string' && !hasContent
}

/** The first message of a Responses client that stands for `instructions`, as its text. */
export function instructionsText(message: Message): string {
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

function assistantItems(message: Message, same: boolean, losses: Losses): JsonObject[] {
  const items: JsonObject[] = []
  const isSingle = message.content.length <= 1 || message.content.every((part) => part.type === 'reasoning')
  const extra = isSingle ? message.extra : undefined
  let texts: Part[] = []
  const endMessage = () => {
    if (texts.length > 0) items.push(...messageItems(message, texts, same, losses))
    texts = []
  }
  for (const [index, part] of message.content.entries()) {
    if (part.type === 'reasoning') {
      const previous = message.content[index - 1]
      if (previous?.type === 'reasoning' && isSameItem(previous, part)) continue
      endMessage()
      const item = reasoningItem(reasoningRun(message.content, index), same, losses)
      if (item) items.push({ ...item, ...extra })
    } else if (part.type === 'tool_call') {
      endMessage()
      items.push({ ...callItem(part), ...extra })
    } else if (part.type === 'native' && message.form === 'item') {
      items.push(part.value)
    } else if (part.type === 'media' && !same) {
      losses.part(`${part.kind} output of the assistant`)
    } else texts.push(part)
  }
  endMessage()
  if (message.content.length === 0 && message.form !== undefined) items.push(...messageItems(message, [], same, losses))
  return items
}

/** One message, or none where nothing of a foreign one can be said here. */
function messageItems(message: Message, content: readonly Part[], same: boolean, losses: Losses): JsonObject[] {
  const [kind, form] = message.form?.split(':') ?? []
  const [only] = content
  const isPlain = content.length === 1 && only?.type === 'text' && !only.refusal && !only.extra && !only.cacheControl
  const asText = isPlain && (form === 'text' || message.form === 'input')
  const parts = asText ? only.text : contentParts(content, message.role === 'assistant', same, losses)
  if (!same && parts.length === 0 && content.length > 0) return []
  const type = kind !== 'easy' && kind !== 'input' && { type: 'message' }
  return [{ ...type, role: message.role, content: parts, ...message.extra }]
}

function toolItems(message: Message, same: boolean, losses: Losses): JsonObject[] {
  return message.content.flatMap((part) => {
    if (part.type === 'tool_result') {
      return [{ ...resultItem(part, message.form, same, losses), ...message.extra }]
    }
    if (part.type === 'native' && same && message.form === 'item') return [part.value]
    losses.part(`a part of type ${part.type} in a tool message`)
    return []
  })
}

function resultItem(part: ToolResultPart, form: string | undefined, same: boolean, losses: Losses): JsonObject {
  const [only] = part.content
  const isPlain = part.content.length === 1 && only?.type === 'text' && !only.extra && !only.cacheControl
  const output =
    isPlain && form !== 'list'
      ? only.text
      : part.content.length === 0 && !same
        ? ''
        : contentParts(part.content, false, same, losses)
  return {
    type: part.custom ? 'custom_tool_call_output' : 'function_call_output',
    call_id: part.toolCallId,
    output,
  }
}

function callItem(part: ToolCallPart): JsonObject {
  return part.custom
    ? { type: 'custom_tool_call', call_id: part.id, name: part.name, input: part.arguments }
    : { type: 'function_call', call_id: part.id, name: part.name, arguments: part.arguments }
}

/** The reasoning parts from `start` on that were one item. */
function reasoningRun(content: readonly Part[], start: number): ReasoningPart[] {
  const run: ReasoningPart[] = []
  for (const part of content.slice(start)) {
    const last = run.at(-1)
    if (part.type !== 'reasoning' || (last && !isSameItem(last, part))) break
    run.push(part)
  }
  return run
}

/** Parts of one item have one id; without ids an encrypted block ends an item, since each has one at most. */
function isSameItem(previous: ReasoningPart, part: ReasoningPart): boolean {
  return previous.id === part.id && (part.id !== undefined || previous.encrypted === undefined)
}

/** Thinking of another family of models cannot be read by this one and is left out. */
function reasoningItem(parts: readonly ReasoningPart[], same: boolean, losses: Losses): JsonObject | undefined {
  const isOwn = parts.every((part) => part.format === ownFormat)
  const encrypted = parts.find((part) => part.encrypted !== undefined)?.encrypted
  if (!isOwn || (!same && encrypted === undefined)) {
    losses.part('reasoning', 'Thinking that this provider did not encrypt itself cannot be sent back to it')
    return undefined
  }
  const id = same ? parts[0]?.id : undefined
  const contents = parts.flatMap(({ text }) => (text === undefined ? [] : [{ type: 'reasoning_text', text }]))
  return {
    type: 'reasoning',
    ...(id !== undefined && { id }),
    summary: parts.flatMap(({ summary }) => (summary === undefined ? [] : [{ type: 'summary_text', text: summary }])),
    ...(contents.length > 0 && { content: contents }),
    ...(encrypted !== undefined && { encrypted_content: encrypted }),
  }
}

function contentParts(parts: readonly Part[], isOutput: boolean, same: boolean, losses: Losses): JsonObject[] {
  return parts.flatMap((part) => {
    const encoded = contentPart(part, isOutput, same, losses)
    if (!encoded) return []
    if (!same) return [encoded]
    return [{ ...encoded, ...(part.cacheControl && { cache_control: part.cacheControl }), ...part.extra }]
  })
}

function contentPart(part: Part, isOutput: boolean, same: boolean, losses: Losses): JsonObject | undefined {
  switch (part.type) {
    case 'text':
      return textContent(part, isOutput)
    case 'media':
      return mediaContent(part)
    case 'native':
      if (isOwnNative(part, same)) return part.value
      break
    default:
  }
  losses.part(
    part.type === 'native' ? `${part.dialect} parts of type ${String(part.value['type'])}` : `${part.type} parts`,
  )
  return undefined
}

function isOwnNative(part: NativePart, same: boolean): boolean {
  return same && part.dialect === 'responses'
}

function textContent(part: TextPart, isOutput: boolean): JsonObject {
  if (part.refusal) return { type: 'refusal', refusal: part.text }
  return { type: isOutput ? 'output_text' : 'input_text', text: part.text }
}

function mediaContent(part: MediaPart): JsonObject {
  const { kind, data, mediaType, url, fileId } = part
  const inline = data === undefined || mediaType === undefined ? data : `data:${mediaType};base64,${data}`
  const file = fileId !== undefined && { file_id: fileId }
  switch (kind) {
    case 'image': {
      const source = file || { image_url: url ?? inline }
      return { type: 'input_image', ...source, ...(part.detail !== undefined && { detail: part.detail }) }
    }
    case 'audio':
      return { type: 'input_audio', input_audio: { data, format: audioFormat(mediaType) } }
    case 'video':
      return { type: 'input_video', ...(file || { video_url: url ?? inline }) }
    case 'file': {
      const source = file || (url === undefined ? { file_data: inline } : { file_url: url })
      return { type: 'input_file', ...source, ...(part.filename !== undefined && { filename: part.filename }) }
    }
  }
}

function audioFormat(mediaType = 'audio/wav'): string {
  const format = mediaType.slice(mediaType.indexOf('/') + 1)
  return format === 'mpeg' ? 'mp3' : format
}
