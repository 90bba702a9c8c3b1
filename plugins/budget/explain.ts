import type { JsonObject, Queryable, Row } from '@hadrian/core/plugin'
import type { AccountTerms } from './accounts.ts'
import type { BudgetEngine } from './engine.ts'
import { dollars } from './refusals.ts'

/** What is looked at. */
export interface ExplainSources {
  readonly engine: Pick<BudgetEngine, 'accounts'>
  /** Asked once for the accounts that are not in memory; undefined: what is spent of those is not known. */
  readonly database: Queryable | undefined
}

/**
 * The accounts that an exchange would be charged to, and what is left of each. Nothing is made, taken or changed. Where
 * nothing is known of an account, what is spent and left of it is null.
 */
export async function explainAccounts(
  terms: readonly AccountTerms[],
  { engine, database }: ExplainSources,
): Promise<JsonObject | undefined> {
  if (terms.length === 0) return undefined
  const spent = new Map<string, number>()
  for (const { key } of terms) {
    const account = engine.accounts.get(key.id)
    if (account?.known) spent.set(key.id, account.spentSoFarMicros)
  }
  const unseen = terms.map(({ key }) => key.id).filter((id) => !spent.has(id))
  if (unseen.length > 0 && database) {
    const rows = await database.query<SpentRow>(
      'select id, spent_micros from budget_accounts where id = any($1::uuid[])',
      [unseen],
    )
    // What is in no row was never spent from.
    for (const id of unseen) spent.set(id, Number(rows.find((row) => row.id === id)?.spent_micros ?? 0))
  }
  return { accounts: terms.map((each) => accountBody(each, spent.get(each.key.id))) }
}

interface SpentRow extends Row {
  readonly id: string
  readonly spent_micros: string
}

function accountBody({ key, limitMicros, overageMicros }: AccountTerms, spentMicros: number | undefined): JsonObject {
  return {
    scope: key.holderKind,
    scope_id: key.holderId,
    period: key.period,
    limit_usd: dollars(limitMicros),
    overage_usd: dollars(overageMicros),
    spent_usd: spentMicros === undefined ? null : dollars(spentMicros),
    remaining_usd: spentMicros === undefined ? null : dollars(Math.max(0, limitMicros + overageMicros - spentMicros)),
    resets_at: key.endsAtMs === undefined ? null : new Date(key.endsAtMs).toISOString(),
  }
}
