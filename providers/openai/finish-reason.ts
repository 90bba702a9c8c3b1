import type { FinishReason } from '@hadrian/core/provider'

const reasons: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'content_filter',
  error: 'error',
  function_call: 'tool_calls',
  tool_use: 'tool_calls',
  tool_call: 'tool_calls',
  max_tokens: 'length',
  max_output_tokens: 'length',
  model_length: 'length',
  safety: 'content_filter',
  recitation: 'content_filter',
  refusal: 'content_filter',
  sensitive: 'content_filter',
  network_error: 'error',
  abort: 'error',
}

/** One of the five reasons for whatever word a server of this dialect uses; any other ending is a `stop`. */
export function finishReason(word: string): FinishReason {
  const key = word.toLowerCase()
  return Object.hasOwn(reasons, key) ? (reasons[key] ?? 'stop') : 'stop'
}
