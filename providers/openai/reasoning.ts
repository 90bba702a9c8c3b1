import type { GenerateRequest, JsonObject, ReasoningRequest, Target } from '@hadrian/core/provider'
import { nearestEffort } from './effort.ts'
import type { Wire } from './message-parts.ts'
import { isReasoningModel } from './quirks.ts'

/** The object form, as OpenRouter and the gateway's own clients have it. */
function encodeObject(reasoning: ReasoningRequest, withEffort: boolean, sameDialect: boolean): JsonObject {
  const { effort, maxTokens, exclude, enabled, summary, extra } = reasoning
  return {
    ...(effort !== undefined && withEffort && { effort }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(exclude !== undefined && { exclude }),
    ...(enabled !== undefined && { enabled }),
    ...(summary !== undefined && { summary }),
    ...(sameDialect && extra),
  }
}

/** For an upstream that takes the object form: in the client's own spelling, where it has one. */
function encodeNatively(reasoning: ReasoningRequest, words: readonly string[], sameDialect: boolean): JsonObject {
  const { effort, exclude } = reasoning
  const others = Object.keys(reasoning).filter((field) => field !== 'exclude')
  if (words.includes('include_reasoning') && others.length === 0) return { include_reasoning: exclude !== true }
  const isShort = words.includes('reasoning_effort') && effort !== undefined
  const object = encodeObject(reasoning, !isShort || words.includes('reasoning.effort'), sameDialect)
  const hasObject = words.includes('reasoning') || !isShort || Object.keys(object).length > 0
  return { ...(isShort && { reasoning_effort: effort }), ...(hasObject && { reasoning: object }) }
}

/** `reasoning` or `reasoning_effort` of a chat body. `words` is the `form` of the request. */
export function encodeReasoning(
  request: GenerateRequest,
  target: Target,
  words: readonly string[],
  wire: Wire,
): JsonObject {
  const { reasoning } = request
  if (!reasoning) return {}
  if (wire.quirks.extensions.has('reasoning')) return encodeNatively(reasoning, words, wire.sameDialect)
  if (reasoning.summary !== undefined) wire.losses.parameter('reasoning.summary')
  for (const field of Object.keys(reasoning.extra ?? {})) wire.losses.parameter(`reasoning.${field}`)
  const effort = nearestEffort(request, wire.losses)
  if (effort === undefined) return {}
  // A client that wrote the upstream's own field gets the upstream's own answer to it.
  if (words.includes('reasoning_effort') || isReasoningModel(target, wire.quirks)) return { reasoning_effort: effort }
  if (effort !== 'none') wire.losses.thinking(target.model)
  return {}
}
