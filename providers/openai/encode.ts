import type { GenerateRequest, JsonObject, ResponseFormat, Target, Warning } from '@hadrian/core/provider'
import { encodeExtra } from './extra-fields.ts'
import { Losses } from './losses.ts'
import type { Wire } from './message-parts.ts'
import { encodeMessages } from './messages.ts'
import { maxTokensField } from './quirks.ts'
import type { Quirks } from './quirks.ts'
import { encodeReasoning } from './reasoning.ts'
import { encodeTools } from './tools.ts'
import { encodeSearchOptions } from './web-search.ts'

/** Canonical fields that are one value on the wire, in every dialect. */
const plainFields = [
  ['frequency_penalty', 'frequencyPenalty'],
  ['presence_penalty', 'presencePenalty'],
  ['temperature', 'temperature'],
  ['top_p', 'topP'],
  ['seed', 'seed'],
  ['n', 'n'],
  ['logit_bias', 'logitBias'],
  ['user', 'user'],
] as const satisfies readonly (readonly [string, keyof GenerateRequest])[]

/** Fields of OpenAI's API that few compatible servers have: a foreign client's go out to OpenAI only. */
const openAiFields = [
  ['verbosity', 'verbosity'],
  ['safety_identifier', 'safetyIdentifier'],
  ['prompt_cache_key', 'promptCacheKey'],
  ['service_tier', 'serviceTier'],
] as const satisfies readonly (readonly [string, keyof GenerateRequest])[]

function pick(request: GenerateRequest, table: readonly (readonly [string, keyof GenerateRequest])[]): JsonObject {
  const found: Record<string, unknown> = {}
  for (const [name, field] of table) if (request[field] !== undefined) found[name] = request[field]
  return found
}

function encodeOpenAiFields(request: GenerateRequest, wire: Wire): JsonObject {
  const found = pick(request, openAiFields)
  if (wire.sameDialect || wire.quirks.isOpenAi) return found
  for (const name of Object.keys(found)) wire.losses.parameter(name)
  return {}
}

function encodeSampling(request: GenerateRequest, wire: Pick<Wire, 'quirks' | 'losses'>): JsonObject {
  const fields = pick(request, [
    ['top_k', 'topK'],
    ['min_p', 'minP'],
  ])
  const taken = Object.entries(fields).filter(([name]) => wire.quirks.extensions.has(name))
  for (const name of Object.keys(fields)) if (!wire.quirks.extensions.has(name)) wire.losses.parameter(name)
  return Object.fromEntries(taken)
}

function encodeResponseFormat(format: ResponseFormat | undefined, wire: Wire): JsonObject {
  if (!format) return {}
  if (format.type === 'native') {
    if (wire.sameDialect) return { response_format: format.value }
    const { type, name, ...others } = format.value
    if (type === 'json_schema') return { response_format: { type, json_schema: { name, ...others } } }
    wire.losses.parameter('response_format')
    return {}
  }
  if (format.type !== 'json_schema') return { response_format: { type: format.type } }
  const { type, ...definition } = format
  return { response_format: { type, json_schema: definition } }
}

function encodeStream(request: GenerateRequest, words: readonly string[], quirks: Quirks): JsonObject {
  const sent = request.dialect === 'responses' ? undefined : request.extra['stream_options']
  const asked = request.stream ? true : request.includeUsage
  const options = {
    ...(typeof sent === 'object' && sent),
    ...(asked !== undefined && quirks.includeUsage && { include_usage: asked }),
  }
  const hasOptions = Object.keys(options).length > 0 || (typeof sent === 'object' && sent !== null)
  return {
    ...((request.stream || words.includes('stream')) && { stream: request.stream }),
    ...(hasOptions && quirks.includeUsage && { stream_options: options }),
  }
}

function encodeStop(request: GenerateRequest, words: readonly string[]): JsonObject {
  const { stop } = request
  if (!stop) return {}
  return { stop: stop.length === 1 && words.includes('stop') ? stop[0] : stop }
}

function encodeLimit(request: GenerateRequest, target: Target, words: readonly string[], quirks: Quirks): JsonObject {
  if (request.maxOutputTokens === undefined) return {}
  const written = words.find((word) => word === 'max_tokens' || word === 'max_completion_tokens')
  return { [maxTokensField(written, target, quirks)]: request.maxOutputTokens }
}

/** A Responses client asks for the probabilities of tokens by naming how many, and zero is its way to say none. */
function encodeLogprobs({ logprobs, topLogprobs }: GenerateRequest, sameDialect: boolean): JsonObject {
  const isAsked = sameDialect || logprobs === true || (topLogprobs ?? 0) > 0
  if (!isAsked) return {}
  return {
    ...(sameDialect ? logprobs !== undefined && { logprobs } : { logprobs: true }),
    ...(topLogprobs !== undefined && { top_logprobs: topLogprobs }),
  }
}

/**
 * The body of `POST /chat/completions`. For a chat client nothing is lost that the upstream takes; from any other dialect
 * everything chat has a word for.
 */
export function encodeChat(
  request: GenerateRequest,
  target: Target,
  quirks: Quirks,
): { body: JsonObject; warnings: readonly Warning[] } {
  const sameDialect = request.dialect === 'chat'
  const wire: Wire = { quirks, losses: new Losses(), sameDialect }
  const words = sameDialect ? (request.form?.split(' ') ?? []) : []
  const body = {
    ...encodeExtra(request, quirks, wire.losses, (name) => sameDialect && name !== 'stream_options'),
    model: target.model,
    messages: encodeMessages(request.messages, wire),
    ...encodeTools(request, words.includes('functions'), wire),
    ...encodeSearchOptions(request, wire.losses),
    ...encodeResponseFormat(request.responseFormat, wire),
    ...encodeReasoning(request, target, words, wire),
    ...encodeLimit(request, target, words, quirks),
    ...pick(request, plainFields),
    ...encodeLogprobs(request, sameDialect),
    ...encodeSampling(request, wire),
    ...encodeStop(request, words),
    ...encodeOpenAiFields(request, wire),
    // A foreign client's metadata and storage are the gateway's to keep.
    ...(sameDialect &&
      pick(request, [
        ['metadata', 'metadata'],
        ['store', 'store'],
      ])),
    ...encodeStream(request, words, quirks),
  }
  return { body, warnings: wire.losses.warnings }
}

/** The body of `POST /completions` or `POST /embeddings`, whose own fields stand in `extra`. */
export function encodeRaw(
  request: GenerateRequest,
  target: Target,
  quirks: Quirks,
): { body: JsonObject; warnings: readonly Warning[] } {
  const wire = { quirks, losses: new Losses() }
  const words = request.form?.split(' ') ?? []
  const limit = request.maxOutputTokens !== undefined && { max_tokens: request.maxOutputTokens }
  const body = {
    ...encodeExtra(request, quirks, wire.losses, (name) => name !== 'stream_options'),
    model: target.model,
    ...limit,
    ...pick(request, plainFields),
    ...encodeSampling(request, wire),
    ...encodeStop(request, words),
    ...encodeStream(request, words, quirks),
  }
  return { body, warnings: wire.losses.warnings }
}
