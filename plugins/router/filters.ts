import type { Catalog, Exchange, ProviderPreferences, Target } from '@hadrian/core/plugin'
import { collectionObstacle, zeroRetentionObstacle } from './data-policy.ts'
import { lackingParameter } from './parameters.ts'
import type { Pattern } from './patterns.ts'
import { priceObstacle } from './price-limits.ts'
import { isNamed, namesTarget } from './slugs.ts'

/** What the operator allows at all. A request can be stricter, never laxer. */
export interface Ceilings {
  readonly exclude: readonly { readonly source: string; readonly matches: Pattern }[]
  readonly only: readonly string[] | undefined
  readonly ignore: readonly string[]
  readonly denyCollection: boolean
  readonly zeroRetention: boolean
  /** Prompts that are kept no longer than this are not collected. */
  readonly transientDays: number
}

/** Whether the operator forbids anything, so that every request has to be looked at. */
export function hasCeilings({ exclude, only, ignore, denyCollection, zeroRetention }: Ceilings): boolean {
  return exclude.length > 0 || only !== undefined || ignore.length > 0 || denyCollection || zeroRetention
}

/** Takes off every target that the operator or the request does not allow, with the reason. */
export function filterTargets(
  exchange: Exchange,
  preferences: ProviderPreferences,
  { ceilings, catalog }: { readonly ceilings: Ceilings; readonly catalog: Pick<Catalog, 'prices'> },
): void {
  const filters = hasFilters(preferences)
  for (const target of exchange.targets) {
    const reason =
      operatorObstacle(target, ceilings) ??
      (filters
        ? (clientObstacle(target, preferences, ceilings) ?? costlyObstacle(exchange, target, preferences, catalog))
        : undefined)
    if (reason !== undefined) exchange.exclude(target, reason)
  }
}

function hasFilters(preferences: ProviderPreferences): boolean {
  const { only, ignore, dataCollection, zdr, enforceDistillableText, quantizations, maxPrice, requireParameters } =
    preferences
  return (
    only !== undefined ||
    ignore !== undefined ||
    dataCollection === 'deny' ||
    zdr === true ||
    enforceDistillableText === true ||
    quantizations !== undefined ||
    maxPrice !== undefined ||
    requireParameters === true
  )
}

function operatorObstacle(target: Target, ceilings: Ceilings): string | undefined {
  const pattern = ceilings.exclude.find(({ matches }) => matches(target))
  if (pattern) return `router: exclude "${pattern.source}"`
  if (ceilings.only && !isNamed(ceilings.only, target)) return 'router: only'
  const ignored = ceilings.ignore.find((slug) => namesTarget(slug, target))
  if (ignored !== undefined) return `router: ignore "${ignored}"`
  const policy = target.info?.dataPolicy
  const collects = ceilings.denyCollection ? collectionObstacle(policy, ceilings.transientDays) : undefined
  if (collects !== undefined) return `router: data_collection: ${collects}`
  const retains = ceilings.zeroRetention ? zeroRetentionObstacle(policy) : undefined
  return retains === undefined ? undefined : `router: zdr: ${retains}`
}

function clientObstacle(
  target: Target,
  preferences: ProviderPreferences,
  { transientDays }: Ceilings,
): string | undefined {
  const { only, ignore, dataCollection, zdr, enforceDistillableText, quantizations } = preferences
  const { info } = target
  if (only && !isNamed(only, target)) return 'provider.only'
  const ignored = ignore?.find((slug) => namesTarget(slug, target))
  if (ignored !== undefined) return `provider.ignore: ${ignored}`
  const collects = dataCollection === 'deny' ? collectionObstacle(info?.dataPolicy, transientDays) : undefined
  if (collects !== undefined) return `provider.data_collection: ${collects}`
  const retains = zdr === true ? zeroRetentionObstacle(info?.dataPolicy) : undefined
  if (retains !== undefined) return `provider.zdr: ${retains}`
  if (enforceDistillableText === true && info?.distillable !== true) {
    const why =
      info?.distillable === false ? 'the author does not allow it' : 'it is not known whether the author allows it'
    return `provider.enforce_distillable_text: ${why}`
  }
  const quantization = info?.quantization?.toLowerCase() ?? 'unknown'
  if (quantizations && !quantizations.some((wanted) => isQuantization(wanted, quantization)))
    return `provider.quantizations: ${quantization}`
  return undefined
}

/** Families of quantizations that one name stands for. */
const families: Readonly<Record<string, readonly string[]>> = { fp4: ['mxfp4', 'nvfp4'], fp8: ['mxfp8'] }

function isQuantization(wanted: string, quantization: string): boolean {
  const name = wanted.toLowerCase()
  return name === quantization || (Object.hasOwn(families, name) && families[name]!.includes(quantization))
}

/** What needs more than a look at the target: its price, and the request encoded for it. */
function costlyObstacle(
  exchange: Exchange,
  target: Target,
  { maxPrice, requireParameters }: ProviderPreferences,
  catalog: Pick<Catalog, 'prices'>,
): string | undefined {
  const tooDear =
    maxPrice && priceObstacle(target, maxPrice, catalog.prices(target), () => exchange.estimateInputTokens())
  if (tooDear !== undefined || requireParameters !== true) return tooDear
  const lacking = lackingParameter(target, exchange.request)
  if (lacking !== undefined) return `provider.require_parameters: ${lacking} is not supported`
  const [loss] = exchange.losses(target)
  return loss && `provider.require_parameters: ${loss.param ?? loss.message} would be left out`
}
