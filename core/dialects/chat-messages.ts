import type { JsonObject, Message, Part, Role, ToolCallPart } from '../contract/canonical.ts'
import { FieldReader, isObject } from './chat-fields.ts'
import { readContent } from './chat-parts.ts'
import { readReasoningParts } from './chat-reasoning.ts'

const roles: readonly Role[] = ['system', 'developer', 'user', 'assistant', 'tool']

/**
 * Gives the calls of the older `function_call` form the ids they do not have, and their results the same ones: other
 * wires refer to a call by its id.
 */
class FunctionCalls {
  readonly #open: { readonly id: string; readonly name: string }[] = []
  #count = 0

  call(name: string): string {
    const id = `function_call_${this.#count++}`
    this.#open.push({ id, name })
    return id
  }

  result(name: string): string {
    const position = this.#open.findIndex((call) => call.name === name)
    return position === -1 ? `function_call_${this.#count++}` : (this.#open.splice(position, 1)[0]?.id ?? '')
  }
}

/** One entry of `tool_calls`, or undefined if it is none that has a canonical form. */
function readToolCall(call: JsonObject): ToolCallPart | undefined {
  const { id, type, ...others } = call
  const custom = type === 'custom'
  const field = custom ? 'custom' : 'function'
  const value = call[field]
  if (typeof id !== 'string' || (type !== 'function' && !custom) || !isObject(value)) return undefined
  const inner = new FieldReader(value)
  const name = inner.string('name')
  const input = inner.string(custom ? 'input' : 'arguments')
  if (name === undefined || input === undefined) return undefined
  const unread = inner.rest()
  const { [field]: _, ...rest } = others
  const extra = { ...rest, ...(unread && { [field]: unread }) }
  return {
    type: 'tool_call',
    id,
    name,
    arguments: input,
    ...(custom && { custom: true }),
    ...(Object.keys(extra).length > 0 && { extra }),
  }
}

function readToolCalls(fields: FieldReader): readonly Part[] {
  const calls = fields.peek('tool_calls')
  if (!Array.isArray(calls) || calls.length === 0) return []
  const read = calls.map((call) => (isObject(call) ? readToolCall(call) : undefined))
  if (!read.every((part) => part !== undefined)) return []
  fields.objects('tool_calls')
  return read
}

function readFunctionCall(fields: FieldReader, form: string[], legacy: FunctionCalls): readonly Part[] {
  const call = fields.object('function_call')
  if (!call) return []
  const { name, arguments: input, ...others } = call
  if (typeof name !== 'string' || typeof input !== 'string' || Object.keys(others).length > 0) {
    fields.keep('function_call', call)
    return []
  }
  form.push('function_call')
  return [{ type: 'tool_call', id: legacy.call(name), name, arguments: input }]
}

function readAssistantContent(fields: FieldReader, form: string[], legacy: FunctionCalls): readonly Part[] {
  const text = readContent(fields, form)
  const reasoning = readReasoningParts(fields, form)
  // A refusal beside a list of parts would come back as one of the parts: it stays where it was.
  const refusal = form.includes('list') ? undefined : fields.string('refusal')
  const audio = fields.object('audio')
  const calls = readToolCalls(fields)
  return [
    ...reasoning,
    ...text,
    ...(refusal === undefined ? [] : [{ type: 'text', text: refusal, refusal: true } as const]),
    ...(audio ? [{ type: 'native', dialect: 'chat', value: { type: 'audio', audio } } as const] : []),
    ...(calls.length > 0 ? calls : readFunctionCall(fields, form, legacy)),
  ]
}

function readMessage(message: JsonObject, legacy: FunctionCalls): Message {
  const fields = new FieldReader(message)
  const form: string[] = []
  const isFunction = message['role'] === 'function'
  if (isFunction) {
    fields.string('role')
    form.push('function')
  }
  const role = isFunction ? 'tool' : (fields.oneOf('role', roles) ?? 'user')
  const name = fields.string('name')
  let content: readonly Part[]
  if (role === 'tool') {
    const toolCallId = isFunction ? legacy.result(name ?? '') : (fields.string('tool_call_id') ?? '')
    content = [{ type: 'tool_result', toolCallId, content: readContent(fields, form) }]
  } else {
    content = role === 'assistant' ? readAssistantContent(fields, form, legacy) : readContent(fields, form)
  }
  const extra = fields.rest()
  return {
    role,
    content,
    ...(name !== undefined && { name }),
    form: form.join(' '),
    ...(extra && { extra }),
  }
}

/**
 * The `messages` of a chat body. `form` of each is a list of words: how `content` was written (`string`, `list`,
 * `none`), and `function`, `function_call`, `reasoning` or `reasoning_content` where those fields were used.
 */
export function readMessages(messages: readonly unknown[]): readonly Message[] {
  const legacy = new FunctionCalls()
  return messages.map((message) => readMessage(isObject(message) ? message : {}, legacy))
}
