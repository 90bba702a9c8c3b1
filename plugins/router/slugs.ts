import type { Target } from '@hadrian/core/plugin'

/** A service tier that costs more and answers sooner, or costs less and answers later. */
export type Tier = 'priority' | 'flex'

const tiers: Readonly<Record<string, Tier>> = { priority: 'priority', fast: 'priority', flex: 'flex' }

/** By what clients name a target: the slug of the catalog, or the name of its provider instance. */
export function slugOf({ provider, info }: Target): string {
  return (info?.slug ?? provider).toLowerCase()
}

/** The tier that the last segment of a slug names: `openai/priority`. */
export function tierOf(target: Target): Tier | undefined {
  const slug = target.info?.slug
  if (slug === undefined) return undefined
  const slash = slug.lastIndexOf('/')
  return slash < 0 ? undefined : tierNamed(slug.slice(slash + 1))
}

/** The tier of this name, as `service_tier` of a request spells it too. */
export function tierNamed(name: string | undefined): Tier | undefined {
  const lower = name?.toLowerCase()
  return lower !== undefined && Object.hasOwn(tiers, lower) ? tiers[lower] : undefined
}

/**
 * Whether a slug names a target. A base slug (`azure`) names every region and variant (`azure/eu`), but no service tier:
 * those cost another price, so they have to be named in full. Case does not matter.
 */
export function namesTarget(slug: string, target: Target): boolean {
  const own = slugOf(target)
  const wanted = slug.toLowerCase()
  if (own === wanted) return true
  return own.startsWith(wanted) && own[wanted.length] === '/' && tierOf(target) === undefined
}

/** Whether some of the slugs names a target. */
export function isNamed(slugs: readonly string[], target: Target): boolean {
  return slugs.some((slug) => namesTarget(slug, target))
}
