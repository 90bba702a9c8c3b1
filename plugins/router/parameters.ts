import type { GenerateRequest, Target } from '@hadrian/core/plugin'

/** A parameter of the request, and the names under which a model's `supportedParameters` may list it. */
interface Parameter {
  readonly isSent: (request: GenerateRequest) => boolean
  readonly names: readonly string[]
}

const reasoningNames = ['reasoning', 'reasoning_effort', 'include_reasoning']

const parameters: readonly Parameter[] = [
  { isSent: ({ tools }) => (tools?.length ?? 0) > 0, names: ['tools'] },
  { isSent: ({ toolChoice }) => toolChoice !== undefined, names: ['tool_choice', 'tools'] },
  { isSent: ({ parallelToolCalls }) => parallelToolCalls !== undefined, names: ['parallel_tool_calls'] },
  { isSent: ({ responseFormat }) => responseFormat?.type === 'json_object', names: ['response_format'] },
  { isSent: ({ responseFormat }) => isSchema(responseFormat), names: ['structured_outputs', 'response_format'] },
  { isSent: ({ reasoning }) => reasoning !== undefined, names: reasoningNames },
  { isSent: ({ verbosity }) => verbosity !== undefined, names: ['verbosity'] },
  {
    isSent: ({ maxOutputTokens }) => maxOutputTokens !== undefined,
    names: ['max_tokens', 'max_completion_tokens', 'max_output_tokens'],
  },
  { isSent: ({ temperature }) => temperature !== undefined, names: ['temperature'] },
  { isSent: ({ topP }) => topP !== undefined, names: ['top_p'] },
  { isSent: ({ topK }) => topK !== undefined, names: ['top_k'] },
  { isSent: ({ minP }) => minP !== undefined, names: ['min_p'] },
  { isSent: ({ frequencyPenalty }) => frequencyPenalty !== undefined, names: ['frequency_penalty'] },
  { isSent: ({ presencePenalty }) => presencePenalty !== undefined, names: ['presence_penalty'] },
  { isSent: ({ seed }) => seed !== undefined, names: ['seed'] },
  { isSent: ({ stop }) => stop !== undefined, names: ['stop'] },
  { isSent: ({ logprobs }) => logprobs === true, names: ['logprobs'] },
  { isSent: ({ topLogprobs }) => topLogprobs !== undefined, names: ['top_logprobs', 'logprobs'] },
  { isSent: ({ logitBias }) => logitBias !== undefined, names: ['logit_bias'] },
  ...['top_a', 'repetition_penalty', 'prediction', 'modalities', 'audio', 'web_search_options', 'dimensions'].map(
    (name): Parameter => ({ isSent: ({ extra }) => extra[name] !== undefined && extra[name] !== null, names: [name] }),
  ),
]

function isSchema(format: GenerateRequest['responseFormat']): boolean {
  return format?.type === 'json_schema' || (format?.type === 'native' && format.value['type'] === 'json_schema')
}

/**
 * The first parameter that was sent and that a target is known not to take; undefined if there is none, or if nothing is
 * known of the target. What steers the gateway or the account (`user`, `metadata`, `n`, ...) is no such parameter.
 */
export function lackingParameter(target: Target, request: GenerateRequest): string | undefined {
  const supported = target.info?.supportedParameters
  if (!supported) return undefined
  return parameters.find(({ isSent, names }) => isSent(request) && !names.some((name) => supported.includes(name)))
    ?.names[0]
}
