import type { DataPolicy } from '@hadrian/core/plugin'

/**
 * Why prompts may not go there if nobody is to collect them; undefined if they may. What is not known cannot be promised.
 *
 * @param transientDays prompts that are kept no longer than this count as not kept
 */
export function collectionObstacle(policy: DataPolicy | undefined, transientDays: number): string | undefined {
  if (policy?.training === true) return 'prompts may be trained on'
  if (policy?.training === undefined) return 'it is not known whether prompts are trained on'
  return retentionObstacle(policy, transientDays)
}

/** Why prompts may not go there if none may be kept; undefined if they may. */
export function zeroRetentionObstacle(policy: DataPolicy | undefined): string | undefined {
  return policy?.training === true ? 'prompts may be trained on' : retentionObstacle(policy, 0)
}

function retentionObstacle(policy: DataPolicy | undefined, mostDays: number): string | undefined {
  const days = policy?.retentionDays
  if (days === undefined) return 'it is not known how long prompts are kept'
  return days > mostDays ? `prompts are kept for ${days} days` : undefined
}
