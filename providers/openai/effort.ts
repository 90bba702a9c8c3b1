import type { GenerateRequest } from '@hadrian/core/provider'
import type { Losses } from './losses.ts'

/** Budgets in tokens up to which an effort is the nearest one; OpenRouter's shares of a usual limit, turned round. */
const budgets = [
  [1024, 'minimal'],
  [4096, 'low'],
  [12_288, 'medium'],
] as const

/** Shares of the output limit up to which an effort is the nearest one: between OpenRouter's 10, 20, 50 and 80 percent. */
const shares = [
  [0.15, 'minimal'],
  [0.35, 'low'],
  [0.65, 'medium'],
] as const

function effortOfBudget(budget: number, maxOutputTokens: number | undefined): string {
  if (budget === 0) return 'none'
  const share = maxOutputTokens ? budget / maxOutputTokens : undefined
  const [table, value] = share === undefined ? [budgets, budget] : [shares, share]
  return table.find(([bound]) => value <= bound)?.[1] ?? 'high'
}

/**
 * The effort for an upstream that knows nothing but efforts, and not all of them; undefined if the client leaves it to the
 * model. A budget becomes the nearest effort, which is told.
 */
export function nearestEffort({ reasoning, maxOutputTokens }: GenerateRequest, losses: Losses): string | undefined {
  const { effort, maxTokens, enabled } = reasoning ?? {}
  if (effort === 'max') {
    losses.adjusted('reasoning.effort', "The upstream has no effort 'max'; it was sent as 'high'")
    return 'high'
  }
  if (effort !== undefined) return effort
  if (enabled === false) return 'none'
  if (maxTokens !== undefined) {
    const nearest = effortOfBudget(maxTokens, maxOutputTokens)
    losses.adjusted('reasoning.max_tokens', `The upstream takes no budget; it was sent as effort '${nearest}'`)
    return nearest
  }
  return enabled ? 'medium' : undefined
}
