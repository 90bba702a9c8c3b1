import { turns } from '@hadrian/core/provider'
import type { JsonObject, Message, Part, ToolCallPart, ToolResultPart } from '@hadrian/core/provider'
import { encodeContent, encodeDetails, encodePart, isNativeDetail, nativeAudio } from './message-parts.ts'
import type { Wire } from './message-parts.ts'
import { overlay } from './json.ts'

/** How the client wrote a message, as the words of its `form`. */
class Form {
  readonly #words: readonly string[]

  constructor(message: Message, wire: Wire) {
    this.#words = wire.sameDialect ? (message.form?.split(' ') ?? []) : []
  }

  has(word: string): boolean {
    return this.#words.includes(word)
  }

  /** `string`, `list`, `none`, or empty if the message was never written by a client. */
  get content(): string {
    return ['string', 'list', 'none'].find((word) => this.has(word)) ?? ''
  }
}

function encodeToolCall(part: ToolCallPart, wire: Wire): JsonObject {
  const { id, name, arguments: input } = part
  const call = part.custom
    ? { id, type: 'custom', custom: { name, input } }
    : { id, type: 'function', function: { name, arguments: input } }
  return overlay(call, wire.sameDialect ? part.extra : undefined)
}

/** The fields with an assistant's earlier thinking, by what the upstream takes. */
function encodeReasoning(parts: readonly Part[], form: Form, wire: Wire): JsonObject {
  const history = wire.quirks.reasoningHistory
  if (parts.length === 0) return {}
  const written = form.has('reasoning') ? 'reasoning' : form.has('reasoning_content') ? 'reasoning_content' : undefined
  const field = history === 'as_sent' && wire.sameDialect ? (written ?? 'reasoning_details') : history
  const text = parts.map((part) => (part.type === 'reasoning' ? (part.text ?? part.summary ?? '') : '')).join('')
  if (field === 'none' || field === 'as_sent') {
    wire.losses.part('reasoning', 'The upstream does not take earlier reasoning back; it was left out')
    return {}
  }
  if (field !== 'reasoning_details') {
    if (
      parts.some((part) => part.type !== 'reasoning' || part.encrypted !== undefined || part.signature !== undefined)
    ) {
      wire.losses.part(
        'signed reasoning',
        'The upstream takes reasoning back as plain text only; signatures were left out',
      )
    }
    return text === '' && written !== field ? {} : { [field]: text }
  }
  // Plain text from the client goes back as such: it would be a block without a signature.
  if (written !== undefined) return { [written]: text }
  const details = parts.flatMap((part) => {
    if (part.type === 'reasoning') return encodeDetails(part, wire)
    return part.type === 'native' ? [part.value] : []
  })
  if (wire.sameDialect) return { reasoning_details: details }
  return { reasoning_details: details.map((detail, index) => ({ ...detail, index })) }
}

/** Top-level fields of a chat message that tell of reasoning and stay in `extra` beside `reasoning_details`. */
const reasoningFields = new Set(['reasoning', 'reasoning_content', 'reasoning_details'])

/** The client's own fields of the message, but for reasoning that the upstream does not take. */
function extraOf(message: Message, wire: Wire): JsonObject | undefined {
  if (!wire.sameDialect || !message.extra) return undefined
  const history = wire.quirks.reasoningHistory
  if (history === 'as_sent' || history === 'reasoning_details') return message.extra
  return Object.fromEntries(Object.entries(message.extra).filter(([name]) => !reasoningFields.has(name)))
}

function encodeAssistant(message: Message, wire: Wire): JsonObject {
  const form = new Form(message, wire)
  const reasoning: Part[] = []
  const calls: ToolCallPart[] = []
  const content: Part[] = []
  let refusal: string | undefined
  let audio: JsonObject | undefined
  for (const part of message.content) {
    if (part.type === 'reasoning' || isNativeDetail(part)) reasoning.push(part)
    else if (part.type === 'tool_call') calls.push(part)
    else if (part.type === 'text' && part.refusal && form.content !== 'list') refusal = (refusal ?? '') + part.text
    else if (wire.sameDialect && nativeAudio(part)) audio = nativeAudio(part)
    else if (part.type === 'media' && !wire.sameDialect) wire.losses.part(`${part.kind} output of the assistant`)
    else content.push(part)
  }
  const [first] = calls
  const isLegacy = form.has('function_call') && calls.length === 1 && first !== undefined
  const tools = isLegacy
    ? { function_call: { name: first.name, arguments: first.arguments } }
    : calls.length > 0 && { tool_calls: calls.map((call) => encodeToolCall(call, wire)) }
  return {
    role: 'assistant',
    ...(message.name !== undefined && { name: message.name }),
    ...encodeReasoning(reasoning, form, wire),
    content: encodeContent(wire.sameDialect ? content : joinTexts(content), form.content, wire, null),
    ...(refusal !== undefined && { refusal }),
    ...(audio && { audio }),
    ...tools,
    ...extraOf(message, wire),
  }
}

/** Many compatible servers take an assistant's text as one string only. */
function joinTexts(content: readonly Part[]): readonly Part[] {
  const texts = content.filter((part) => part.type === 'text')
  if (texts.length < 2 || texts.length < content.length || texts.some((part) => part.cacheControl)) return content
  return [{ type: 'text', text: texts.map((part) => part.text).join('') }]
}

/** Tool messages of chat hold text only: what else a result holds follows in a user message. */
function encodeForeignResult(part: ToolResultPart, moved: JsonObject[], wire: Wire): JsonObject {
  const texts = part.content.filter((inner) => inner.type === 'text').map((inner) => inner.text)
  const others = part.content.filter((inner) => inner.type !== 'text')
  const encoded = others.map((inner) => encodePart(inner, wire)).filter((inner) => inner !== undefined)
  if (encoded.length > 0) {
    wire.losses.adjusted(
      'messages',
      'Tool results of this upstream are text only; their media follow in a user message',
    )
    moved.push({ type: 'text', text: `Output of tool call ${part.toolCallId}:` }, ...encoded)
    texts.push('See the next user message.')
  }
  return { role: 'tool', tool_call_id: part.toolCallId, content: texts.join('\n') }
}

function encodeResults(message: Message, wire: Wire): readonly JsonObject[] {
  const results = message.content.filter((part) => part.type === 'tool_result')
  const form = new Form(message, wire)
  if (!wire.sameDialect) {
    const moved: JsonObject[] = []
    const encoded = results.map((part) => encodeForeignResult(part, moved, wire))
    return moved.length > 0 ? [...encoded, { role: 'user', content: moved }] : encoded
  }
  return results.map((part) => ({
    ...(form.has('function') ? { role: 'function' } : { role: 'tool', tool_call_id: part.toolCallId }),
    ...(message.name !== undefined && { name: message.name }),
    content: encodeContent(part.content, form.content, wire, ''),
    ...message.extra,
  }))
}

/** Nothing is left of a message whose parts chat has no word for. */
function isEmptied({ role: _, name: __, content, ...others }: JsonObject): boolean {
  const hasContent = Array.isArray(content) ? content.length > 0 : content !== null
  return !hasContent && Object.keys(others).length === 0
}

function encodeMessage(message: Message, wire: Wire): readonly JsonObject[] {
  if (message.role === 'assistant') return [encodeAssistant(message, wire)]
  const results = message.content.some((part) => part.type === 'tool_result') ? encodeResults(message, wire) : []
  const others = message.content.filter((part) => part.type !== 'tool_result')
  if (results.length > 0 && others.length === 0) return results
  const role = message.role === 'developer' && !wire.quirks.developerRole ? 'system' : message.role
  const encoded = {
    role,
    ...(message.name !== undefined && { name: message.name }),
    content: encodeContent(others, new Form(message, wire).content, wire, ''),
    ...extraOf(message, wire),
  }
  return [...results, encoded]
}

/** The `messages` of a chat body. */
export function encodeMessages(messages: readonly Message[], wire: Wire): readonly JsonObject[] {
  if (wire.sameDialect) return messages.flatMap((message) => encodeMessage(message, wire))
  return turns(messages).flatMap((message) => {
    const encoded = encodeMessage(message, wire)
    return message.content.length > 0 ? encoded.filter((one) => !isEmptied(one)) : encoded
  })
}
