import type { JsonObject, Usage } from '../contract/canonical.ts'
import { costFields, searchFields } from './chat-usage.ts'

/** `usage` of a response; with a known cost also `cost` in dollars, `cost_details` and `is_byok`; `estimated` if the gateway counted. */
export function encodeResponsesUsage(usage: Usage): JsonObject {
  const { inputTokens, outputTokens, cacheWriteTokens, audioInputTokens, audioOutputTokens, native } = usage
  return {
    input_tokens: inputTokens,
    input_tokens_details: {
      cached_tokens: usage.cachedInputTokens ?? 0,
      ...(cacheWriteTokens !== undefined && { cache_write_tokens: cacheWriteTokens }),
      ...(audioInputTokens !== undefined && { audio_tokens: audioInputTokens }),
    },
    output_tokens: outputTokens,
    output_tokens_details: {
      reasoning_tokens: usage.reasoningTokens ?? 0,
      ...(audioOutputTokens !== undefined && { audio_tokens: audioOutputTokens }),
    },
    total_tokens: inputTokens + outputTokens,
    ...searchFields(usage, native),
    ...costFields(usage, native),
    ...(usage.estimated && { estimated: true }),
  }
}
