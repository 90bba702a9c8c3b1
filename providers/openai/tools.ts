import type { GenerateRequest, JsonObject, Tool, ToolChoice } from '@hadrian/core/provider'
import { isObject, overlay } from './json.ts'
import type { Wire } from './message-parts.ts'

type FunctionTool = Extract<Tool, { type: 'function' }>

function definitionOf(tool: FunctionTool): JsonObject {
  const { name, description, parameters, strict } = tool
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters && { parameters }),
    ...(strict !== undefined && { strict }),
  }
}

function encodeFunction(tool: FunctionTool, wire: Wire): JsonObject {
  const mark = wire.quirks.extensions.has('cache_control') && tool.cacheControl
  const fields = { type: 'function', function: definitionOf(tool), ...(mark && { cache_control: mark }) }
  return overlay(fields, wire.sameDialect ? tool.extra : undefined)
}

/** A custom tool of the Responses API, which has the fields of the tool beside its type. */
function encodeForeignCustom(value: JsonObject): JsonObject {
  const { type: _, format, ...definition } = value
  const isGrammar = isObject(format) && format['type'] === 'grammar'
  const { syntax, definition: rules } = isGrammar ? format : {}
  const nested = isGrammar ? { type: 'grammar', grammar: { syntax, definition: rules } } : format
  return { type: 'custom', custom: { ...definition, ...(nested !== undefined && { format: nested }) } }
}

function encodeTool(tool: Tool, wire: Wire): JsonObject | undefined {
  if (tool.type === 'function') return encodeFunction(tool, wire)
  if (tool.dialect === 'chat' && wire.sameDialect) return tool.value
  if (tool.dialect === 'responses' && tool.value['type'] === 'custom' && wire.quirks.isOpenAi) {
    return encodeForeignCustom(tool.value)
  }
  wire.losses.tool(String(tool.value['type']))
  return undefined
}

/** An entry of an allow list; the Responses API has the name beside the type. */
function encodeAllowed(entry: JsonObject): JsonObject {
  const { type, name } = entry
  if (typeof type !== 'string' || isObject(entry[type]) || typeof name !== 'string') return entry
  return { type, [type]: { name } }
}

function encodeChoice(choice: ToolChoice, wire: Wire): unknown {
  if (typeof choice === 'string') return choice
  if ('name' in choice) {
    const type = choice.custom ? 'custom' : 'function'
    return { type, [type]: { name: choice.name } }
  }
  if ('allowed' in choice) {
    const { allowed, mode } = choice
    return { type: 'allowed_tools', allowed_tools: { mode, tools: allowed.map(encodeAllowed) } }
  }
  if (wire.sameDialect) return choice.native
  wire.losses.parameter(
    'tool_choice',
    `The upstream does not take a tool_choice of type ${String(choice.native['type'])}`,
  )
  return undefined
}

/** `functions` and `function_call` for a client that wrote those. */
function encodeFunctions(tools: readonly Tool[], choice: ToolChoice | undefined): JsonObject {
  const functions = tools.flatMap((tool) => {
    if (tool.type !== 'function') return []
    return [overlay({ function: definitionOf(tool) }, tool.extra)['function']]
  })
  if (choice === undefined) return { functions }
  if (typeof choice === 'string') return { functions, function_call: choice }
  if ('name' in choice) return { functions, function_call: { name: choice.name } }
  return 'native' in choice ? { functions, function_call: choice.native } : { functions }
}

/** True where `tool_choice: "none"` must be served by sending no tools at all. */
export function dropsTools(request: GenerateRequest, wire: Pick<Wire, 'quirks' | 'sameDialect'>): boolean {
  return request.toolChoice === 'none' && !(wire.sameDialect && wire.quirks.toolChoice)
}

/** `tools`, `tool_choice` and `parallel_tool_calls` of a chat body; `legacy` for a client that wrote `functions`. */
export function encodeTools(request: GenerateRequest, legacy: boolean, wire: Wire): JsonObject {
  const { tools, toolChoice, parallelToolCalls } = request
  if (dropsTools(request, wire)) return {}
  const parallel = parallelToolCalls !== undefined && { parallel_tool_calls: parallelToolCalls }
  if (legacy) return { ...encodeFunctions(tools ?? [], toolChoice), ...parallel }
  const encoded = tools?.map((tool) => encodeTool(tool, wire)).filter((tool) => tool !== undefined)
  // Chat refuses a choice among no tools, which the Responses API allows.
  if (!wire.sameDialect && !encoded?.length) return {}
  const choice = toolChoice === undefined ? undefined : encodeChoice(toolChoice, wire)
  return { ...(encoded && { tools: encoded }), ...(choice !== undefined && { tool_choice: choice }), ...parallel }
}
