import { GatewayError, gatewayError } from '@hadrian/core/plugin'
import { BudgetSpentError } from './engine.ts'
import { LedgerUnavailableError } from './lease-sync.ts'
import type { LocalAccount } from './ledger.ts'

/** Seconds after which it is worth trying again while the ledger cannot say what is left. */
const retryAfterSecs = 5

/** 402, naming the account that has too little left. Clients are told not to try again by themselves. */
export function budgetExceeded(account: LocalAccount): GatewayError {
  const { key } = account
  return gatewayError('budget_exceeded', `Budget limit exceeded for ${key.period} period`, {
    details: {
      limit: dollars(account.limitMicros),
      spent: dollars(account.spentSoFarMicros),
      period: key.period,
      resets_at: key.endsAtMs === undefined ? null : new Date(key.endsAtMs).toISOString(),
      scope: key.holderKind,
      scope_id: key.holderId,
    },
    headers: { 'x-should-retry': 'false' },
  })
}

/** 503: nobody can say whether the money is there, so it is not spent. */
export function ledgerUnavailable(cause: unknown): GatewayError {
  return new GatewayError('budget_unavailable', 503, 'The budget of this request cannot be checked at the moment', {
    cause,
    details: { retry_after_secs: retryAfterSecs },
    headers: { 'Retry-After': String(retryAfterSecs) },
  })
}

/** What a client sees of a failure of the engine. */
export function refusalOf(error: unknown): unknown {
  if (error instanceof BudgetSpentError) return budgetExceeded(error.account)
  if (error instanceof LedgerUnavailableError) return ledgerUnavailable(error)
  return error
}

/** Micro-dollars as dollars. */
export function dollars(micros: number): number {
  return micros / 1_000_000
}
