import type { GenerateRequest, JsonObject, Target, Warning, WireRequest } from '@hadrian/core/provider'

import { LossList } from './loss-list.ts'
import { calledTools, encodeMessages, isUnthinkingToolLoop } from './messages.ts'
import { encodeParameters } from './parameters.ts'
import { planFormat } from './response-format.ts'
import { planThinking, thinksByBudget, wantedEffort } from './thinking.ts'
import { encodeTools, forcesCall, type ToolFields } from './tools.ts'
import { type TraitOptions, traitsOf } from './traits.ts'
import { isObject, messagesDialect, structuredOutputTool, type WireMessage } from './wire.ts'

/** The beta that lets a request name files of the Files API. */
const filesBeta = 'files-api-2025-04-14'

/** What the operator decides about encoding. */
export interface EncodeOptions {
  /** Value of `anthropic-version`. */
  readonly version: string
  /** Values of `anthropic-beta`. */
  readonly beta: readonly string[]
  /** `max_tokens` if neither client nor catalog has a limit. */
  readonly defaultMaxTokens: number
  readonly traits: Readonly<Record<string, TraitOptions>>
}

/** The request as the Messages API wants it, and everything it loses on the way. */
export function encode(
  request: GenerateRequest,
  target: Target,
  options: EncodeOptions,
): { readonly wire: WireRequest; readonly warnings: readonly Warning[] } {
  const losses = new LossList(request.dialect)
  const traits = traitsOf(target.model, options.traits)
  const { system, messages } = encodeMessages(request, losses)
  const wantsThinking = wantedEffort(request.reasoning) !== undefined && traits.thinking !== 'none'
  const clientTools = encodeTools(request, calledTools(messages), traits, losses)
  const format = planFormat(request, traits, clientTools.tools === undefined && !wantsThinking, losses)
  const tools: ToolFields = format.tool
    ? { tools: [format.tool], tool_choice: { type: 'tool', name: structuredOutputTool } }
    : clientTools
  const plan = planThinking(
    request,
    {
      traits,
      ceiling: target.info?.maxOutputTokens,
      defaultLimit: options.defaultMaxTokens,
      obstacle: obstacleTo(thinksByBudget(request, traits), messages, tools),
    },
    losses,
  )
  const thinks = plan.thinking !== undefined && plan.thinking['type'] !== 'disabled'
  const outputConfig = {
    ...(plan.effort !== undefined && { effort: plan.effort }),
    ...(format.format && { format: format.format }),
  }
  const prompts = format.instruction ? [...system, format.instruction] : system
  const body: JsonObject = {
    model: target.model,
    max_tokens: plan.max_tokens,
    ...(prompts.length > 0 && { system: prompts }),
    messages,
    ...tools,
    ...(plan.thinking && { thinking: plan.thinking }),
    ...(Object.keys(outputConfig).length > 0 && { output_config: outputConfig }),
    ...encodeParameters(request, traits, thinks, losses),
    ...(request.stream && { stream: true }),
  }
  const beta = new Set(options.beta)
  if (namesFiles(messages)) beta.add(filesBeta)
  return {
    wire: {
      method: 'POST',
      path: '/v1/messages',
      headers: {
        'content-type': 'application/json',
        'anthropic-version': options.version,
        ...(beta.size > 0 && { 'anthropic-beta': [...beta].join(',') }),
      },
      body,
      dialect: messagesDialect,
    },
    warnings: losses.all(),
  }
}

/** Why the API would refuse thinking in this conversation. */
function obstacleTo(byBudget: boolean, messages: readonly WireMessage[], tools: ToolFields): string | undefined {
  if (forcesCall(tools)) return 'a forced tool call cannot be combined with thinking'
  if (messages.at(-1)?.role === 'assistant')
    return 'the last message is an assistant message, which cannot be thought about'
  if (byBudget && isUnthinkingToolLoop(messages)) {
    return 'the tool calls being answered come without the thinking that led to them'
  }
  return undefined
}

function namesFiles(messages: readonly WireMessage[]): boolean {
  return messages.some((message) => message.content.some(isFile))
}

function isFile(block: unknown): boolean {
  if (!isObject(block)) return false
  if (isObject(block['source'])) return block['source']['type'] === 'file'
  return Array.isArray(block['content']) && block['content'].some(isFile)
}
