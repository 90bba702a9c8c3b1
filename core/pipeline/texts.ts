import type { GenerateRequest, JsonObject, Message, Part, ResponseFormat, Tool } from '../contract/canonical.ts'
import type { TextSlots } from '../contract/plugin.ts'

/** Called with each prompt string and its place; what it returns stands there afterwards. */
type Change = (text: string, path: string) => string

/**
 * Keys whose strings steer or identify and are no prose, so no model reads them as such: changing them would break the
 * request. Base64 payloads are not text either.
 */
const notProse = new Set([
  'type', 'role', 'id', 'call_id', 'tool_call_id', 'item_id', 'status', 'model', 'format', 'mime_type', 'media_type',
  'data', 'file_data', 'file_id', 'image_url', 'url', 'file_url', 'signature', 'encrypted_content', 'encrypted', 'detail',
  'previous_response_id', 'prompt_cache_key', 'cache_control', 'user', 'encoding_format', 'service_tier',
]) // prettier-ignore

/** Top-level fields of the passthrough operations that hold prompts. */
const promptFields = ['input', 'prompt', 'suffix']

/** Every prompt string of a request, read in order. */
export function promptTexts(request: GenerateRequest): readonly string[] {
  const texts: string[] = []
  mapRequest(request, (text) => {
    texts.push(text)
    return text
  })
  return texts
}

/** The {@link TextSlots} of an exchange. `read` and `write` are its request. */
export function textSlots(read: () => GenerateRequest, write: (request: GenerateRequest) => void): TextSlots {
  return {
    get length() {
      return promptTexts(read()).length
    },
    [Symbol.iterator]: () => promptTexts(read())[Symbol.iterator](),
    replace(change) {
      const before = read()
      const after = mapRequest(before, change)
      if (after !== before) write(after)
    },
  }
}

/** A copy of the request with every prompt string changed; the same object if none was. */
function mapRequest(request: GenerateRequest, change: Change): GenerateRequest {
  const messages = mapList(request.messages, (message, index) => mapMessage(message, `messages[${index}]`, change))
  const tools = request.tools && mapList(request.tools, (tool, index) => mapTool(tool, `tools[${index}]`, change))
  const responseFormat = request.responseFormat && mapResponseFormat(request.responseFormat, change)
  const extra = mapExtra(request, change)
  if (
    messages === request.messages &&
    tools === request.tools &&
    responseFormat === request.responseFormat &&
    extra === request.extra
  )
    return request
  return { ...request, messages, ...(tools && { tools }), ...(responseFormat && { responseFormat }), extra }
}

/** The wanted form of the answer is read by the model like any other instruction. */
function mapResponseFormat(format: ResponseFormat, change: Change): ResponseFormat {
  const path = 'responseFormat'
  if (format.type === 'native') {
    const value = mapJson(format.value, path, change) as JsonObject
    return value === format.value ? format : { ...format, value }
  }
  if (format.type !== 'json_schema') return format
  const description = format.description === undefined ? undefined : change(format.description, `${path}.description`)
  const schema = format.schema && (mapJson(format.schema, `${path}.schema`, change) as JsonObject)
  if (description === format.description && schema === format.schema) return format
  return { ...format, ...(description !== undefined && { description }), ...(schema && { schema }) }
}

/** Unknown top-level fields may hold prompts too (a prediction, instructions of tomorrow); known steering ones are skipped. */
function mapExtra(request: GenerateRequest, change: Change): JsonObject {
  if (request.operation === 'generate') return mapJson(request.extra, '', change) as JsonObject
  let { extra } = request
  for (const name of promptFields) {
    const value = extra[name]
    const mapped = value === undefined ? undefined : mapJson(value, name, change)
    if (mapped !== value) extra = { ...extra, [name]: mapped }
  }
  return extra
}

function mapMessage(message: Message, path: string, change: Change): Message {
  const content = mapList(message.content, (part, index) => mapPart(part, `${path}.content[${index}]`, change))
  const extra = message.extra && (mapJson(message.extra, path, change) as JsonObject)
  const name = message.name === undefined ? undefined : change(message.name, `${path}.name`)
  if (content === message.content && extra === message.extra && name === message.name) return message
  return { ...message, content, ...(extra && { extra }), ...(name !== undefined && { name }) }
}

function mapPart(part: Part, path: string, change: Change): Part {
  const mapped = mapKnown(part, path, change)
  const extra = part.extra && (mapJson(part.extra, path, change) as JsonObject)
  return extra === part.extra ? mapped : { ...mapped, ...(extra && { extra }) }
}

function mapKnown(part: Part, path: string, change: Change): Part {
  switch (part.type) {
    case 'text': {
      const text = change(part.text, `${path}.text`)
      return text === part.text ? part : { ...part, text }
    }
    case 'reasoning': {
      const text = part.text === undefined ? undefined : change(part.text, `${path}.text`)
      const summary = part.summary === undefined ? undefined : change(part.summary, `${path}.summary`)
      if (text === part.text && summary === part.summary) return part
      // A signature vouches for the text as it was; with another text the provider would refuse it.
      const { signature: _, ...unsigned } = part
      return { ...unsigned, ...(text !== undefined && { text }), ...(summary !== undefined && { summary }) }
    }
    case 'media': {
      const filename = part.filename === undefined ? undefined : change(part.filename, `${path}.filename`)
      return filename === part.filename ? part : { ...part, ...(filename !== undefined && { filename }) }
    }
    case 'tool_call': {
      const text = change(part.arguments, `${path}.arguments`)
      return text === part.arguments ? part : { ...part, arguments: text }
    }
    case 'tool_result': {
      const content = mapList(part.content, (inner, index) => mapPart(inner, `${path}.content[${index}]`, change))
      return content === part.content ? part : { ...part, content }
    }
    case 'native': {
      const value = mapJson(part.value, `${path}.value`, change) as JsonObject
      return value === part.value ? part : { ...part, value }
    }
  }
}

function mapTool(tool: Tool, path: string, change: Change): Tool {
  if (tool.type === 'native') {
    const value = mapJson(tool.value, path, change) as JsonObject
    return value === tool.value ? tool : { ...tool, value }
  }
  const description = tool.description === undefined ? undefined : change(tool.description, `${path}.description`)
  const parameters = tool.parameters && (mapJson(tool.parameters, `${path}.parameters`, change) as JsonObject)
  const extra = tool.extra && (mapJson(tool.extra, path, change) as JsonObject)
  if (description === tool.description && parameters === tool.parameters && extra === tool.extra) return tool
  return {
    ...tool,
    ...(description !== undefined && { description }),
    ...(parameters && { parameters }),
    ...(extra && { extra }),
  }
}

/** Every string inside a JSON value, but for the values of steering keys. */
function mapJson(value: unknown, path: string, change: Change): unknown {
  if (typeof value === 'string') return change(value, path)
  if (Array.isArray(value)) return mapList(value, (entry, index) => mapJson(entry, `${path}[${index}]`, change))
  if (typeof value !== 'object' || value === null) return value
  let changed = false
  const copy: Record<string, unknown> = {}
  for (const [name, entry] of Object.entries(value)) {
    const mapped =
      (name === 'required' && isNames(entry)) || (notProse.has(name) && typeof entry === 'string')
        ? entry
        : mapJson(entry, path === '' ? name : `${path}.${name}`, change)
    // Plain assignment to `__proto__` would set the prototype instead.
    Object.defineProperty(copy, name, { value: mapped, enumerable: true, writable: true, configurable: true })
    changed ||= mapped !== entry
  }
  return changed ? copy : value
}

/** The list of property names under `required` of a JSON Schema, not a property that is itself called so. */
function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

/** `Array.map` that returns the same array if no entry changed. */
function mapList<T>(list: readonly T[], map: (entry: T, index: number) => T): readonly T[] {
  let changed = false
  const mapped = list.map((entry, index) => {
    const next = map(entry, index)
    changed ||= next !== entry
    return next
  })
  return changed ? mapped : list
}
