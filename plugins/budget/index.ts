import { definePlugin, invalidRequest, stateKey } from '@hadrian/core/plugin'
import type { BillableCall, Exchange } from '@hadrian/core/plugin'
import { ApplicableAccounts } from './accounts.ts'
import { BudgetEngine, BudgetSpentError } from './engine.ts'
import type { Hold } from './engine.ts'
import { explainAccounts } from './explain.ts'
import { warnedAccount, warningHeaders } from './headers.ts'
import { LedgerUnavailableError } from './lease-sync.ts'
import type { LocalAccount } from './ledger.ts'
import { createMetrics, observeEngine } from './metrics.ts'
import { limitsOf, optionsSchema } from './options.ts'
import { Calendar } from './periods.ts'
import { budgetExceeded, refusalOf } from './refusals.ts'
import { CallQuote, purchaseQuote } from './reservation.ts'
import { budgetRoutes } from './routes.ts'

const holdKey = stateKey<Hold>('budget.hold')
const dayMs = 86_400_000

export default definePlugin({
  name: 'budget',
  api: 1,
  description: 'Limits on money that hold on streams, aborts and crashes.',
  options: optionsSchema,
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger, catalog, journal, retain, meter }) {
    const applicable = new ApplicableAccounts(calendarIn(options.time_zone), {
      gateway: limitsOf(options.limits),
      principals: limitsOf(options.default_budgets),
      warnAt: options.warn_at,
    })
    const settings = {
      databaseAwayMs: options.database_away_seconds * 1000,
      chargesKeptMs: options.charge_retention_days * dayMs,
      accountsKeptMs: options.account_retention_days * dayMs,
    }
    const quoting = {
      minimumOutputTokens: options.minimum_output_tokens,
      assumedOutputTokens: options.assumed_output_tokens,
      input: options.input_reserve,
    }
    const engine = retain('budget', () => new BudgetEngine({ database: db, clock, logger, settings }))
    const metrics = createMetrics(meter)
    let endObserving: (() => void) | undefined
    // A gateway that only looks at its config must not open the database for it.
    let isStarted = false

    const warnOf = (account: LocalAccount): void => {
      if (!engine.warnOnce(account)) return
      metrics.warned(account)
      const { holderKind, holderId, period } = account.key
      logger.warn(
        {
          kind: holderKind,
          id: holderId,
          period,
          spent_micros: account.spentSoFarMicros,
          limit_micros: account.limitMicros,
        },
        'a budget has passed its warning threshold',
      )
    }

    const reserve = async (exchange: Exchange, hold: Hold, call: BillableCall): Promise<void> => {
      try {
        await engine.reserve(hold, call.purchase ? purchaseQuote(call.purchase) : new CallQuote(call, catalog, quoting))
      } catch (error) {
        if (error instanceof BudgetSpentError) metrics.refused(error.account)
        else if (error instanceof LedgerUnavailableError) metrics.unavailable()
        throw refusalOf(error)
      }
      const warned = warnedAccount(hold.accounts)
      if (!warned) return
      for (const [name, value] of warningHeaders(warned)) exchange.header(name, value)
      warnOf(warned)
    }

    return {
      admit(exchange) {
        const spent = engine.spent(applicable.of(exchange.principal, clock.now()))
        if (!spent) return
        metrics.refused(spent)
        throw budgetExceeded(spent)
      },

      reserve(exchange, call) {
        let hold = exchange.get(holdKey)
        if (!hold) {
          const terms = applicable.of(exchange.principal, clock.now())
          if (terms.length === 0) return
          hold = engine.hold(exchange.id, terms)
          // Before anything is waited for, so that whatever becomes of it is settled.
          exchange.set(holdKey, hold)
        }
        return reserve(exchange, hold, call)
      },

      settle(exchange, { usage }) {
        const hold = exchange.get(holdKey)
        if (!hold) return
        const costMicros = usage?.costMicros ?? 0
        if (costMicros > 0) metrics.spent(hold.accounts, costMicros)
        if (costMicros > hold.reservedMicros) metrics.overBilled(costMicros - hold.reservedMicros)
        return engine.settle(hold, costMicros)
      },

      explain: (exchange) =>
        explainAccounts(applicable.of(exchange.principal, clock.now()), {
          engine,
          database: isStarted ? db : undefined,
        }),

      routes: budgetRoutes(db, clock),

      async start() {
        isStarted = true
        // Here and not in setup: a config that fails to start must not change the running one.
        engine.configure(settings)
        endObserving = observeEngine(meter, engine)
        await engine.start(await journal.open('budget'))
      },

      stop: () => endObserving?.(),
    }
  },
})

/** The runtime knows which zones there are, no schema does. */
function calendarIn(timeZone: string): Calendar {
  try {
    return new Calendar(timeZone)
  } catch {
    const message = `must be the IANA name of a time zone, such as "Europe/Berlin", not "${timeZone}"`
    throw invalidRequest([{ path: 'time_zone', message }])
  }
}
