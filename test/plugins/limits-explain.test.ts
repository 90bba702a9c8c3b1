/** What the plugins with limits say of them: from memory, from the database after a restart, and before a start. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, Principal } from '../../core/contract/plugin.ts'
import { explainCall } from '../../core/http/explain-route.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'
import budget from '../../plugins/budget/index.ts'
import rateLimit from '../../plugins/rate-limit/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

const caller: Principal = {
  id: 'key-1',
  rateLimits: { requestsPerDay: 10, concurrentRequests: 2 },
  owners: [{ kind: 'team', id: 'team-1', budgets: [{ period: 'total', limitMicros: 5_000_000 }] }],
}

const open = async (): Promise<OpenedDatabase> => openDatabase({ dataDirectory: await preparedDataDirectory(), logger })

function site(database: OpenedDatabase, start = true): Promise<Harness> {
  return harness({
    plugins: [rateLimit, budget],
    provider: fakeProvider(() => textEvents('Hi', { inputTokens: 10, outputTokens: 10 })),
    config: { models: { 'fake/fake-model': { prices: { input_per_million: 1000, output_per_million: 1000 } } } },
    principal: caller,
    database,
    start,
  })
}

async function said(gateway: Harness, principal = caller): Promise<JsonObject> {
  const { signal } = new AbortController()
  const body = { model: 'fake/fake-model', messages: [{ role: 'user', content: 'Hello' }] }
  return (await explainCall(gateway.gateway.pipeline, { body, principal, signal }))['plugins'] as JsonObject
}

/** The numbers alone: requests of the day, slots, dollars spent, dollars left. */
async function left(gateway: Harness): Promise<unknown[]> {
  const plugins = (await said(gateway)) as Record<string, any>
  const { limits } = plugins['rate-limit']
  const [account] = plugins['budget'].accounts
  return [...limits.map((each: JsonObject) => each['remaining']), account.spent_usd, account.remaining_usd]
}

describe('limits in an explanation', () => {
  it('are as the instance knows them, and after a restart as the database does', async () => {
    const database = await open()
    await using _ = { [Symbol.asyncDispose]: () => database.close() }
    const first = await site(database)
    assert.deepEqual(await left(first), [10, 2, 0, 5])
    await first.send()
    await first.send()
    const used = await left(first)
    assert.deepEqual(used, [8, 2, 0.04, 4.96])
    assert.deepEqual(await left(first), used)
    await first.stop()
    await using second = await site(database)
    assert.deepEqual(await left(second), used)
    await second.send()
    assert.deepEqual((await left(second)).slice(2), [0.06, 4.94])
  })

  it('are shown whole, and not asked for before the gateway is started', async () => {
    const database = await open()
    await using _ = { [Symbol.asyncDispose]: () => database.close() }
    await using gateway = await site(database, false)
    assert.deepEqual(await left(gateway), [null, null, null, null])
    assert.deepEqual((await said(gateway))['budget'], {
      accounts: [
        {
          scope: 'team',
          scope_id: 'team-1',
          period: 'total',
          limit_usd: 5,
          overage_usd: 0,
          spent_usd: null,
          remaining_usd: null,
          resets_at: null,
        },
      ],
    })
  })

  it('are not mentioned where there are none', async () => {
    const database = await open()
    await using _ = { [Symbol.asyncDispose]: () => database.close() }
    await using gateway = await site(database)
    assert.deepEqual(await said(gateway, { id: 'free' }), {})
  })
})
