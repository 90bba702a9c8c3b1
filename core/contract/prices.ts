/** Prices as JSON and TOML spell them: dollars per million tokens, per request and per image. */

import type { JsonObject } from './canonical.ts'
import type { ReportMistake } from './fields.ts'
import type { ModelPrices, PriceTier, TokenPrices } from './provider.ts'

const tokenFields = {
  input_per_million: 'input',
  output_per_million: 'output',
  cached_input_per_million: 'cachedInput',
  cache_write_per_million: 'cacheWrite',
  cache_write_1h_per_million: 'cacheWrite1h',
  reasoning_per_million: 'reasoning',
  audio_input_per_million: 'audioInput',
  audio_output_per_million: 'audioOutput',
} as const satisfies Readonly<Record<string, keyof TokenPrices>>
const callFields = { per_request: 'request', per_image: 'image' } as const satisfies Readonly<
  Record<string, keyof ModelPrices>
>
const tierFields = ['above_input_tokens', ...Object.keys(tokenFields)]

/** The fields that {@link readPrices} knows: everything else in a body is its owner's to judge. */
export const priceFields: readonly string[] = [...Object.keys(tokenFields), ...Object.keys(callFields), 'tiers']

/**
 * Reads prices: `{"input_per_million": 2.5, "output_per_million": 10, "tiers": [{"above_input_tokens": 200000, ...}]}`.
 * Null and absent both mean that there is no such price. Undefined if one that is needed is missing; every mistake is
 * told to `wrong`.
 *
 * @param path where the prices stand, for the paths of mistakes; empty for the whole body
 */
export function readPrices(body: JsonObject, path: string, wrong: ReportMistake): ModelPrices | undefined {
  const tokens = readTokens(body, path, wrong)
  const perCall = readAmounts(body, callFields, path, wrong)
  const tiers = readTiers(body['tiers'], inside(path, 'tiers'), wrong)
  return tokens && { ...tokens, ...perCall, ...(tiers.length > 0 && { tiers }) }
}

/** The JSON that {@link readPrices} reads; prices that there are not are left out. */
export function pricesBody(prices: ModelPrices): JsonObject {
  const { tiers } = prices
  return {
    ...dollarsOf(prices, tokenFields),
    ...dollarsOf(prices, callFields),
    ...(tiers && {
      tiers: tiers.map((tier) => ({ above_input_tokens: tier.aboveInputTokens, ...dollarsOf(tier, tokenFields) })),
    }),
  }
}

function readTokens(body: JsonObject, path: string, wrong: ReportMistake): TokenPrices | undefined {
  const { input, output, ...others } = readAmounts(body, tokenFields, path, wrong)
  for (const field of ['input_per_million', 'output_per_million'])
    if (body[field] === undefined || body[field] === null) wrong({ path: inside(path, field), message: 'is required' })
  return input === undefined || output === undefined ? undefined : { input, output, ...others }
}

function readTiers(value: unknown, path: string, wrong: ReportMistake): PriceTier[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) {
    wrong({ path, message: 'must be an array' })
    return []
  }
  const tiers = new Map<number, PriceTier>()
  for (const [index, entry] of value.entries()) {
    const tier = readTier(entry, `${path}[${index}]`, wrong)
    if (tier && tiers.has(tier.aboveInputTokens))
      wrong({ path: `${path}[${index}].above_input_tokens`, message: 'is that of another tier too' })
    else if (tier) tiers.set(tier.aboveInputTokens, tier)
  }
  return [...tiers.values()].sort((one, other) => one.aboveInputTokens - other.aboveInputTokens)
}

function readTier(entry: unknown, path: string, wrong: ReportMistake): PriceTier | undefined {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    wrong({ path, message: 'must be an object' })
    return undefined
  }
  const table = entry as JsonObject
  for (const field of Object.keys(table))
    if (!tierFields.includes(field))
      wrong({ path: `${path}.${field.slice(0, 64)}`, message: `is not known; known are ${tierFields.join(', ')}` })
  const above = table['above_input_tokens']
  const isCount = Number.isSafeInteger(above) && (above as number) >= 0
  if (!isCount) wrong({ path: `${path}.above_input_tokens`, message: 'must be a whole number, 0 or more' })
  const tokens = readTokens(table, path, wrong)
  return tokens && isCount ? { aboveInputTokens: above as number, ...tokens } : undefined
}

/** Amounts of dollars as whole micro-dollars, under the names of the contract. */
function readAmounts<const N extends string>(
  body: JsonObject,
  fields: Readonly<Record<string, N>>,
  path: string,
  wrong: ReportMistake,
): Partial<Record<N, number>> {
  const amounts: Partial<Record<N, number>> = {}
  for (const [field, name] of Object.entries(fields)) {
    const value = body[field]
    if (value === undefined || value === null) continue
    const micros = typeof value === 'number' && value >= 0 ? Math.round(value * 1_000_000) : Number.NaN
    if (Number.isSafeInteger(micros)) amounts[name] = micros
    else wrong({ path: inside(path, field), message: 'must be an amount of dollars, 0 or more' })
  }
  return amounts
}

function dollarsOf(prices: object, fields: Readonly<Record<string, string>>): JsonObject {
  const known = prices as Readonly<Record<string, number | undefined>>
  return Object.fromEntries(
    Object.entries(fields).flatMap(([field, name]) => {
      const micros = known[name]
      return micros === undefined ? [] : [[field, micros / 1_000_000]]
    }),
  )
}

function inside(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`
}
