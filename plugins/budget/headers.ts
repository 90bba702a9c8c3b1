import type { LocalAccount } from './ledger.ts'

/** The account that is furthest beyond its warning threshold, if any is. */
export function warnedAccount(accounts: readonly LocalAccount[]): LocalAccount | undefined {
  let furthest: LocalAccount | undefined
  for (const account of accounts)
    if (share(account) >= account.warnAt && (!furthest || share(account) > share(furthest))) furthest = account
  return furthest
}

/** The headers that warn of an account. Money in dollars, the share of the limit in percent. */
export function warningHeaders(account: LocalAccount): readonly (readonly [name: string, value: string])[] {
  return [
    ['x-budget-warning', 'true'],
    ['x-budget-spend-percentage', (share(account) * 100).toFixed(1)],
    ['x-budget-current-spend', dollarsText(account.spentSoFarMicros)],
    ['x-budget-limit', dollarsText(account.limitMicros)],
    ['x-budget-period', account.key.period],
    ['x-budget-scope', scopeText(account.key.holderKind)],
  ]
}

/** Spent as a share of the limit; a limit of nothing is always reached. */
function share({ spentSoFarMicros, limitMicros }: LocalAccount): number {
  return limitMicros > 0 ? spentSoFarMicros / limitMicros : 1
}

/** Dollars with all the digits that micro-dollars have, and at least two. */
function dollarsText(micros: number): string {
  return (micros / 1_000_000).toFixed(6).replace(/0{1,4}$/, '')
}

/** Kinds of owners are another plugin's words: whatever a header cannot carry is percent-encoded. */
function scopeText(kind: string): string {
  return /^[\x21-\x7e]*$/.test(kind) ? kind : encodeURIComponent(kind)
}
