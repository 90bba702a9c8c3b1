import type { ReasoningRequest } from '../contract/canonical.ts'
import { invalidField } from './responses-fields.ts'

/**
 * Refuses what a client asks for in `reasoning` where its parts contradict each other.
 *
 * @throws GatewayError `invalid_request_error`
 */
export function checkReasoning({ effort, maxTokens, enabled }: ReasoningRequest): void {
  if (effort !== undefined && maxTokens !== undefined) {
    throw invalidField('reasoning.max_tokens', 'stands beside an effort; give one of them')
  }
  const isAsked = (effort !== undefined && effort !== 'none') || (maxTokens !== undefined && maxTokens > 0)
  if (enabled === false && isAsked) {
    throw invalidField('reasoning.enabled', 'is false, yet an effort or budget is given')
  }
  if (enabled === true && (effort === 'none' || maxTokens === 0)) {
    throw invalidField('reasoning.enabled', 'is true, yet the effort is none')
  }
}
