import type { GenerateRequest, JsonObject } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'
import type { ModelTraits } from './traits.ts'
import { isObject } from './wire.ts'

/** Longest `metadata.user_id` the API takes. */
const maxUserLength = 256

/** Service tiers of OpenAI as the nearest tier here. */
const serviceTiers: Readonly<Record<string, string>> = {
  auto: 'auto',
  priority: 'auto',
  default: 'standard_only',
  standard_only: 'standard_only',
}

/**
 * Top-level fields that are the gateway's business, or say nothing that an upstream could act on. They are not losses.
 */
const silentExtras = new Set([
  'background',
  'client_metadata',
  'include',
  'route',
  'session_id',
  'stream_options',
  'trace',
  'transforms',
  'usage',
])

/** Sampling and the other plain parameters of the body; reports those that have no counterpart. */
export function encodeParameters(
  request: GenerateRequest,
  traits: ModelTraits,
  thinks: boolean,
  losses: LossList,
): JsonObject {
  reportUnsupported(request, losses)
  const stop = request.stop?.filter((sequence) => sequence.trim() !== '') ?? []
  if (stop.length < (request.stop?.length ?? 0)) losses.adjusted('stop', 'blank sequences were left out')
  const user = request.user ?? request.safetyIdentifier
  if (user !== undefined && user.length > maxUserLength) losses.adjusted('user', `cut to ${maxUserLength} characters`)
  const tier = request.serviceTier === undefined ? undefined : serviceTiers[request.serviceTier]
  if (request.serviceTier !== undefined && tier === undefined) {
    losses.unsupported('serviceTier', `there is no tier like ${request.serviceTier}`)
  }
  return {
    ...encodeSampling(request, traits, thinks, losses),
    ...(stop.length > 0 && { stop_sequences: stop }),
    ...(user && { metadata: { user_id: user.slice(0, maxUserLength) } }),
    ...(tier !== undefined && { service_tier: tier }),
    ...(request.dialect === 'chat' &&
      request.extra['cache_control'] !== undefined && { cache_control: request.extra['cache_control'] }),
  }
}

function encodeSampling(
  request: GenerateRequest,
  traits: ModelTraits,
  thinks: boolean,
  losses: LossList,
): { temperature?: number; top_p?: number; top_k?: number } {
  const { temperature, topP, topK } = request
  const sampling: { temperature?: number; top_p?: number; top_k?: number } = {}
  const fixed = traits.sampling === 'fixed' && 'the model takes no sampling parameters'
  const thinking = thinks && 'it cannot be combined with thinking'
  const bar = fixed || thinking
  if (temperature !== undefined && temperature > 1) losses.adjusted('temperature', 'set to 1, the highest value here')
  if (temperature !== undefined && Math.min(temperature, 1) !== 1 && bar) losses.unsupported('temperature', bar)
  else if (temperature !== undefined && !bar) sampling.temperature = Math.min(temperature, 1)
  if (topK !== undefined && topK > 0) {
    if (bar) losses.unsupported('topK', bar)
    else sampling.top_k = topK
  }
  if (topP !== undefined && topP !== 1) {
    if (fixed) losses.unsupported('topP', fixed)
    else if (thinks && topP < 0.95) losses.unsupported('topP', 'with thinking it must be 0.95 or more')
    else if (traits.sampling === 'single' && sampling.temperature !== undefined) {
      losses.unsupported('topP', 'the model takes temperature or top_p, not both')
    } else sampling.top_p = topP
  }
  return sampling
}

/** One warning for each parameter that is lost. Values that ask for the default are no loss. */
function reportUnsupported(request: GenerateRequest, losses: LossList): void {
  if (request.frequencyPenalty) losses.unsupported('frequencyPenalty')
  if (request.presencePenalty) losses.unsupported('presencePenalty')
  if (request.minP) losses.unsupported('minP')
  if (request.seed !== undefined) losses.unsupported('seed')
  if (request.logprobs) losses.unsupported('logprobs')
  if (request.topLogprobs) losses.unsupported('topLogprobs')
  if (request.logitBias && Object.keys(request.logitBias).length > 0) losses.unsupported('logitBias')
  if (request.verbosity !== undefined && request.verbosity !== 'medium') losses.unsupported('verbosity')
  if (request.promptCacheKey !== undefined) losses.unsupported('promptCacheKey')
  for (const field of Object.keys(request.reasoning?.extra ?? {})) losses.unsupported(`reasoning.${field}`)
  if (request.dialect === 'chat') {
    // A response object repeats the metadata and says that it was not stored; a chat answer has no such fields.
    if (request.metadata && Object.keys(request.metadata).length > 0) losses.unsupported('metadata')
    if (request.store) losses.unsupported('store')
  }
  for (const [field, value] of Object.entries(request.extra)) {
    if (!isSilent(request, field, value)) losses.unsupported(field)
  }
}

function isSilent({ dialect, maxOutputTokens }: GenerateRequest, field: string, value: unknown): boolean {
  if (value === null || silentExtras.has(field)) return true
  if (field === 'truncation') return value === 'disabled'
  if (field === 'text') return isObject(value) && Object.keys(value).length === 0
  if (dialect !== 'chat') return false
  // Of the two names of the output limit the other one has won.
  return field === 'cache_control' || (field === 'max_tokens' && maxOutputTokens !== undefined)
}
