/** Limits that three gateway processes on one PostgreSQL keep together, and changes that each learns from the others. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sendCounted } from './counted-request.ts'
import type { Seen } from './counted-request.ts'
import type { Script } from './counting-upstream.ts'
import { eventually, model, startFleet } from './fleet.ts'
import type { Fleet, FleetKey } from './fleet.ts'

const usualMaximum = 100

describe('limits of a fleet of three gateways', { timeout: 120_000 }, () => {
  const ends: (() => unknown)[] = []
  const scripts = new Map<number, Script>()
  let fleet: Fleet
  let others: readonly FleetKey[]
  let nextNumber = 0

  before(async () => {
    const context = { after: (end: () => unknown) => void ends.push(end) }
    fleet = await startFleet(context, 3, (number) => scripts.get(number)!)
    const limits = { budgets: [{ period: 'monthly', limit_usd: 1000 }], rate_limits: { requests_per_minute: 100_000 } }
    others = await fleet.keys('others', { organization: limits, project: limits, key: limits }, 3)
  })

  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  function send(index: number, key: FleetKey, script: Script, maxTokens: number): Promise<Seen> {
    const number = nextNumber++
    scripts.set(number, script)
    return sendCounted({ url: fleet.gateways[index]!.url, key: key.key, model, number, maxTokens })
  }

  /** What the upstream has billed for requests from this number on. */
  function billedSince(first: number): number {
    let sum = 0
    for (const [number, { billedMicros }] of fleet.upstream.accounts) if (number >= first) sum += billedMicros
    return sum
  }

  it('never overspends a budget worth 20 calls that 200 streams ask for at once', async (context) => {
    const maxTokens = 16
    const worstMicros = 900
    const limitMicros = 20 * worstMicros
    const [key] = await fleet.keys('small', {
      project: { budgets: [{ period: 'monthly', limit_usd: limitMicros / 1_000_000 }] },
    })
    const first = nextNumber
    const waves: number[] = []
    for (let passed = 1; passed > 0;) {
      passed = await wave()
      waves.push(passed)
      // What passes at once was paid for beforehand, in full.
      assert.ok(passed <= 20, `${passed} calls at once`)
      assert.ok(billedSince(first) <= limitMicros, `${billedSince(first)} of ${limitMicros} micro-dollars`)
    }
    assert.ok(waves[0]! >= 10, `only ${waves[0]} calls at once`)
    // What three gateways hold in parts that no call can do with comes together again, though all of them go on asking.
    let index = 0
    await eventually(20_000, async () => {
      const seen = await send(index++ % 3, key!, { tokens: 16 }, maxTokens)
      if (seen.end !== 'done') checkRefusal(seen, key!, limitMicros)
      const left = limitMicros - billedSince(first)
      return left < worstMicros ? undefined : `${left} micro-dollars left, and refused`
    })
    const billed = billedSince(first)
    context.diagnostic(`passed at once, wave by wave: ${waves.join(', ')}; ${limitMicros - billed} micro-dollars left`)
    assert.ok(billed <= limitMicros)
    assert.ok(limitMicros - billed < worstMicros)
    await eventually(15_000, async () => {
      const { spent_usd: spent, reserved_usd: reserved } = await projectAccount()
      if (reserved > 0) return `${reserved} dollars leased`
      assert.equal(spent, billed / 1_000_000)
      return undefined
    })

    /** All at once: the upstream answers nobody before each call has reached it or was refused. */
    async function wave(): Promise<number> {
      const gate = Promise.withResolvers<void>()
      let passed = 0
      let refused = 0
      const count = (): void => {
        if (passed + refused === 200) gate.resolve()
      }
      const arrived = (): void => {
        passed++
        count()
      }
      const work = Array.from({ length: 200 }, async (_, index) => {
        const seen = await send(index % 3, key!, { tokens: 16, gate: gate.promise, arrived }, maxTokens)
        if (seen.end === 'done') return
        checkRefusal(seen, key!, limitMicros)
        refused++
        count()
      })
      await Promise.all(work)
      return passed
    }

    async function projectAccount(): Promise<{ spent_usd: number; reserved_usd: number }> {
      const { data } = await fleet.admin<{ data: { spent_usd: number; reserved_usd: number }[] }>(
        1,
        'GET',
        `/budgets/project/${key!.projectId}`,
      )
      return data[0]!
    }
  })

  it('lets exactly 50 of 500 requests at once through a limit of 50 per minute', async () => {
    const [key] = await fleet.keys('limited', { key: { rate_limits: { requests_per_minute: 50 } } })
    const seen = await Promise.all(
      Array.from({ length: 500 }, (_, index) => send(index % 3, key!, { tokens: 3 }, usualMaximum)),
    )
    assert.equal(seen.filter(({ end }) => end === 'done').length, 50)
    for (const { end, status, error, headers } of seen) {
      if (end === 'done') continue
      assert.deepEqual([status, error?.code], [429, 'rate_limit_exceeded'])
      assert.deepEqual(
        [error?.details?.['limit'], error?.details?.['window'], error?.details?.['scope']],
        [50, 'minute', 'key'],
      )
      assert.ok(Number(headers['retry-after']) >= 1)
    }
  })

  /** Runs the load of all gateways while `change` takes effect on the two that did not make it. */
  async function seenElsewhere(
    key: FleetKey,
    change: () => Promise<unknown>,
    isRefusal: (seen: Seen) => boolean,
  ): Promise<number> {
    const load = { isOver: false }
    const background = Array.from({ length: 60 }, async (_, index) => {
      while (!load.isOver)
        await send(index % 3, others[index % others.length]!, { tokens: 10, pauseMs: 3 }, usualMaximum)
    })
    try {
      for (const index of [1, 2]) assert.equal((await send(index, key, { tokens: 1 }, usualMaximum)).end, 'done')
      await change()
      const changedMs = performance.now()
      const delays = await Promise.all(
        [1, 2].map(async (index) => {
          for (;;) {
            const askedMs = performance.now() - changedMs
            const seen = await send(index, key, { tokens: 1 }, usualMaximum)
            if (seen.end !== 'done') {
              assert.ok(isRefusal(seen), JSON.stringify(seen))
              return askedMs
            }
            assert.ok(askedMs < 1000, 'it goes on a second later')
          }
        }),
      )
      for (const index of [0, 1, 2]) assert.ok(isRefusal(await send(index, key, { tokens: 1 }, usualMaximum)))
      return Math.max(...delays)
    } finally {
      load.isOver = true
      await Promise.all(background)
    }
  }

  it('revokes a key everywhere within a second, under load', async (context) => {
    const [key] = await fleet.keys('revoked', {})
    const delayMs = await seenElsewhere(
      key!,
      () => fleet.admin(0, 'DELETE', `/api-keys/${key!.id}`),
      ({ status, error }) => status === 401 && error?.code === 'invalid_api_key',
    )
    context.diagnostic(`refused from ${delayMs.toFixed(0)} ms on`)
  })

  it('lowers a budget everywhere within a second, under load', async (context) => {
    const [key] = await fleet.keys('lowered', { organization: { budgets: [{ period: 'monthly', limit_usd: 100 }] } })
    const delayMs = await seenElsewhere(
      key!,
      () => fleet.admin(0, 'PATCH', '/organizations/lowered', { budgets: [{ period: 'monthly', limit_usd: 0.00001 }] }),
      ({ status, error }) => status === 402 && error?.details?.['scope_id'] === key!.organizationId,
    )
    context.diagnostic(`refused from ${delayMs.toFixed(0)} ms on`)
  })
})

function checkRefusal({ end, status, error, headers }: Seen, key: FleetKey, limitMicros: number): void {
  assert.equal(end, 'refused')
  assert.deepEqual([status, error?.code], [402, 'budget_exceeded'], JSON.stringify(error))
  const { limit, spent, period, resets_at: resets, scope, scope_id: id } = error?.details ?? {}
  assert.deepEqual([limit, period, scope, id], [limitMicros / 1_000_000, 'monthly', 'project', key.projectId])
  assert.ok(typeof spent === 'number' && spent >= 0 && spent <= limitMicros / 1_000_000, `spent ${String(spent)}`)
  assert.ok(Date.parse(String(resets)) > Date.now())
  assert.equal(headers['x-should-retry'], 'false')
}
