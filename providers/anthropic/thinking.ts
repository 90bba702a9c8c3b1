import type { GenerateRequest, JsonObject, ReasoningEffort, ReasoningRequest } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'
import type { ModelTraits } from './traits.ts'

/** Share of the output limit that an effort may spend on thinking, as OpenRouter documents it. */
const shares: Readonly<Record<Exclude<ReasoningEffort, 'none'>, number>> = {
  max: 0.95,
  xhigh: 0.95,
  high: 0.8,
  medium: 0.5,
  low: 0.2,
  minimal: 0.1,
}

/** The smallest budget the API takes, in tokens. */
const minBudget = 1024

/** Output limit in tokens where nobody gave one and the model thinks by effort: all such models can write more. */
const adaptiveLimit = 32_000

/** The fields of the body that limit and steer the output. */
export interface ThinkingPlan {
  readonly max_tokens: number
  readonly thinking?: JsonObject
  /** For `output_config.effort`. */
  readonly effort?: string
}

/** What decides about thinking besides the request. */
export interface ThinkingTerms {
  readonly traits: ModelTraits
  /** The most tokens the model can write, if the catalog knows. */
  readonly ceiling: number | undefined
  /** Limit in tokens if neither client nor catalog has one. */
  readonly defaultLimit: number
  /** Why the API would refuse thinking in this conversation, if it would. */
  readonly obstacle: string | undefined
}

/** How hard the client wants the model to think; undefined if it does not ask for thinking. */
export function wantedEffort(reasoning: ReasoningRequest | undefined): Exclude<ReasoningEffort, 'none'> | undefined {
  if (!reasoning || reasoning.enabled === false || reasoning.effort === 'none') return undefined
  if (reasoning.effort !== undefined) return Object.hasOwn(shares, reasoning.effort) ? reasoning.effort : 'medium'
  return reasoning.enabled === true || reasoning.maxTokens !== undefined ? 'medium' : undefined
}

/** True if thinking, where it is wanted, is bounded by a token budget and not steered by an effort. */
export function thinksByBudget(request: GenerateRequest, traits: ModelTraits): boolean {
  return traits.thinking === 'budget' || (traits.thinking === 'either' && request.reasoning?.maxTokens !== undefined)
}

/** Decides `max_tokens`, `thinking` and the effort together, since each bounds the others. */
export function planThinking(request: GenerateRequest, terms: ThinkingTerms, losses: LossList): ThinkingPlan {
  const { traits, ceiling, defaultLimit, obstacle } = terms
  const asked = request.maxOutputTokens
  const limit = Math.max(1, Math.min(asked ?? ceiling ?? defaultLimit, ceiling ?? Infinity))
  if (asked !== undefined && asked !== limit)
    losses.adjusted('maxOutputTokens', `set to ${limit}, a value the model takes`)
  const effort = wantedEffort(request.reasoning)
  if (effort === undefined) {
    const off = request.reasoning?.enabled === false || request.reasoning?.effort === 'none'
    return { max_tokens: limit, ...(off && traits.thinking === 'adaptive' && { thinking: { type: 'disabled' } }) }
  }
  if (traits.thinking === 'none') losses.unsupported('reasoning', 'the model cannot think')
  else if (obstacle !== undefined) losses.unsupported('reasoning', obstacle)
  else {
    if (thinksByBudget(request, traits)) return planBudget(request, effort, limit, ceiling, losses)
    const unlimited = asked === undefined && ceiling === undefined
    return planEffort(request, effort, unlimited ? Math.max(limit, adaptiveLimit) : limit, traits, losses)
  }
  return { max_tokens: limit }
}

function planBudget(
  request: GenerateRequest,
  effort: Exclude<ReasoningEffort, 'none'>,
  limit: number,
  ceiling: number | undefined,
  losses: LossList,
): ThinkingPlan {
  const asked = request.reasoning?.maxTokens
  let budget = Math.max(minBudget, asked ?? Math.floor(limit * shares[effort]))
  // A limit that nobody set is for the answer alone. One that somebody set holds for thinking and answer together: no
  // budget was reserved for more.
  const unlimited = request.maxOutputTokens === undefined && ceiling === undefined
  if (!unlimited) {
    budget = Math.min(budget, Math.floor(limit * shares.max))
    if (budget < minBudget) {
      losses.unsupported('reasoning', `an output of ${limit} tokens has no room for it`)
      return { max_tokens: limit }
    }
  }
  if (asked !== undefined && asked !== budget) losses.adjusted('reasoning', `the thinking budget was set to ${budget}`)
  return { max_tokens: unlimited ? budget + limit : limit, thinking: { type: 'enabled', budget_tokens: budget } }
}

function planEffort(
  request: GenerateRequest,
  wanted: Exclude<ReasoningEffort, 'none'>,
  limit: number,
  traits: ModelTraits,
  losses: LossList,
): ThinkingPlan {
  const budget = request.reasoning?.maxTokens
  let effort = budget === undefined ? wanted : nearestEffort(budget / limit)
  if (effort === 'minimal') effort = 'low'
  if (effort === 'xhigh' && traits.thinking === 'either') effort = 'high'
  if (budget !== undefined) losses.adjusted('reasoning', `the thinking budget was sent as effort ${effort}`)
  else if (effort !== wanted) losses.adjusted('reasoning', `effort ${wanted} was sent as ${effort}`)
  // Models of this kind return no thinking unless told to; the older ones know no such field.
  const display = traits.thinking === 'adaptive' && { display: request.reasoning?.exclude ? 'omitted' : 'summarized' }
  return { max_tokens: limit, thinking: { type: 'adaptive', ...display }, effort }
}

function nearestEffort(share: number): Exclude<ReasoningEffort, 'none'> {
  const efforts = ['low', 'medium', 'high', 'max'] as const
  return efforts.toSorted((a, b) => Math.abs(shares[a] - share) - Math.abs(shares[b] - share))[0]!
}
