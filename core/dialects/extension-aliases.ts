/** Older spellings of the extensions `provider` and `plugins`, read as what they stand for. */

import type { JsonObject, PluginEntry } from '../contract/canonical.ts'

const compression = 'context-compression'

/** What `transforms: ["middle-out"]` stands for. Recognised by identity: no error speaks of an entry nobody wrote. */
export const compressionOn: PluginEntry = Object.freeze({ id: compression })
/** What `transforms: []` stands for. */
export const compressionOff: PluginEntry = Object.freeze({ id: compression, enabled: false })

/** `route: "sort"` is `provider.sort.partition: "none"`; `"fallback"` is the default. What `provider` says itself wins. */
export function withRoute(provider: JsonObject | undefined, route: string | undefined): JsonObject | undefined {
  if (route !== 'sort') return provider
  const sort = provider?.['sort'] ?? {}
  const named = typeof sort === 'string' ? { by: sort } : (sort as JsonObject)
  return { ...provider, sort: { ...named, partition: named['partition'] ?? 'none' } }
}

/**
 * `transforms` names the plugin `context-compression`; an entry of that plugin in `plugins` wins. The field stays among the
 * unknown ones, as some upstreams have it too.
 */
export function withTransforms(
  plugins: readonly PluginEntry[] | undefined,
  transforms: unknown,
): readonly PluginEntry[] | undefined {
  if (!Array.isArray(transforms) || plugins?.some(({ id }) => id === compression)) return plugins
  return [...(plugins ?? []), transforms.length > 0 ? compressionOn : compressionOff]
}
