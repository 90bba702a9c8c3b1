import type {
  GenerateRequest,
  JsonObject,
  Message,
  ReasoningEffort,
  ReasoningRequest,
  ResponseFormat,
  Target,
  Tool,
  ToolChoice,
  Warning,
} from '@hadrian/core/provider'
import { encodeItems, instructionsText } from './responses-items.ts'
import type { Warn } from './responses-items.ts'

/** Fields that Chat Completions and Responses both have under one name without a canonical field. */
const sharedFields: ReadonlySet<string> = new Set(['prompt_cache_retention', 'prompt_cache_options', 'moderation'])

/** OpenAI refuses less. */
const minimumOutputTokens = 16

/**
 * The body of `POST /responses`. `extensions` are the extension fields that the upstream takes besides OpenAI's own:
 * `top_k`, `min_p`, `reasoning` (then with budget, `enabled` and `exclude`).
 */
export function encodeResponses(
  request: GenerateRequest,
  target: Target,
  extensions: readonly string[] = [],
): { body: JsonObject; warnings: readonly Warning[] } {
  const warnings: Warning[] = []
  const warn: Warn = (code, message, param) => warnings.push({ code, message, ...(param !== undefined && { param }) })
  const same = request.dialect === 'responses'
  const { text: textExtra, ...extra } = same ? request.extra : sharedExtra(request.extra, warn)
  const { instructions, input } = encodeInput(request.messages, same, warn)
  const reasoning = request.reasoning && encodeReasoning(request.reasoning, request, extensions, warn)
  const text = encodeText(request, textExtra as JsonObject | undefined)
  warnUnsupported(request, same, warn)
  const fields = {
    model: target.model,
    instructions,
    input,
    tools: request.tools && encodeTools(request.tools, same, warn),
    tool_choice: request.toolChoice === undefined ? undefined : encodeToolChoice(request.toolChoice, same, warn),
    parallel_tool_calls: request.parallelToolCalls,
    stream: request.stream || undefined,
    max_output_tokens: outputTokens(request.maxOutputTokens, same, warn),
    temperature: request.temperature,
    top_p: request.topP,
    top_logprobs: request.topLogprobs,
    presence_penalty: same ? request.presencePenalty : undefined,
    frequency_penalty: same ? request.frequencyPenalty : undefined,
    top_k: extension('top_k', request.topK, extensions, warn),
    min_p: extension('min_p', request.minP, extensions, warn),
    text,
    reasoning,
    include: same ? undefined : encodeInclude(request, reasoning),
    user: request.user,
    safety_identifier: request.safetyIdentifier,
    prompt_cache_key: request.promptCacheKey,
    service_tier: request.serviceTier,
    metadata: request.metadata,
    store: false,
  }
  const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  return { body: { ...extra, ...known }, warnings }
}

function encodeInput(messages: readonly Message[], same: boolean, warn: Warn) {
  const [first] = messages
  const hasInstructions = same && first?.form === 'instructions'
  const rest = hasInstructions ? messages.slice(1) : messages
  const instructions = hasInstructions ? instructionsText(first) : undefined
  const items = encodeItems(rest, same, warn)
  const [only] = items
  const isText = same && rest.length === 1 && rest[0]?.form === 'input' && typeof only?.['content'] === 'string'
  return { instructions, input: isText ? only['content'] : items }
}

function sharedExtra(extra: JsonObject, warn: Warn): JsonObject {
  const shared: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(extra)) {
    if (sharedFields.has(name)) shared[name] = value
    else warn('unsupported_parameter', `The Responses API has no '${name}'`, name)
  }
  return shared
}

function warnUnsupported(request: GenerateRequest, same: boolean, warn: Warn): void {
  const absent: Readonly<Record<string, unknown>> = {
    n: request.n === 1 ? undefined : request.n,
    stop: request.stop,
    seed: request.seed,
    logit_bias: request.logitBias,
    frequency_penalty: same || request.frequencyPenalty === 0 ? undefined : request.frequencyPenalty,
    presence_penalty: same || request.presencePenalty === 0 ? undefined : request.presencePenalty,
  }
  for (const [name, value] of Object.entries(absent)) {
    if (value !== undefined) warn('unsupported_parameter', `The Responses API has no '${name}'`, name)
  }
}

function extension<T>(name: string, value: T | undefined, extensions: readonly string[], warn: Warn): T | undefined {
  if (value === undefined || extensions.includes(name)) return value
  warn('unsupported_parameter', `The Responses API has no '${name}'`, name)
  return undefined
}

function outputTokens(value: number | undefined, same: boolean, warn: Warn): number | undefined {
  if (value === undefined || same || value >= minimumOutputTokens) return value
  warn('adjusted_value', `The Responses API takes at least ${minimumOutputTokens} output tokens`, 'max_tokens')
  return minimumOutputTokens
}

/** Chat clients get thinking back only if it comes encrypted, since nothing is stored upstream. */
function encodeInclude(request: GenerateRequest, reasoning: JsonObject | undefined): string[] | undefined {
  const include = [
    ...(reasoning && reasoning['effort'] !== 'none' ? ['reasoning.encrypted_content'] : []),
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

/** OpenAI knows efforts only; budgets become the nearest one. */
function encodeReasoning(
  reasoning: ReasoningRequest,
  request: GenerateRequest,
  extensions: readonly string[],
  warn: Warn,
): JsonObject | undefined {
  const { effort, maxTokens, enabled, exclude, summary, extra } = reasoning
  const kept = request.dialect === 'responses' ? extra : undefined
  const takesAll = extensions.includes('reasoning')
  const chosen = takesAll ? effort : (effort ?? effortOf(maxTokens, enabled, request.maxOutputTokens))
  if (chosen !== effort && maxTokens !== undefined) {
    warn(
      'adjusted_value',
      `A thinking budget of ${maxTokens} tokens became the effort '${chosen}'`,
      'reasoning.max_tokens',
    )
  }
  const encoded = {
    ...kept,
    ...(chosen !== undefined && { effort: chosen }),
    ...(summary !== undefined && { summary }),
    ...(takesAll && maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(takesAll && enabled !== undefined && { enabled }),
    ...(takesAll && exclude !== undefined && { exclude }),
  }
  const wasEmpty = Object.keys(reasoning).length === 0
  return Object.keys(encoded).length > 0 || wasEmpty ? encoded : undefined
}

/** Shares of the output that stand for the efforts are 20, 50 and 80 percent; without a ceiling, of 16384 tokens. */
function effortOf(
  maxTokens: number | undefined,
  enabled: boolean | undefined,
  maxOutputTokens = 16_384,
): ReasoningEffort | undefined {
  if (enabled === false || maxTokens === 0) return 'none'
  if (maxTokens === undefined) return enabled ? 'medium' : undefined
  const share = maxTokens / maxOutputTokens
  if (share <= 0.35) return 'low'
  return share <= 0.65 ? 'medium' : 'high'
}

function encodeTools(tools: readonly Tool[], same: boolean, warn: Warn): JsonObject[] {
  return tools.flatMap((tool) => {
    if (tool.type === 'native') return encodeNativeTool(tool.dialect, tool.value, warn)
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
function encodeNativeTool(dialect: string, value: JsonObject, warn: Warn): JsonObject[] {
  if (dialect === 'responses') return [value]
  const custom = value['custom'] as JsonObject | undefined
  if (dialect === 'chat' && value['type'] === 'custom' && custom) {
    const format = custom['format'] as JsonObject | undefined
    const grammar = format?.['grammar'] as JsonObject | undefined
    return [{ type: 'custom', ...custom, ...(grammar && { format: { type: 'grammar', ...grammar } }) }]
  }
  warn('dropped_tool', `The Responses API has no tool of type '${String(value['type'])}' of ${dialect}`, 'tools')
  return []
}

function encodeToolChoice(choice: ToolChoice, same: boolean, warn: Warn): unknown {
  if (typeof choice === 'string') return choice
  if ('name' in choice) return { type: choice.custom ? 'custom' : 'function', name: choice.name }
  if ('allowed' in choice) {
    return { type: 'allowed_tools', mode: choice.mode, tools: choice.allowed.map((tool) => flatTool(tool)) }
  }
  if (same) return choice.native
  warn('unsupported_parameter', 'The Responses API has no such tool choice', 'tool_choice')
  return undefined
}

/** Chat Completions names an allowed tool as `{ type: 'function', function: { name } }`. */
function flatTool(tool: JsonObject): JsonObject {
  const nested = tool[String(tool['type'])]
  return typeof nested === 'object' && nested !== null ? { type: tool['type'], ...nested } : tool
}
