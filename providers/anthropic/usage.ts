import type { JsonObject, Usage } from '@hadrian/core/provider'

import { isObject } from './wire.ts'

/**
 * Adds what a later record says to what an earlier one said, field by field: `message_delta` repeats some counts of
 * `message_start` and leaves out others.
 */
export function mergeUsage(earlier: JsonObject, later: unknown): JsonObject {
  if (!isObject(later)) return earlier
  return { ...earlier, ...Object.fromEntries(Object.entries(later).filter(([, value]) => value !== null)) }
}

/** Anthropic's usage in ours. Its `input_tokens` leave out cache reads and writes; ours have them. */
export function decodeUsage(native: JsonObject): Usage {
  const cachedInputTokens = count(native['cache_read_input_tokens'])
  const cacheWriteTokens = count(native['cache_creation_input_tokens'])
  const written = native['cache_creation']
  const cacheWrite1hTokens = isObject(written) ? count(written['ephemeral_1h_input_tokens']) : 0
  const details = native['output_tokens_details']
  const reasoningTokens = isObject(details) ? count(details['thinking_tokens']) : 0
  const tools = native['server_tool_use']
  const webSearches = isObject(tools) ? count(tools['web_search_requests']) : 0
  return {
    inputTokens: count(native['input_tokens']) + cachedInputTokens + cacheWriteTokens,
    outputTokens: count(native['output_tokens']),
    cachedInputTokens,
    cacheWriteTokens,
    ...(cacheWrite1hTokens > 0 && { cacheWrite1hTokens }),
    ...(reasoningTokens > 0 && { reasoningTokens }),
    ...(webSearches > 0 && { webSearches }),
    native,
  }
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0
}
