import type { GenerateRequest, Tool, ToolChoice } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'
import { closedSchema } from './output-schema.ts'
import type { ModelTraits } from './traits.ts'
import { searchTool } from './web-search.ts'
import { type Block, isObject, messagesDialect } from './wire.ts'

/** The tool fields of the body. */
export interface ToolFields {
  readonly tools?: readonly unknown[]
  readonly tool_choice?: Block
}

/**
 * Encodes tools and the choice among them. `called` are the tools in the conversation: while there are any the API
 * demands definitions, also from a client that sends none or wants none called.
 */
export function encodeTools(
  request: GenerateRequest,
  called: ReadonlySet<string>,
  traits: ModelTraits,
  losses: LossList,
): ToolFields {
  const choice = request.toolChoice
  const visible = choice === 'none' && called.size === 0 ? [] : (request.tools ?? [])
  const tools = allowed(visible, choice, losses)
    .map((tool) => encodeTool(tool, traits, losses))
    .filter((tool) => tool !== undefined)
  const search = searchTool(request, losses)
  if (search && tools.length === 0 && called.size === 0) return { tools: [search] }
  if (search && choice !== undefined && choice !== 'auto')
    losses.adjusted('plugins', `the web is not searched in a turn with this tool_choice`)
  if (search) tools.push(search)
  if (tools.length === 0) {
    if (choice !== undefined && choice !== 'auto' && choice !== 'none') {
      losses.unsupported('toolChoice', 'there are no tools to choose from')
    }
    if (called.size === 0) return {}
    return { tools: [...called].map((name) => ({ name, input_schema: emptySchema })), tool_choice: { type: 'none' } }
  }
  const toolChoice = encodeChoice(choice, request.parallelToolCalls === false, losses)
  return { tools, ...(toolChoice && { tool_choice: toolChoice }) }
}

/** True if the client forces a call, which cannot be combined with thinking. */
export function forcesCall(fields: ToolFields): boolean {
  return fields.tool_choice?.type === 'any' || fields.tool_choice?.type === 'tool'
}

const emptySchema = { type: 'object', properties: {} }

/** The tools of an `allowed` choice. The API has no such choice, so the others are not sent at all. */
function allowed(tools: readonly Tool[], choice: ToolChoice | undefined, losses: LossList): readonly Tool[] {
  if (typeof choice !== 'object' || !('allowed' in choice)) return tools
  losses.adjusted('toolChoice', 'the tools that are not allowed were not sent')
  const names = new Set(
    choice.allowed.map(
      (entry) => entry['name'] ?? (isObject(entry['function']) ? entry['function']['name'] : undefined),
    ),
  )
  return tools.filter((tool) => names.has(tool.type === 'function' ? tool.name : tool.value['name']))
}

function encodeTool(tool: Tool, traits: ModelTraits, losses: LossList): unknown {
  if (tool.type === 'native') {
    if (tool.dialect === messagesDialect) return tool.value
    losses.unsupported('tools', `the Messages API has no tool of type ${String(tool.value['type'])}`)
    return undefined
  }
  const given = tool.parameters ?? emptySchema
  const parameters = given['type'] === 'object' ? given : { ...given, type: 'object' }
  const strict = tool.strict === true ? strictSchema(tool.name, parameters, traits, losses) : undefined
  return {
    name: tool.name,
    ...(tool.description !== undefined && { description: tool.description }),
    input_schema: strict ?? parameters,
    ...(strict && { strict: true }),
    ...(tool.cacheControl && { cache_control: tool.cacheControl }),
  }
}

function strictSchema(name: string, schema: object, traits: ModelTraits, losses: LossList): object | undefined {
  const strict = traits.structuredOutput ? closedSchema(schema) : undefined
  if (!strict) {
    const why = traits.structuredOutput ? 'its schema has open objects' : 'the model cannot enforce schemas'
    losses.adjusted('tools', `${name} is not strict: ${why}`)
  } else if (strict.unenforced.length > 0) {
    losses.adjusted(
      'tools',
      `${strict.unenforced.join(', ')} of ${name} went into descriptions, which are not enforced`,
    )
  }
  return strict?.schema
}

function encodeChoice(choice: ToolChoice | undefined, single: boolean, losses: LossList): Block | undefined {
  const limit = single ? { disable_parallel_tool_use: true } : {}
  if (choice === undefined) return single ? { type: 'auto', ...limit } : undefined
  if (choice === 'none') return { type: 'none' }
  if (choice === 'auto') return { type: 'auto', ...limit }
  if (choice === 'required') return { type: 'any', ...limit }
  if ('allowed' in choice) return { type: choice.mode === 'required' ? 'any' : 'auto', ...limit }
  if ('name' in choice && !choice.custom) return { type: 'tool', name: choice.name, ...limit }
  losses.unsupported('toolChoice', 'the Messages API has no choice of this kind')
  return single ? { type: 'auto', ...limit } : undefined
}
