/** Limits on money and traffic, as they sit on a key and on each of its owners, and their spelling in JSON. */

import type { JsonObject } from './canonical.ts'
import type { RequestMistake } from './errors.ts'

/** Calendar periods of a budget, in the time zone the operator chose; `total` never ends. */
export const budgetPeriods = ['daily', 'weekly', 'monthly', 'total'] as const

/** One of {@link budgetPeriods}. */
export type BudgetPeriod = (typeof budgetPeriods)[number]

/** Money that may be spent in a period. */
export interface BudgetLimit {
  readonly period: BudgetPeriod
  readonly limitMicros: number
  /** Share of the limit, 0 to 1, from which on answers carry a warning. Default: the budget plugin's. */
  readonly warnAt?: number
  /** What may be spent beyond the limit before calls are refused. Default 0. */
  readonly overageMicros?: number
}

/** Traffic that is let through. What is absent is not limited. */
export interface RateLimits {
  readonly requestsPerMinute?: number
  readonly requestsPerDay?: number
  readonly tokensPerMinute?: number
  readonly tokensPerDay?: number
  readonly concurrentRequests?: number
}

/** The limits of one key or owner. */
export interface Limits {
  /** At most one of each period. */
  readonly budgets?: readonly BudgetLimit[]
  readonly rateLimits?: RateLimits
}

type Wrong = (mistake: RequestMistake) => void

const mostMicros = Number.MAX_SAFE_INTEGER
const rateFields = {
  requests_per_minute: 'requestsPerMinute',
  requests_per_day: 'requestsPerDay',
  tokens_per_minute: 'tokensPerMinute',
  tokens_per_day: 'tokensPerDay',
  concurrent_requests: 'concurrentRequests',
} as const satisfies Readonly<Record<string, keyof RateLimits>>
const budgetFields = ['period', 'limit_usd', 'warn_at', 'overage_usd']

/**
 * Reads `budgets` and `rate_limits` of a JSON body:
 * `{"budgets": [{"period": "monthly", "limit_usd": 100}], "rate_limits": {"requests_per_minute": 60}}`.
 * Null and absent both mean no limit. Every mistake is told to `wrong`.
 */
export function readLimits(body: JsonObject, wrong: Wrong): Limits {
  const budgets = readBudgets(body['budgets'], wrong)
  const rateLimits = readRateLimits(body['rate_limits'], wrong)
  return { ...(budgets.length > 0 && { budgets }), ...(rateLimits && { rateLimits }) }
}

/** The JSON that {@link readLimits} reads; null where nothing is limited. */
export function limitsBody({ budgets, rateLimits }: Limits): {
  budgets: JsonObject[] | null
  rate_limits: JsonObject | null
} {
  return {
    budgets: budgets?.map(budgetBody) ?? null,
    rate_limits: rateLimits
      ? Object.fromEntries(
          Object.entries(rateFields).flatMap(([field, name]) =>
            rateLimits[name] === undefined ? [] : [[field, rateLimits[name]]],
          ),
        )
      : null,
  }
}

function budgetBody({ period, limitMicros, warnAt, overageMicros }: BudgetLimit): JsonObject {
  return {
    period,
    limit_usd: limitMicros / 1_000_000,
    ...(warnAt !== undefined && { warn_at: warnAt }),
    ...(overageMicros !== undefined && { overage_usd: overageMicros / 1_000_000 }),
  }
}

function readBudgets(value: unknown, wrong: Wrong): BudgetLimit[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) {
    wrong({ path: 'budgets', message: 'must be an array' })
    return []
  }
  const read: BudgetLimit[] = []
  for (const [index, entry] of value.entries()) {
    const path = `budgets[${index}]`
    const limit = readBudget(entry, path, wrong)
    if (limit && read.some(({ period }) => period === limit.period))
      wrong({ path: `${path}.period`, message: `is given twice: there can be one ${limit.period} budget` })
    else if (limit) read.push(limit)
  }
  return read
}

function readBudget(entry: unknown, path: string, wrong: Wrong): BudgetLimit | undefined {
  if (!isTable(entry)) {
    wrong({ path, message: 'must be an object' })
    return undefined
  }
  unknownFields(entry, budgetFields, path, wrong)
  const { period, limit_usd: limit, warn_at: warnAt, overage_usd: overage } = entry
  const known = (budgetPeriods as readonly unknown[]).includes(period)
  if (!known) wrong({ path: `${path}.period`, message: `must be one of ${budgetPeriods.join(', ')}` })
  const limitMicros = readDollars(limit, `${path}.limit_usd`, wrong)
  const overageMicros =
    overage === undefined || overage === null ? undefined : readDollars(overage, `${path}.overage_usd`, wrong)
  const warns = warnAt !== undefined && warnAt !== null
  if (warns && !(typeof warnAt === 'number' && warnAt >= 0 && warnAt <= 1))
    wrong({ path: `${path}.warn_at`, message: 'must be a number from 0 to 1' })
  if (!known || limitMicros === undefined) return undefined
  return {
    period: period as BudgetPeriod,
    limitMicros,
    ...(warns && { warnAt: warnAt as number }),
    ...(overageMicros !== undefined && { overageMicros }),
  }
}

function readDollars(value: unknown, path: string, wrong: Wrong): number | undefined {
  const micros = typeof value === 'number' && value >= 0 ? Math.round(value * 1_000_000) : NaN
  if (micros <= mostMicros) return micros
  wrong({ path, message: `must be an amount of dollars, from 0 to ${Math.floor(mostMicros / 1_000_000)}` })
  return undefined
}

function readRateLimits(value: unknown, wrong: Wrong): RateLimits | undefined {
  if (value === undefined || value === null) return undefined
  if (!isTable(value)) {
    wrong({ path: 'rate_limits', message: 'must be an object' })
    return undefined
  }
  unknownFields(value, Object.keys(rateFields), 'rate_limits', wrong)
  const limits: { -readonly [K in keyof RateLimits]: number } = {}
  for (const [field, name] of Object.entries(rateFields)) {
    const limit = value[field]
    if (limit === undefined || limit === null) continue
    if (Number.isSafeInteger(limit) && (limit as number) >= 0) limits[name] = limit as number
    else wrong({ path: `rate_limits.${field}`, message: 'must be a whole number, 0 or more' })
  }
  return Object.keys(limits).length > 0 ? limits : undefined
}

function unknownFields(table: JsonObject, known: readonly string[], path: string, wrong: Wrong): void {
  for (const field of Object.keys(table))
    if (!known.includes(field))
      wrong({ path: `${path}.${field.slice(0, 64)}`, message: `is not known; known are ${known.join(', ')}` })
}

function isTable(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
