import { isUtf8 } from 'node:buffer'
import type {
  GenerateRequest,
  JsonObject,
  MediaPart,
  Message,
  Part,
  ResponseFormat,
  Tool,
  ToolChoice,
  WebSearchRequest,
} from '../contract/canonical.ts'
import type { TextSlots } from '../contract/plugin.ts'

/** Called with each prompt string and its place; what it returns stands there afterwards. */
type Change = (text: string, path: string) => string

/** Keys whose strings steer or identify, unless they have blanks: no model reads them as prose, and a change would break the request. */
const notProse = new Set([
  'type', 'role', 'id', 'call_id', 'tool_call_id', 'item_id', 'status', 'model', 'format', 'mime_type', 'media_type',
  'file_id', 'signature', 'encrypted_content', 'encrypted', 'detail', 'previous_response_id', 'prompt_cache_key',
  'cache_control', 'user', 'encoding_format', 'service_tier',
]) // prettier-ignore
/** Keys of bytes in base64, or of text that a client put there instead. */
const encoded = new Set(['data', 'file_data'])
/** Keys of places. What a `data:` URL holds is no place. */
const places = new Set(['url', 'image_url', 'file_url', 'video_url'])
/** Keys of JSON Schema under which names of the author's own stand as keys: a model reads them as well as any description. */
const namings = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])

const base64 = /^[A-Za-z0-9+/_-]{64,}={0,2}$/
const base64Url = /^data:[^,]{0,200};base64,/

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
  const toolChoice = request.toolChoice && mapToolChoice(request.toolChoice, change)
  const responseFormat = request.responseFormat && mapResponseFormat(request.responseFormat, change)
  // Unknown fields may hold prompts (a prediction, instructions of tomorrow); those of completions and embeddings do.
  const extra = mapJson(request.extra, '', change) as JsonObject
  // Where to search and for whom becomes part of the prompt upstream.
  const webSearch = request.webSearch && (mapJson(request.webSearch, 'webSearch', change) as WebSearchRequest)
  if (
    messages === request.messages &&
    tools === request.tools &&
    toolChoice === request.toolChoice &&
    responseFormat === request.responseFormat &&
    extra === request.extra &&
    webSearch === request.webSearch
  )
    return request
  return {
    ...request,
    messages,
    ...(tools && { tools }),
    ...(toolChoice && { toolChoice }),
    ...(responseFormat && { responseFormat }),
    ...(webSearch && { webSearch }),
    extra,
  }
}

/** The wanted form of the answer is read by the model like any other instruction. */
function mapResponseFormat(format: ResponseFormat, change: Change): ResponseFormat {
  const path = 'responseFormat'
  if (format.type === 'native') {
    const value = mapJson(format.value, path, change) as JsonObject
    return value === format.value ? format : { ...format, value }
  }
  if (format.type !== 'json_schema') return format
  const name = change(format.name, `${path}.name`)
  const description = format.description === undefined ? undefined : change(format.description, `${path}.description`)
  const schema = format.schema && (mapJson(format.schema, `${path}.schema`, change) as JsonObject)
  if (name === format.name && description === format.description && schema === format.schema) return format
  return { ...format, name, ...(description !== undefined && { description }), ...(schema && { schema }) }
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
      const data = part.data === undefined ? undefined : mapFile(part, part.data, `${path}.data`, change)
      if (filename === part.filename && data === part.data) return part
      return { ...part, ...(filename !== undefined && { filename }), ...(data !== undefined && { data }) }
    }
    case 'tool_call': {
      const name = change(part.name, `${path}.name`)
      // Only the arguments of functions are JSON, so that the path has to tell them apart.
      const text = change(part.arguments, `${path}.${part.custom ? 'input' : 'arguments'}`)
      return name === part.name && text === part.arguments ? part : { ...part, name, arguments: text }
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

/** A file of text is a prompt, wrapped in base64 or not. Files of bytes are not looked into. */
function mapFile({ kind, mediaType = '' }: MediaPart, data: string, path: string, change: Change): string {
  if (kind !== 'file' && !/text|xml|json/.test(mediaType)) return data
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(data)) return change(data, path)
  const bytes = Buffer.from(data, 'base64')
  if (!isUtf8(bytes)) return data
  const text = bytes.toString('utf8')
  const changed = change(text, path)
  return changed === text ? data : Buffer.from(changed).toString('base64')
}

function mapTool(tool: Tool, path: string, change: Change): Tool {
  if (tool.type === 'native') {
    const value = mapJson(tool.value, path, change) as JsonObject
    return value === tool.value ? tool : { ...tool, value }
  }
  const name = change(tool.name, `${path}.name`)
  const description = tool.description === undefined ? undefined : change(tool.description, `${path}.description`)
  const parameters = tool.parameters && (mapJson(tool.parameters, `${path}.parameters`, change) as JsonObject)
  const extra = tool.extra && (mapJson(tool.extra, path, change) as JsonObject)
  if (name === tool.name && description === tool.description && parameters === tool.parameters && extra === tool.extra)
    return tool
  return {
    ...tool,
    name,
    ...(description !== undefined && { description }),
    ...(parameters && { parameters }),
    ...(extra && { extra }),
  }
}

/** A tool keeps the same name wherever it stands. */
function mapToolChoice(choice: ToolChoice, change: Change): ToolChoice {
  const path = 'toolChoice'
  return typeof choice === 'string' ? choice : (mapJson(choice, path, change) as ToolChoice)
}

/** Every string inside a JSON value, but for the values of steering keys; `named`: its keys are names too. */
function mapJson(value: unknown, path: string, change: Change, named = false): unknown {
  if (typeof value === 'string') return change(value, path)
  if (Array.isArray(value)) return mapList(value, (entry, index) => mapJson(entry, `${path}[${index}]`, change))
  if (typeof value !== 'object' || value === null) return value
  let changed = false
  const copy: Record<string, unknown> = {}
  for (const [name, entry] of Object.entries(value)) {
    const inner = path === '' ? name : `${path}.${name}`
    const key = named ? change(name, inner) : name
    const mapped =
      typeof entry === 'string' && !isProse(name, entry) ? entry : mapJson(entry, inner, change, namings.has(name))
    // Plain assignment to `__proto__` would set the prototype instead.
    Object.defineProperty(copy, key, { value: mapped, enumerable: true, writable: true, configurable: true })
    changed ||= mapped !== entry || key !== name
  }
  return changed ? copy : value
}

function isProse(name: string, text: string): boolean {
  if (encoded.has(name)) return !base64.test(text) && !base64Url.test(text)
  if (places.has(name)) return text.startsWith('data:') && !base64Url.test(text)
  return !notProse.has(name) || /\s/.test(text)
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
