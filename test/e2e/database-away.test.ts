/** What the database has to do with requests: nothing while all is well, and little while it is away. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { sendCounted } from './counted-request.ts'
import type { Seen } from './counted-request.ts'
import { checkEnded, checkRollups, readBooks, readSums } from './fleet-books.ts'
import type { Sent } from './fleet-books.ts'
import { eventually, model, startFleet } from './fleet.ts'
import type { Fleet, FleetKey, OwnLimits } from './fleet.ts'

const maxTokens = 100

describe('the database behind two gateways', { timeout: 200_000 }, () => {
  const ends: (() => unknown)[] = []
  const sent: Sent[] = []
  let fleet: Fleet
  let limited: FleetKey
  let unlimited: FleetKey
  let nextNumber = 0

  before(async () => {
    const context = { after: (end: () => unknown) => void ends.push(end) }
    fleet = await startFleet(context, 2, (number) => ({ tokens: 1 + (number % 4), pauseMs: number % 7 }))
    const limits: OwnLimits = {
      budgets: [{ period: 'monthly', limit_usd: 1000 }],
      rate_limits: { requests_per_minute: 1_000_000, tokens_per_minute: 1_000_000_000, concurrent_requests: 10_000 },
    }
    ;[limited] = (await fleet.keys('limited', { organization: limits, project: limits, key: limits })) as [FleetKey]
    ;[unlimited] = (await fleet.keys('unlimited', {})) as [FleetKey]
    // The module counts statements, and is loaded when the server starts.
    await fleet.query(`alter system set shared_preload_libraries = 'pg_stat_statements'`)
    await fleet.postgres.halt()
    await fleet.postgres.start()
    await fleet.query('create extension pg_stat_statements')
    await eventually(30_000, async () => {
      const seen = await Promise.all([0, 1].map((index) => send(index, limited)))
      const refused = seen.find(({ end }) => end !== 'done')
      return refused && JSON.stringify(refused)
    })
  })

  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  async function send(index: number, key: FleetKey): Promise<Seen> {
    const number = nextNumber++
    const seen = await sendCounted({ url: fleet.gateways[index]!.url, key: key.key, model, number, maxTokens })
    sent.push({ number, key, maxTokens, seen, wasKilled: seen.end === 'broken' })
    return seen
  }

  /** Sends so many requests a second, evenly, for some seconds. */
  async function sendEvenly(perSecond: number, seconds: number): Promise<void> {
    const seen = await Promise.all(
      Array.from({ length: perSecond * seconds }, async (_, index) => {
        await pause((index * 1000) / perSecond)
        return send(0, limited)
      }),
    )
    assert.ok(seen.every(({ end }) => end === 'done'))
  }

  /** Statements in four seconds of so many requests a second, after two seconds of them. */
  async function statementsAt(perSecond: number): Promise<number> {
    await sendEvenly(perSecond, 2)
    await fleet.query('select pg_stat_statements_reset()')
    await sendEvenly(perSecond, 4)
    const [row] = await fleet.query<{ calls: number }>(
      `select sum(calls)::float8 as calls from pg_stat_statements where query not like '%pg_stat_statements%'`,
    )
    return row!.calls
  }

  it('is asked by time and not by request, once a key is warm', async (context) => {
    const few = await statementsAt(125)
    const many = await statementsAt(500)
    context.diagnostic(`${few} statements for 500 requests, ${many} for 2,000 in as much time`)
    assert.ok(few > 0, 'nothing was counted')
    assert.ok(many <= 150, `${many} statements for 2,000 requests`)
    // Rows are written by the hundred: they are what grows.
    assert.ok(many - few <= 1500 / 25, `${many} instead of ${few} statements`)
  })

  it('may go away: calls go on within the leases, and a killed gateway forgets nothing', async (context) => {
    const beforehand = sent.length
    const state = { isOver: false, isAway: false, isKilled: false }
    const away: Sent['seen'][] = []
    const load = async (index: number, key: FleetKey): Promise<void> => {
      const isEnded = (): boolean => state.isOver || (index === 1 && state.isKilled)
      while (!isEnded()) {
        const startedAway = state.isAway
        const seen = await send(index, key)
        if (startedAway && state.isAway && !isEnded()) {
          away.push(seen)
          if (key === unlimited) assert.equal(seen.end, 'done', JSON.stringify(seen))
          else if (seen.end !== 'done') {
            assert.deepEqual([seen.status, seen.error?.code], [503, 'budget_unavailable'])
            assert.ok(Number(seen.headers['retry-after']) > 0)
          }
        } else if (!state.isAway && !state.isKilled) assert.equal(seen.end, 'done', JSON.stringify(seen))
        await pause(20)
      }
    }
    const loads = Promise.all(
      [0, 1].flatMap((index) => [limited, limited, unlimited, unlimited].map((key) => load(index, key))),
    )
    try {
      await eventually(20_000, async () => (sent.length - beforehand < 400 ? 'too little load' : undefined))
      state.isAway = true
      await fleet.postgres.halt()
      await eventually(20_000, async () => {
        const passed = sent.filter(({ seen, key }) => seen.end === 'done' && key === limited && away.includes(seen))
        const refused = away.filter(({ end }) => end === 'refused')
        return passed.length < 5 || refused.length < 5 || away.length < 400
          ? `${passed.length} of ${away.length} within leases, ${refused.length} refused`
          : undefined
      })
      const refused = away.filter(({ end }) => end === 'refused').length
      context.diagnostic(`${away.length} requests while it was away, ${refused} of them refused with 503`)
      state.isKilled = true
      await fleet.kill(1)
      state.isAway = false
      await fleet.postgres.start()
      await fleet.restart(1)
      await eventually(30_000, async () => {
        const seen = await send(0, limited)
        return seen.end === 'done' ? undefined : JSON.stringify(seen)
      })
    } finally {
      state.isOver = true
      await loads
    }
  })

  it('has everything once when it is back', async () => {
    await eventually(60_000, async () => {
      const [count] = await fleet.query<{ leased: number; rows: number }>(
        `select (select sum(leased_micros) from budget_accounts)::float8 as leased,
           (select count(*) from usage_log_exchanges)::float8 as rows`,
      )
      const { leased, rows } = count!
      if (leased > 0) return `${leased} micro-dollars leased`
      const certain = sent.filter(({ seen }) => seen.id !== undefined && seen.end !== 'broken').length
      return rows < certain ? `only ${rows} rows of usage for ${certain} exchanges` : undefined
    })
    const books = await readBooks(fleet)
    const ended = new Map<string, Sent>()
    for (const each of sent) {
      const { seen, number } = each
      if (seen.id === undefined || seen.end === 'broken') continue
      ended.set(seen.id, each)
      if (seen.end === 'done') checkEnded(each, seen.id, books, fleet.upstream.accounts.get(number))
      else {
        assert.equal(fleet.upstream.accounts.get(number), undefined)
        assert.equal(books.charges.get(seen.id)?.most ?? 0, 0)
        assert.equal(books.rows.get(seen.id)?.cost, 0)
      }
    }
    const broken = sent.filter(({ seen }) => seen.end === 'broken').length
    const others = new Set([...books.rows.keys(), ...books.charges.keys()].filter((id) => !ended.has(id)))
    assert.ok(others.size <= broken, `${others.size} exchanges more than requests, ${broken} of which were broken`)
    const { accounts, charged } = await readSums(fleet)
    for (const { holder, spent } of accounts) assert.equal(spent, charged.get(holder), holder)
    await checkRollups(fleet)
  })
})
