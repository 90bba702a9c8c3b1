import type { DataPolicy, ModelFacts, ModelInfo } from '../contract/provider.ts'

/**
 * What several sources know of a target, field by field: the first that has a field decides about it. A data policy is
 * three fields. Undefined if none knows anything.
 *
 * @param sources the strongest first
 */
export function mergeInfo(id: string, sources: readonly (ModelFacts | undefined)[]): ModelInfo | undefined {
  const info: { -readonly [K in keyof ModelInfo]: ModelInfo[K] } = { id }
  let policy: DataPolicy | undefined
  let isKnown = false
  for (let index = sources.length - 1; index >= 0; index--) {
    const source = sources[index]
    if (!source) continue
    for (const field in source) if (field !== 'id') isKnown = true
    Object.assign(info, source)
    if (source.dataPolicy) policy = policy ? { ...policy, ...source.dataPolicy } : source.dataPolicy
  }
  if (!isKnown) return undefined
  info.id = id
  if (policy) info.dataPolicy = policy
  return info
}
