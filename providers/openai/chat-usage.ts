import type { JsonObject, Usage } from '@hadrian/core/provider'
import { isObject } from './json.ts'

/** The first of these that is a count. */
function count(first: unknown, second?: unknown, third?: unknown, fourth?: unknown): number | undefined {
  if (isCount(first)) return first
  if (isCount(second)) return second
  if (isCount(third)) return third
  return isCount(fourth) ? fourth : undefined
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

const noDetails: JsonObject = {}

function details(usage: JsonObject, name: string): JsonObject {
  return isObject(usage[name]) ? usage[name] : noDetails
}

/**
 * The usage object of chat, completions and embeddings, in the spellings of the compatible servers too; undefined if it
 * has no counts. xAI leaves reasoning out of `completion_tokens`, which its total gives away.
 */
export function decodeUsage(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const input = count(usage['prompt_tokens'], usage['input_tokens'])
  const output = count(usage['completion_tokens'], usage['output_tokens'])
  const total = count(usage['total_tokens'])
  if (input === undefined && output === undefined && total === undefined) return undefined
  const inputDetails = details(usage, 'prompt_tokens_details')
  const outputDetails = details(usage, 'completion_tokens_details')
  const reasoningTokens = count(outputDetails['reasoning_tokens'], usage['reasoning_tokens'])
  const inputTokens = input ?? Math.max(0, (total ?? 0) - (output ?? 0))
  const apart = reasoningTokens !== undefined && total === inputTokens + (output ?? 0) + reasoningTokens
  const outputTokens = apart
    ? (output ?? 0) + reasoningTokens
    : (output ?? Math.max(0, (total ?? inputTokens) - inputTokens))
  const cached = count(inputDetails['cached_tokens'], usage['cached_tokens'], usage['prompt_cache_hit_tokens'])
  const written = count(
    inputDetails['cache_write_tokens'],
    inputDetails['cache_creation_input_tokens'],
    usage['cache_creation_input_tokens'],
    usage['cache_write_tokens'],
  )
  const audioInput = count(inputDetails['audio_tokens'])
  const audioOutput = count(outputDetails['audio_tokens'])
  const cost = count(usage['cost'])
  return {
    inputTokens,
    outputTokens,
    ...(cached !== undefined && { cachedInputTokens: cached }),
    ...(written !== undefined && { cacheWriteTokens: written }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
    ...(audioInput !== undefined && { audioInputTokens: audioInput }),
    ...(audioOutput !== undefined && { audioOutputTokens: audioOutput }),
    ...(cost !== undefined && { reportedCostMicros: Math.round(cost * 1_000_000) }),
    native: usage,
  }
}
