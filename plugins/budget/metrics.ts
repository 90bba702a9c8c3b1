import type { Services } from '@hadrian/core/plugin'
import type { BudgetEngine } from './engine.ts'
import type { LocalAccount } from './ledger.ts'

type Meter = Services['meter']

/** What operators watch. Labels are the kind of holder and the period, never who it is. */
export interface BudgetMetrics {
  spent(accounts: readonly LocalAccount[], micros: number): void
  /** A call cost more than was reserved for it. */
  overBilled(micros: number): void
  refused(account: LocalAccount): void
  unavailable(): void
  warned(account: LocalAccount): void
}

const unit = '{microdollar}'

export function createMetrics(meter: Meter): BudgetMetrics {
  const spend = meter.createCounter('hadrian.budget.spend', { description: 'Money charged to accounts', unit })
  const excess = meter.createCounter('hadrian.budget.overbilled', {
    description: 'What calls have cost beyond their reservations',
    unit,
  })
  const refusals = meter.createCounter('hadrian.budget.refusals', {
    description: 'Calls refused because a budget had too little left, or because nobody could say',
    unit: '{call}',
  })
  const warnings = meter.createCounter('hadrian.budget.warnings', {
    description: 'Accounts that have passed their warning threshold',
    unit: '{account}',
  })
  return {
    spent(accounts, micros) {
      for (const account of accounts) spend.add(micros, labelsOf(account))
    },
    overBilled: (micros) => excess.add(micros),
    refused: (account) => refusals.add(1, { ...labelsOf(account), reason: 'spent' }),
    unavailable: () => refusals.add(1, { reason: 'unavailable' }),
    warned: (account) => warnings.add(1, labelsOf(account)),
  }
}

/** Observes what the engine holds. Returns a function that ends it. */
export function observeEngine(meter: Meter, engine: BudgetEngine): () => void {
  const leased = meter.createObservableGauge('hadrian.budget.leased', {
    description: 'Money that this instance may spend without asking',
    unit,
  })
  const waiting = meter.createObservableGauge('hadrian.budget.waiting_charges', {
    description: 'Charges that are not in the database yet',
    unit: '{charge}',
  })
  const observeLeased: Parameters<typeof leased.addCallback>[0] = (result) => {
    const sums = new Map<string, { micros: number; account: LocalAccount }>()
    for (const account of engine.accounts.values()) {
      const name = `${account.key.holderKind} ${account.key.period}`
      const micros = Math.max(0, account.freeMicros) + account.reservedMicros + (sums.get(name)?.micros ?? 0)
      sums.set(name, { micros, account })
    }
    for (const { micros, account } of sums.values()) result.observe(micros, labelsOf(account))
  }
  const observeWaiting: Parameters<typeof waiting.addCallback>[0] = (result) => result.observe(engine.waitingCharges)
  leased.addCallback(observeLeased)
  waiting.addCallback(observeWaiting)
  return () => {
    leased.removeCallback(observeLeased)
    waiting.removeCallback(observeWaiting)
  }
}

const labels = new Map<string, Readonly<Record<string, string>>>()

/** Made once for each of the few kinds and periods. */
function labelsOf({ key }: LocalAccount): Readonly<Record<string, string>> {
  const name = `${key.holderKind} ${key.period}`
  let known = labels.get(name)
  if (!known) {
    if (labels.size >= 1000) labels.clear()
    known = { scope: key.holderKind, period: key.period }
    labels.set(name, known)
  }
  return known
}
