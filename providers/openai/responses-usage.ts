import type { JsonObject, Usage } from '@hadrian/core/provider'

/** Reads `usage` of a response; `cost` is what OpenRouter and other gateways report, in dollars. */
export function decodeResponsesUsage(usage: JsonObject): Usage {
  const input = usage['input_tokens_details'] as JsonObject | null | undefined
  const output = usage['output_tokens_details'] as JsonObject | null | undefined
  const counts = {
    cachedInputTokens: count(input?.['cached_tokens']),
    cacheWriteTokens: count(input?.['cache_write_tokens']),
    reasoningTokens: count(output?.['reasoning_tokens']),
    audioInputTokens: count(input?.['audio_tokens']),
    audioOutputTokens: count(output?.['audio_tokens']),
    reportedCostMicros: micros(usage['cost']),
  }
  return {
    inputTokens: count(usage['input_tokens']) ?? 0,
    outputTokens: count(usage['output_tokens']) ?? 0,
    ...Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== undefined)),
    native: usage,
  }
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

function micros(dollars: unknown): number | undefined {
  const value = count(dollars)
  return value === undefined ? undefined : Math.round(value * 1_000_000)
}
