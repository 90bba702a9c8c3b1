import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BillableCall, Exchange, Outcome } from '../../core/contract/plugin.ts'
import { gatewayError } from '../../core/contract/errors.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness, HarnessOptions } from '../../core/testing/index.ts'
import budget from '../../plugins/budget/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { hookPlugin } from './hook-plugin.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

type Work = (exchange: Exchange) => Promise<void>

/** A gateway that buys something for every request, before it is sent. */
async function buying(
  work: Work,
  reserve?: (call: BillableCall) => void,
  more: Pick<HarnessOptions, 'plugins' | 'database'> = {},
): Promise<Harness & { outcomes: Outcome[] }> {
  const outcomes: Outcome[] = []
  const buyer = hookPlugin('buyer', {
    transform: work,
    ...(reserve && { reserve: (_, call) => reserve(call) }),
    settle: (_, outcome) => void outcomes.push(outcome),
  })
  const provider = fakeProvider(() => textEvents('Hi', { inputTokens: 1, outputTokens: 1 }))
  const prices = { input_per_million: 1, output_per_million: 1 }
  const gateway = await harness({
    ...more,
    plugins: [...(more.plugins ?? []), buyer],
    provider,
    config: { models: { 'fake/fake-model': { prices } } },
  })
  return Object.assign(gateway, { outcomes })
}

const search = { item: 'web_search', costMicros: 7000 }

describe('a purchase', () => {
  it('is reserved before the work, and its cost is part of what the exchange costs', async () => {
    const seen: unknown[] = []
    await using gateway = await buying(
      (exchange) => exchange.buy(search, async () => void seen.push('work')),
      (call) => void seen.push(call.purchase?.item ?? 'call'),
    )
    const { body } = await gateway.send()
    assert.deepEqual(seen, ['web_search', 'work', 'call'])
    assert.equal((body as { usage: { cost: number } }).usage.cost, 0.007002)
    const [outcome] = gateway.outcomes
    assert.equal(outcome!.usage?.costMicros, 7002)
    assert.deepEqual(outcome!.purchases, [search])
  })

  it('costs what the work says, and nothing if the work fails before it says so', async () => {
    await using less = await buying((exchange) => exchange.buy(search, async (bill) => bill(2000.5)))
    await less.send()
    assert.equal(less.outcomes[0]!.usage?.costMicros, 2003)
    await using none = await buying(async (exchange) => {
      await exchange.buy(search, () => Promise.reject(new Error('away'))).catch(() => undefined)
    })
    await none.send()
    assert.equal(none.outcomes[0]!.usage?.costMicros, 2)
    await using billed = await buying(async (exchange) => {
      await exchange
        .buy(search, async (bill) => {
          bill(5000)
          throw new Error('away')
        })
        .catch(() => undefined)
    })
    await billed.send()
    assert.equal(billed.outcomes[0]!.usage?.costMicros, 5002)
  })

  it('is refused where no money is left, and charged where the request is refused after it', async () => {
    let worked = 0
    const database = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger: silent })
    await using _ = { [Symbol.asyncDispose]: () => database.close() }
    const work: Work = async (exchange) => {
      await exchange.buy(search, async () => void worked++)
      throw gatewayError('content_blocked', 'no')
    }
    await using gateway = await buying(work, undefined, { plugins: [budget], database })
    const principal = { id: 'key', budgets: [{ period: 'monthly', limitMicros: 10_000 }] } as const
    assert.equal((await gateway.send({}, { principal })).status, 400)
    assert.equal(gateway.outcomes[0]!.usage?.costMicros, 7000)
    assert.equal((await gateway.send({}, { principal })).status, 402)
    assert.equal(worked, 1)
  })

  it('is refused by any reserve hook', async () => {
    await using gateway = await buying(
      (exchange) => exchange.buy(search, () => assert.fail('bought')),
      () => {
        throw gatewayError('rate_limit_exceeded', 'no')
      },
    )
    assert.equal((await gateway.send()).status, 429)
    assert.deepEqual(gateway.outcomes[0]!.purchases, [])
  })
})
