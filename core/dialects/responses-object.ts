import type { GenerateRequest, JsonObject, ResponseFormat } from '../contract/canonical.ts'
import type { ReplyContext } from './dialect.ts'
import { isObject } from './chat-fields.ts'

export type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed'

/** What changes of a response object while it is made. */
export interface ResponseState {
  readonly status: ResponseStatus
  readonly model: string
  /** Unix time in seconds. */
  readonly completedAt?: number
  readonly incompleteReason?: string
  readonly error?: JsonObject
  readonly output: readonly JsonObject[]
  readonly usage?: JsonObject
  /** `hadrian_metadata`, if the client asked for it. */
  readonly metadata?: JsonObject
}

/** The id of a response: `resp_` and the exchange's own. */
export function responseId(context: ReplyContext): string {
  return `resp_${idSuffix(context)}`
}

/** What the ids of a response and of its items have in common. */
export function idSuffix({ exchangeId }: ReplyContext): string {
  return exchangeId.replaceAll(/[^A-Za-z0-9]/g, '')
}

/**
 * The response object with every field the public schema requires: the request echoed, with the API's defaults where
 * the client gave nothing.
 */
export function responseObject(context: ReplyContext, state: ResponseState): JsonObject {
  const { request, body } = context
  return {
    id: responseId(context),
    object: 'response',
    created_at: context.created,
    completed_at: state.completedAt ?? null,
    status: state.status,
    background: false,
    error: state.error ?? null,
    incomplete_details: state.incompleteReason === undefined ? null : { reason: state.incompleteReason },
    instructions: body['instructions'] ?? null,
    max_output_tokens: request.maxOutputTokens ?? null,
    max_tool_calls: body['max_tool_calls'] ?? null,
    model: state.model,
    output: state.output,
    parallel_tool_calls: request.parallelToolCalls ?? true,
    previous_response_id: null,
    prompt_cache_key: request.promptCacheKey ?? null,
    reasoning: echoReasoning(request),
    safety_identifier: request.safetyIdentifier ?? null,
    service_tier: request.serviceTier ?? 'default',
    store: false,
    temperature: request.temperature ?? 1,
    text: echoText(request),
    tool_choice: body['tool_choice'] ?? 'auto',
    tools: echoTools(body['tools']),
    top_logprobs: request.topLogprobs ?? 0,
    top_p: request.topP ?? 1,
    presence_penalty: request.presencePenalty ?? 0,
    frequency_penalty: request.frequencyPenalty ?? 0,
    truncation: body['truncation'] ?? 'disabled',
    usage: state.usage ?? null,
    user: request.user ?? null,
    metadata: request.metadata ?? {},
    ...(state.metadata && { hadrian_metadata: state.metadata }),
  }
}

function echoReasoning({ reasoning }: GenerateRequest): JsonObject {
  const maxTokens = reasoning?.maxTokens
  return {
    effort: reasoning?.effort ?? null,
    summary: reasoning?.summary ?? null,
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
  }
}

function echoText({ responseFormat, verbosity }: GenerateRequest): JsonObject {
  return { format: echoFormat(responseFormat), ...(verbosity !== undefined && { verbosity }) }
}

function echoFormat(format: ResponseFormat = { type: 'text' }): JsonObject {
  if (format.type === 'native') return format.value
  if (format.type !== 'json_schema') return { type: format.type }
  return {
    type: format.type,
    name: format.name,
    description: format.description ?? null,
    schema: format.schema ?? null,
    strict: format.strict ?? false,
  }
}

function echoTools(tools: unknown): unknown[] {
  if (!Array.isArray(tools)) return []
  return tools.map((tool: unknown) => {
    if (!isObject(tool) || tool['type'] !== 'function') return tool
    return {
      ...tool,
      description: tool['description'] ?? null,
      parameters: tool['parameters'] ?? null,
      strict: tool['strict'] ?? null,
    }
  })
}
