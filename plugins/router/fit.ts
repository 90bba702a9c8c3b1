import type { GenerateRequest, Target } from '@hadrian/core/plugin'

/** A need of a request, and the names under which a model's `supportedParameters` may list it. */
const needs: readonly { readonly isIn: (request: GenerateRequest) => boolean; readonly names: readonly string[] }[] = [
  {
    isIn: ({ tools, toolChoice }) => tools !== undefined && tools.length > 0 && toolChoice !== 'none',
    names: ['tools'],
  },
  { isIn: ({ responseFormat }) => responseFormat?.type === 'json_object', names: ['response_format'] },
  {
    isIn: ({ responseFormat }) => responseFormat?.type === 'json_schema',
    names: ['structured_outputs', 'response_format'],
  },
  { isIn: ({ reasoning }) => wantsReasoning(reasoning), names: ['reasoning', 'reasoning_effort', 'include_reasoning'] },
  { isIn: ({ verbosity }) => verbosity !== undefined, names: ['verbosity'] },
]

function wantsReasoning(reasoning: GenerateRequest['reasoning']): boolean {
  if (!reasoning || reasoning.enabled === false || reasoning.effort === 'none') return false
  return reasoning.enabled === true || reasoning.effort !== undefined || reasoning.maxTokens !== undefined
}

/**
 * Whether a target is known not to support something the request uses, or not to answer at the length it asks for. What
 * is unknown is no reason: absent `supportedParameters` never put a target back.
 */
export function isKnownUnfit({ info }: Target, request: GenerateRequest): boolean {
  if (!info) return false
  if (request.maxOutputTokens !== undefined && (info.maxOutputTokens ?? Infinity) < request.maxOutputTokens) return true
  const supported = info.supportedParameters
  if (!supported) return false
  return needs.some(({ isIn, names }) => isIn(request) && !names.some((name) => supported.includes(name)))
}
