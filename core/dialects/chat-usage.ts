import type { JsonObject, Usage } from '../contract/canonical.ts'
import { isObject } from './chat-fields.ts'

function defined(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** The details object of one side of the usage: what the upstream said, with the canonical counts; none if both are empty. */
function details(name: string, native: JsonObject, counts: JsonObject): JsonObject {
  const own = isObject(native[name]) ? native[name] : undefined
  const known = defined(counts)
  return own || Object.keys(known).length > 0 ? { [name]: { ...own, ...known } } : {}
}

/** Dollars from integer micro-dollars. */
function dollars(costMicros: number): number {
  return costMicros / 1_000_000
}

/** `cost`, `cost_details` and `is_byok` of a usage object, where a cost is known; `native` is the upstream's own object. */
export function costFields(usage: Usage, native: JsonObject = {}): JsonObject {
  const costMicros = usage.costMicros ?? usage.reportedCostMicros
  if (costMicros === undefined) return {}
  const reported = usage.reportedCostMicros
  return {
    cost: dollars(costMicros),
    cost_details: {
      upstream_inference_cost: reported === undefined ? null : dollars(reported),
      ...(isObject(native['cost_details']) && native['cost_details']),
    },
    is_byok: native['is_byok'] === true,
  }
}

/** `server_tool_use` of a usage object, where searches of the web are known of. */
export function searchFields({ webSearches }: Usage, native: JsonObject = {}): JsonObject {
  if (webSearches === undefined) return {}
  const own = isObject(native['server_tool_use']) ? native['server_tool_use'] : undefined
  return { server_tool_use: { ...own, web_search_requests: webSearches } }
}

/** The `usage` object of chat and completions. Counts the upstream gave in this dialect and no field of ours has are kept. */
export function encodeChatUsage(usage: Usage): JsonObject {
  const native = typeof usage.native?.['prompt_tokens'] === 'number' ? usage.native : {}
  return {
    ...native,
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    ...details('prompt_tokens_details', native, {
      cached_tokens: usage.cachedInputTokens,
      cache_write_tokens: usage.cacheWriteTokens,
      audio_tokens: usage.audioInputTokens,
    }),
    ...details('completion_tokens_details', native, {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: usage.audioOutputTokens,
    }),
    ...searchFields(usage, native),
    ...costFields(usage, native),
    ...(usage.estimated && { estimated: true }),
  }
}
