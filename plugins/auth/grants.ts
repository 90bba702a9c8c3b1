import { gatewayError } from '@hadrian/core/plugin'
import type { Principal } from '@hadrian/core/plugin'

/**
 * The models that a key made by this principal may use. A key never reaches further than its creator: what the creator
 * is limited to is inherited where nothing is said, and refused to be exceeded. (Scopes need no such rule: only `admin`
 * makes keys, and it includes giving every scope.)
 *
 * @param wanted undefined if nothing was said, null for every model
 * @throws GatewayError `model_not_allowed`
 */
export function grantedModels(
  creator: Pick<Principal, 'allowedModels'> | undefined,
  wanted: readonly string[] | null | undefined,
): readonly string[] | null {
  const limit = creator?.allowedModels
  if (!limit) return wanted ?? null
  if (wanted === undefined) return limit
  const excess = wanted?.findIndex((model) => !limit.some((pattern) => covers(pattern, model))) ?? 0
  if (excess < 0) return wanted
  throw gatewayError('model_not_allowed', 'A key cannot be made for models that its creator may not use', {
    param: wanted === null ? 'allowed_models' : `allowed_models[${excess}]`,
    details: { allowed_models: limit },
  })
}

/** Whether a name or pattern reaches no further than another. */
function covers(pattern: string, model: string): boolean {
  return pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : model === pattern
}
