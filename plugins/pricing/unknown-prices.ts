import { gatewayError } from '@hadrian/core/plugin'
import type { BillableCall, Exchange, Outcome, Services, Target } from '@hadrian/core/plugin'
import type { Book } from './book.ts'

/** Makes calls visible whose price is not known, and keeps them from being made if the operator wants that. */
export class UnknownPrices {
  readonly #book: Book
  readonly #policy: 'allow' | 'refuse' | 'default'
  readonly #counter: ReturnType<Services['meter']['createCounter']>

  constructor(book: Book, meter: Services['meter'], policy: 'allow' | 'refuse' | 'default') {
    this.#book = book
    this.#policy = policy
    this.#counter = meter.createCounter('hadrian.prices.unknown', {
      description: 'Upstream calls whose price was not known.',
      unit: '{call}',
    })
  }

  /** Takes targets without a price off the list. */
  exclude(exchange: Exchange): void {
    for (const target of exchange.targets) if (!this.#isKnown(target)) exchange.exclude(target, 'price')
  }

  /** @throws GatewayError `routing_error` if a plugin put back what {@link exclude} took off */
  check(exchange: Exchange, { targets }: BillableCall): void {
    const target = targets.find((each) => !this.#isKnown(each))
    if (!target) return
    if (this.#policy === 'refuse')
      throw gatewayError('routing_error', `The price of ${target.name} is not known`, {
        details: { requested: target.requested, candidates: [{ target: target.name, removed_by: 'price' }] },
      })
    exchange.warn({
      code: 'unknown_price',
      message: `The price of ${target.name} is not known: ${this.#policy === 'default' ? 'the default is charged' : 'it is not charged'}`,
    })
  }

  /** Counts the calls that used something nobody knows the price of. */
  count({ attempts }: Outcome): void {
    for (const { target, usage } of attempts)
      if (
        usage &&
        !this.#isKnown(target) &&
        !(this.#book.honoursReportedCost && usage.reportedCostMicros !== undefined)
      )
        this.#counter.add(1, { 'hadrian.provider': target.provider, 'gen_ai.request.model': target.model })
  }

  #isKnown(target: Target): boolean {
    const { source } = this.#book.find(target)
    return source !== 'unknown' && source !== 'default'
  }
}
