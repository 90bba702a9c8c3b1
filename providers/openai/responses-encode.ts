import type {
  GenerateRequest,
  JsonObject,
  Message,
  ResponseFormat,
  Target,
  Tool,
  ToolChoice,
  Warning,
} from '@hadrian/core/provider'
import { nearestEffort } from './effort.ts'
import { encodeExtra } from './extra-fields.ts'
import { Losses } from './losses.ts'
import { isReasoningModel } from './quirks.ts'
import type { Quirks } from './quirks.ts'
import { encodeItems, instructionsText } from './responses-items.ts'
import { searchTools } from './web-search.ts'

/** Fields that Chat Completions and Responses both have under one name without a canonical field. */
const sharedFields: ReadonlySet<string> = new Set(['prompt_cache_retention', 'prompt_cache_options', 'moderation'])

/** OpenAI refuses less. */
const minimumOutputTokens = 16

/** What of an upstream's peculiarities concerns this API. */
type Peculiarities = Pick<Quirks, 'extensions' | 'isOpenAi'>

const openAi: Peculiarities = { extensions: new Set(), isOpenAi: true }

/** The body of `POST /responses`, for OpenAI itself if nothing else is said. */
export function encodeResponses(
  request: GenerateRequest,
  target: Target,
  quirks = openAi,
): { body: JsonObject; warnings: readonly Warning[] } {
  const losses = new Losses()
  const same = request.dialect === 'responses'
  const isKnown = (name: string) => same || sharedFields.has(name)
  const { text: textExtra, ...extra } = encodeExtra(request, quirks, losses, isKnown)
  const { instructions, input } = encodeInput(request.messages, same, losses)
  const reasoning = encodeReasoning(request, target, quirks, losses)
  reportUnsupported(request, same, losses)
  const fields = {
    model: target.model,
    instructions,
    input,
    ...encodeToolFields(request, same, losses),
    stream: request.stream || undefined,
    max_output_tokens: outputTokens(request.maxOutputTokens, same, losses),
    temperature: request.temperature,
    top_p: request.topP,
    top_logprobs: request.topLogprobs,
    presence_penalty: same ? request.presencePenalty : undefined,
    frequency_penalty: same ? request.frequencyPenalty : undefined,
    top_k: extension('top_k', request.topK, quirks, losses),
    min_p: extension('min_p', request.minP, quirks, losses),
    text: encodeText(request, textExtra as JsonObject | undefined),
    reasoning,
    include: same ? undefined : encodeInclude(request, reasoning, quirks.isOpenAi && isReasoningModel(target, quirks)),
    user: request.user,
    safety_identifier: request.safetyIdentifier,
    prompt_cache_key: request.promptCacheKey,
    service_tier: request.serviceTier,
    metadata: request.metadata,
    store: false,
  }
  const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  return { body: { ...extra, ...known }, warnings: losses.warnings }
}

function encodeInput(messages: readonly Message[], same: boolean, losses: Losses) {
  const [first] = messages
  const hasInstructions = same && first?.form === 'instructions'
  const rest = hasInstructions ? messages.slice(1) : messages
  const instructions = hasInstructions ? instructionsText(first) : undefined
  const items = encodeItems(rest, same, losses)
  const [only] = items
  const isText = same && rest.length === 1 && rest[0]?.form === 'input' && typeof only?.['content'] === 'string'
  return { instructions, input: isText ? only['content'] : items }
}

function reportUnsupported(request: GenerateRequest, same: boolean, losses: Losses): void {
  const absent: Readonly<Record<string, unknown>> = {
    n: request.n === 1 ? undefined : request.n,
    stop: request.stop,
    seed: request.seed,
    logit_bias: request.logitBias,
    frequency_penalty: same || request.frequencyPenalty === 0 ? undefined : request.frequencyPenalty,
    presence_penalty: same || request.presencePenalty === 0 ? undefined : request.presencePenalty,
    // Responses have no other storage than the gateway's own.
    store: same || request.store === false ? undefined : request.store,
  }
  for (const [name, value] of Object.entries(absent)) if (value !== undefined) losses.parameter(name)
}

function extension<T>(name: string, value: T | undefined, quirks: Peculiarities, losses: Losses) {
  if (value === undefined || quirks.extensions.has(name)) return value
  losses.parameter(name)
  return undefined
}

function outputTokens(value: number | undefined, same: boolean, losses: Losses): number | undefined {
  if (value === undefined || same || value >= minimumOutputTokens) return value
  losses.adjusted('max_tokens', `The Responses API takes at least ${minimumOutputTokens} output tokens`)
  return minimumOutputTokens
}

/**
 * Chat clients get thinking back only if it comes encrypted, since nothing is stored upstream. `reasons`: the model thinks
 * unless told not to.
 */
function encodeInclude(request: GenerateRequest, reasoning: JsonObject | undefined, reasons: boolean) {
  const include = [
    ...((reasoning || reasons) && reasoning?.['effort'] !== 'none' ? ['reasoning.encrypted_content'] : []),
    ...(request.logprobs ? ['message.output_text.logprobs'] : []),
  ]
  return include.length > 0 ? include : undefined
}

function encodeText(request: GenerateRequest, extra: JsonObject | undefined): JsonObject | undefined {
  const { responseFormat, verbosity } = request
  if (!responseFormat && verbosity === undefined) return extra
  return {
    ...extra,
    ...(responseFormat && { format: encodeFormat(responseFormat) }),
    ...(verbosity !== undefined && { verbosity }),
  }
}

/** Chat Completions nests what is flat here. */
function encodeFormat(format: ResponseFormat): JsonObject {
  if (format.type !== 'native') return { ...format }
  const { json_schema: nested, ...rest } = format.value
  return typeof nested === 'object' ? { ...rest, ...nested } : format.value
}

/** `reasoning`: whole for an upstream that takes all of it, else the effort and the summary, for models that think. */
function encodeReasoning(
  request: GenerateRequest,
  target: Target,
  quirks: Peculiarities,
  losses: Losses,
): JsonObject | undefined {
  const { reasoning, dialect } = request
  if (!reasoning) return undefined
  const { effort, maxTokens, enabled, exclude, summary, extra = {} } = reasoning
  const same = dialect === 'responses'
  const takesAll = quirks.extensions.has('reasoning')
  if (!same) for (const field of Object.keys(extra)) losses.parameter(`reasoning.${field}`)
  const chosen = takesAll ? effort : nearestEffort(request, losses)
  if (!same && !takesAll && !isReasoningModel(target, quirks)) {
    if (chosen !== undefined && chosen !== 'none') losses.thinking(target.model)
    return undefined
  }
  const encoded = {
    ...(same && extra),
    ...(chosen !== undefined && { effort: chosen }),
    ...(summary !== undefined && { summary }),
    ...(takesAll && maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(takesAll && enabled !== undefined && { enabled }),
    ...(takesAll && exclude !== undefined && { exclude }),
  }
  const wasEmpty = Object.keys(reasoning).length === 0
  return Object.keys(encoded).length > 0 || wasEmpty ? encoded : undefined
}

/** `tools` and what goes with them. A client of another API that wants none called sends none. */
function encodeToolFields(request: GenerateRequest, same: boolean, losses: Losses): JsonObject {
  const { tools, toolChoice, parallelToolCalls } = request
  const search = searchTools(request, losses)
  if (!same && toolChoice === 'none') return search.length > 0 ? { tools: search } : {}
  const encoded = tools && encodeTools(tools, same, losses)
  return {
    tools: search.length > 0 ? [...(encoded ?? []), ...search] : encoded,
    tool_choice: toolChoice === undefined ? undefined : encodeToolChoice(toolChoice, same, losses),
    parallel_tool_calls: parallelToolCalls,
  }
}

function encodeTools(tools: readonly Tool[], same: boolean, losses: Losses): JsonObject[] {
  return tools.flatMap((tool) => {
    if (tool.type === 'native') return encodeNativeTool(tool.dialect, tool.value, losses)
    const { type, name, description, parameters, strict, cacheControl, extra } = tool
    const described = { type, name, ...(description !== undefined && { description }) }
    // A tool that says nothing is strict in the Responses API, and is not in Chat Completions.
    if (!same) return [{ ...described, parameters: parameters ?? null, strict: strict ?? false }]
    return [
      {
        ...described,
        ...(parameters !== undefined && { parameters }),
        ...(strict !== undefined && { strict }),
        ...(cacheControl && { cache_control: cacheControl }),
        ...extra,
      },
    ]
  })
}

/** Custom tools of Chat Completions are flat here, and so is the grammar of their format. */
function encodeNativeTool(dialect: string, value: JsonObject, losses: Losses): JsonObject[] {
  if (dialect === 'responses') return [value]
  const custom = value['custom'] as JsonObject | undefined
  if (dialect === 'chat' && value['type'] === 'custom' && custom) {
    const format = custom['format'] as JsonObject | undefined
    const grammar = format?.['grammar'] as JsonObject | undefined
    return [{ type: 'custom', ...custom, ...(grammar && { format: { type: 'grammar', ...grammar } }) }]
  }
  losses.tool(String(value['type']))
  return []
}

function encodeToolChoice(choice: ToolChoice, same: boolean, losses: Losses): unknown {
  if (typeof choice === 'string') return choice
  if ('name' in choice) return { type: choice.custom ? 'custom' : 'function', name: choice.name }
  if ('allowed' in choice) {
    return { type: 'allowed_tools', mode: choice.mode, tools: choice.allowed.map((tool) => flatTool(tool)) }
  }
  if (same) return choice.native
  losses.parameter('tool_choice', 'The Responses API has no such tool choice')
  return undefined
}

/** Chat Completions names an allowed tool as `{ type: 'function', function: { name } }`. */
function flatTool(tool: JsonObject): JsonObject {
  const nested = tool[String(tool['type'])]
  return typeof nested === 'object' && nested !== null ? { type: tool['type'], ...nested } : tool
}
