import type { GenerateRequest, JsonObject, ResponseFormat, Tool, ToolChoice } from '../contract/canonical.ts'
import { FieldReader, isObject } from './chat-fields.ts'

function readFunction(definition: JsonObject, others: JsonObject): Tool | undefined {
  const inner = new FieldReader(definition)
  const name = inner.string('name')
  if (name === undefined) return undefined
  const description = inner.string('description')
  const parameters = inner.object('parameters')
  const strict = definition['strict'] === null ? null : inner.boolean('strict')
  if (strict === null) inner.boolean('strict')
  const outer = new FieldReader(others)
  const cacheControl = outer.object('cache_control')
  const unread = inner.rest()
  const extra = { ...outer.rest(), ...(unread && { function: unread }) }
  return {
    type: 'function',
    name,
    ...(description !== undefined && { description }),
    ...(parameters && { parameters }),
    ...(strict !== undefined && { strict }),
    ...(cacheControl && { cacheControl }),
    ...(Object.keys(extra).length > 0 && { extra }),
  }
}

function readTool(tool: JsonObject): Tool {
  const { type, function: definition, ...others } = tool
  const read = type === 'function' && isObject(definition) ? readFunction(definition, others) : undefined
  return read ?? { type: 'native', dialect: 'chat', value: tool }
}

function hasOnly(object: JsonObject, ...names: readonly string[]): boolean {
  return Object.keys(object).every((name) => names.includes(name))
}

function readToolChoice(choice: JsonObject): ToolChoice {
  for (const field of ['function', 'custom'] as const) {
    const value = choice[field]
    const isNamed = choice['type'] === field && isObject(value) && hasOnly(choice, 'type', field)
    if (isNamed && typeof value['name'] === 'string' && hasOnly(value, 'name')) {
      return { name: value['name'], ...(field === 'custom' && { custom: true }) }
    }
  }
  const value = choice['allowed_tools']
  if (choice['type'] === 'allowed_tools' && isObject(value) && hasOnly(choice, 'type', 'allowed_tools')) {
    const { mode, tools, ...others } = value
    const isKnown = (mode === 'auto' || mode === 'required') && Array.isArray(tools) && tools.every(isObject)
    if (isKnown && Object.keys(others).length === 0) return { allowed: tools, mode }
  }
  return { native: choice }
}

const words = ['auto', 'none', 'required'] as const

/**
 * `tools` and `tool_choice`, or the older `functions` and `function_call`; the latter adds `functions` to `form`. Where
 * both are used, the older ones stay unread.
 */
export function readTools(fields: FieldReader, form: string[]): Pick<GenerateRequest, 'tools' | 'toolChoice'> {
  const list = fields.objects('tools')
  const choiceWord = fields.oneOf('tool_choice', words)
  const choiceObject = choiceWord === undefined ? fields.object('tool_choice') : undefined
  if (list || choiceWord !== undefined || choiceObject) {
    const toolChoice = choiceWord ?? (choiceObject && readToolChoice(choiceObject))
    return { ...(list && { tools: list.map(readTool) }), ...(toolChoice !== undefined && { toolChoice }) }
  }
  const functions = fields.peek('functions')
  if (!Array.isArray(functions) || !functions.every(isObject)) return {}
  const tools = functions.map((definition) => readFunction(definition, {}))
  if (!tools.every((tool) => tool !== undefined)) return {}
  fields.objects('functions')
  form.push('functions')
  const word = fields.oneOf('function_call', words)
  if (word !== undefined) return { tools, toolChoice: word }
  const call = fields.object('function_call')
  if (!call) return { tools }
  const { name, ...others } = call
  const named = typeof name === 'string' && Object.keys(others).length === 0
  return { tools, toolChoice: named ? { name } : { native: call } }
}

/** `response_format`; one with fields of its own that the canonical form has no name for stays native. */
export function readResponseFormat(fields: FieldReader): ResponseFormat | undefined {
  const format = fields.object('response_format')
  if (!format) return undefined
  const { type, json_schema: schema, ...others } = format
  if ((type === 'text' || type === 'json_object') && hasOnly(format, 'type')) return { type }
  if (type !== 'json_schema' || !isObject(schema) || Object.keys(others).length > 0) {
    return { type: 'native', value: format }
  }
  const inner = new FieldReader(schema)
  const name = inner.string('name')
  const definition = inner.object('schema')
  const description = inner.string('description')
  const strict = schema['strict'] === null ? null : inner.boolean('strict')
  if (strict === null) inner.boolean('strict')
  if (name === undefined || inner.rest()) return { type: 'native', value: format }
  return {
    type,
    name,
    ...(definition && { schema: definition }),
    ...(description !== undefined && { description }),
    ...(strict !== undefined && { strict }),
  }
}
