import { budgetPeriods } from '@hadrian/core/plugin'
import type { BudgetLimit, OptionsOf } from '@hadrian/core/plugin'

const limitSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['period', 'limit_usd'],
  properties: {
    period: { type: 'string', enum: budgetPeriods, description: 'Calendar period, or total for all time.' },
    limit_usd: { type: 'number', minimum: 0, maximum: 9_000_000_000, description: 'Dollars per period.' },
    warn_at: { type: 'number', minimum: 0, maximum: 1, description: 'Share of the limit that answers warn from.' },
    overage_usd: {
      type: 'number',
      minimum: 0,
      maximum: 9_000_000_000,
      description: 'Dollars that may be spent beyond the limit, with warnings.',
    },
  },
} as const

/** What the operator sets under `[plugins.budget]`. */
export const optionsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    limits: {
      type: 'array',
      items: limitSchema,
      default: [],
      description: 'Limits for everything the gateway spends: `period`, `limit_usd`, `warn_at`, `overage_usd` of each.',
    },
    default_budgets: {
      type: 'array',
      items: limitSchema,
      default: [],
      description: 'Limits of each principal that has none of its own, written like `limits`.',
    },
    warn_at: {
      type: 'number',
      minimum: 0,
      maximum: 1,
      default: 0.8,
      description: 'Share of a limit from which on answers carry a warning, where the limit does not say it.',
    },
    time_zone: {
      type: 'string',
      default: 'UTC',
      description: 'IANA name of the zone whose midnights begin days, weeks (on Monday) and months.',
    },
    minimum_output_tokens: {
      type: 'integer',
      minimum: 0,
      default: 16,
      description: 'A call that the budget leaves less output than this is refused.',
    },
    assumed_output_tokens: {
      type: 'integer',
      minimum: 1,
      default: 16_384,
      description: 'Output ceiling of calls for which nobody knows one. They are held to it.',
    },
    input_reserve: {
      type: 'string',
      enum: ['ceiling', 'estimate'],
      default: 'ceiling',
      description:
        'How input is counted before the call: `ceiling`, which no tokenizer exceeds, or `estimate`, four bytes ' +
        'to a token, which reserves a quarter but may fall short, so that a budget may be overspent by the difference.',
    },
    database_away_seconds: {
      type: 'integer',
      minimum: 0,
      default: 900,
      description: 'How long calls go on, within what this instance has leased, while the database is away.',
    },
    charge_retention_days: {
      type: 'integer',
      minimum: 1,
      maximum: 36_500,
      default: 35,
      description:
        'How long single charges are kept. The journal of an instance that comes back later is charged a second time.',
    },
    account_retention_days: {
      type: 'integer',
      minimum: 1,
      maximum: 36_500,
      default: 400,
      description: 'How long accounts are kept after their period has ended.',
    },
  },
} as const

/** The options after validation. */
export type BudgetOptions = OptionsOf<typeof optionsSchema>

/** Limits as the contract has them. A period that is given twice keeps the tighter limit. */
export function limitsOf(configured: BudgetOptions['limits']): readonly BudgetLimit[] {
  const limits = new Map<string, BudgetLimit>()
  for (const { period, limit_usd: limit, warn_at: warnAt, overage_usd: overage } of configured) {
    const limitMicros = Math.round(limit * 1_000_000)
    const before = limits.get(period)
    if (before && before.limitMicros <= limitMicros) continue
    limits.set(period, {
      period,
      limitMicros,
      ...(warnAt !== undefined && { warnAt }),
      ...(overage !== undefined && { overageMicros: Math.round(overage * 1_000_000) }),
    })
  }
  return [...limits.values()]
}
