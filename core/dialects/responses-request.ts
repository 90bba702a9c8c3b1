import type {
  GenerateRequest,
  JsonObject,
  Message,
  PluginEntry,
  ReasoningEffort,
  ReasoningRequest,
  ResponseFormat,
  Tool,
  ToolChoice,
} from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import { isObject } from './chat-fields.ts'
import { withRoute, withTransforms } from './extension-aliases.ts'
import { checkReasoning } from './reasoning-request.ts'
import { Fields, invalidField } from './responses-fields.ts'
import { decodeInput } from './responses-items.ts'

/** Fields of the API that need stored responses or stored prompts, and what says that a client means them. */
const unserved: readonly (readonly [name: string, isMeant: (value: unknown) => boolean])[] = [
  ['background', (value) => value === true],
  ['previous_response_id', isPresent],
  ['prompt', isPresent],
  ['conversation', isPresent],
]

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

/** Reads a body of the Responses API. Throws as `ClientDialect.decode` says. */
export function decodeResponsesRequest(body: JsonObject): GenerateRequest {
  for (const [name, isMeant] of unserved) {
    if (isMeant(body[name])) {
      throw gatewayError('unsupported', `'${name}' is not supported by this gateway`, { param: name })
    }
  }
  if (!isPresent(body['input'])) throw invalidField('input', 'is required')

  const fields = new Fields(withoutNulls(body))
  fields.drop('input')
  const instructions = fields.string('instructions')
  const messages: Message[] = [
    ...(instructions === undefined ? [] : [instructionsMessage(instructions)]),
    ...decodeInput(body['input']),
  ]
  const text = fields.object('text')
  const { format, verbosity, textExtra } = text ? decodeText(text) : {}
  const reasoning = fields.object('reasoning')
  const tools = fields.list('tools')
  const choice = body['tool_choice']
  fields.drop('tool_choice')

  const request = {
    model: fields.string('model'),
    models: fields.list('models') as readonly string[] | undefined,
    tools: tools?.map((tool, index) => decodeTool(tool, index)),
    toolChoice: isPresent(choice) ? decodeToolChoice(choice) : undefined,
    parallelToolCalls: fields.boolean('parallel_tool_calls'),
    maxOutputTokens: wholeNumber(fields, 'max_output_tokens'),
    temperature: fields.number('temperature'),
    topP: fields.number('top_p'),
    topK: fields.number('top_k'),
    minP: fields.number('min_p'),
    frequencyPenalty: fields.number('frequency_penalty'),
    presencePenalty: fields.number('presence_penalty'),
    logprobs: asksForLogprobs(body['include']) || undefined,
    topLogprobs: wholeNumber(fields, 'top_logprobs'),
    responseFormat: format,
    verbosity,
    reasoning: reasoning && decodeReasoning(reasoning),
    user: fields.string('user'),
    safetyIdentifier: fields.string('safety_identifier'),
    promptCacheKey: fields.string('prompt_cache_key'),
    serviceTier: fields.string('service_tier'),
    metadata: fields.object('metadata'),
    store: fields.boolean('store'),
    provider: withRoute(fields.object('provider'), fields.string('route')),
    plugins: withTransforms(fields.list('plugins') as readonly PluginEntry[] | undefined, body['transforms']),
  }
  const stream = fields.boolean('stream') ?? false
  return {
    operation: 'generate',
    dialect: 'responses',
    messages,
    stream,
    ...(withoutUndefined(request) as Partial<GenerateRequest>),
    extra: { ...fields.extra().extra, ...(textExtra && { text: textExtra }) },
  }
}

/** `include` itself stays among the unknown fields. */
function asksForLogprobs(include: unknown): boolean {
  return Array.isArray(include) && include.includes('message.output_text.logprobs')
}

/** The message that stands for `instructions`; its form lets the encoder find it again. */
function instructionsMessage(text: string): Message {
  return { role: 'system', content: [{ type: 'text', text }], form: 'instructions' }
}

function withoutNulls(body: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
}

function withoutUndefined(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function wholeNumber(fields: Fields, name: string): number | undefined {
  const value = fields.number(name)
  if (value !== undefined && !Number.isInteger(value)) throw invalidField(name, 'must be an integer')
  return value
}

/** What `text` has besides format and verbosity stays in `textExtra`, an empty object included. */
function decodeText(text: JsonObject): { format?: ResponseFormat; verbosity?: string; textExtra?: JsonObject } {
  const fields = new Fields(withoutNulls(text))
  const format = fields.object('format')
  const verbosity = fields.string('verbosity')
  const isBare = format === undefined && verbosity === undefined
  return {
    ...(format && { format: decodeFormat(format) }),
    ...(verbosity !== undefined && { verbosity }),
    ...((isBare || !fields.isEmpty()) && { textExtra: fields.extra().extra ?? {} }),
  }
}

function decodeFormat(format: JsonObject): ResponseFormat {
  const native: ResponseFormat = { type: 'native', value: format }
  const fields = new Fields(format)
  const type = fields.string('type')
  if (type === 'text' || type === 'json_object') return fields.isEmpty() ? { type } : native
  if (type !== 'json_schema') return native
  const name = fields.string('name')
  const schema = fields.object('schema')
  const description = fields.string('description')
  const strict = format['strict'] === null ? null : fields.boolean('strict')
  if (strict === null) fields.drop('strict')
  if (format['description'] === null) fields.drop('description')
  if (name === undefined || !fields.isEmpty()) return native
  return {
    type,
    name,
    ...(schema && { schema }),
    ...(description !== undefined && { description }),
    ...(strict !== undefined && { strict }),
  }
}

function decodeReasoning(reasoning: JsonObject): ReasoningRequest {
  const fields = new Fields(withoutNulls(reasoning))
  const effort = fields.string('effort') as ReasoningEffort | undefined
  const maxTokens = wholeNumber(fields, 'max_tokens')
  const enabled = fields.boolean('enabled')
  const exclude = fields.boolean('exclude')
  const summary = fields.string('summary')
  checkReasoning({ effort, maxTokens, enabled })
  return {
    ...(effort !== undefined && { effort }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(enabled !== undefined && { enabled }),
    ...(exclude !== undefined && { exclude }),
    ...(summary !== undefined && { summary }),
    ...fields.extra(),
  }
}

/** Function tools are flat in this dialect; every other tool keeps its wire form. */
function decodeTool(tool: unknown, index: number): Tool {
  if (!isObject(tool)) throw invalidField(`tools[${index}]`, 'must be an object')
  const fields = new Fields(tool)
  const type = fields.string('type')
  const name = fields.string('name')
  if (type !== 'function' || name === undefined) return { type: 'native', dialect: 'responses', value: tool }
  const description = fields.string('description')
  const parameters = fields.object('parameters')
  const strict = fields.boolean('strict')
  const cacheControl = fields.object('cache_control')
  return {
    type,
    name,
    ...(description !== undefined && { description }),
    ...(parameters && { parameters }),
    ...(strict !== undefined && { strict }),
    ...(cacheControl && { cacheControl }),
    ...fields.extra(),
  }
}

function decodeToolChoice(choice: unknown): ToolChoice {
  if (choice === 'auto' || choice === 'none' || choice === 'required') return choice
  if (!isObject(choice)) throw invalidField('tool_choice', 'must be auto, none, required or an object')
  const fields = new Fields(choice)
  const type = fields.string('type')
  if (type === 'function' || type === 'custom') {
    const name = fields.string('name')
    if (name !== undefined && fields.isEmpty()) return { name, ...(type === 'custom' && { custom: true }) }
  }
  if (type === 'allowed_tools') {
    const mode = fields.string('mode')
    const allowed = fields.list('tools')?.filter(isObject)
    if ((mode === 'auto' || mode === 'required') && allowed && fields.isEmpty()) return { allowed, mode }
  }
  return { native: choice }
}
