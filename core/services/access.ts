import type { Principal, Target } from '../contract/plugin.ts'

/**
 * Whether a caller may use a target: by the name it asked for, without suffixes, or by the target's own. Entries of the list are exact, or
 * prefixes ending in `*`. Absent list: everything.
 */
export function mayUse(
  { allowedModels }: Principal,
  target: Pick<Target, 'name' | 'requested' | 'plainName'>,
): boolean {
  if (!allowedModels) return true
  const { name, requested, plainName = requested } = target
  return allowedModels.some((pattern) => matches(pattern, plainName) || matches(pattern, name))
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

/** Whether a caller has a scope. Without a list it has every scope but `admin`. */
export function hasScope({ scopes }: Principal, scope: string): boolean {
  return scopes ? scopes.includes(scope) : scope !== 'admin'
}
