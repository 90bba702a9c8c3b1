import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, Outcome, Principal } from '../../core/contract/plugin.ts'
import { addDays, dateAt, isTimeZone, periodOf, startOf } from '../../plugins/usage-log/calendar.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { attempt, away, settle, target, usage, UsageTests } from './usage-instance.ts'

const tests = new UsageTests()
const path = '/admin/v1/usage'
const hourMs = 3_600_000

after(() => tests.close())

const organization = { kind: 'organization', id: 'org-1' }
const principals: readonly Principal[] = [
  {
    id: 'key-1',
    name: 'first',
    owners: [{ kind: 'user', id: 'user-1' }, { kind: 'team', id: 'team-1' }, organization],
  },
  {
    id: 'key-2',
    owners: [
      { kind: 'user', id: 'user-2' },
      { kind: 'team', id: 'team-1' },
      { kind: 'team', id: 'team-2' },
      organization,
    ],
  },
  { id: 'key-3', owners: [{ kind: 'project', id: 'project-1' }, organization] },
  {
    id: 'key-4',
    owners: [
      { kind: 'service_account', id: 'robot' },
      { kind: 'organization', id: 'org-2' },
    ],
  },
  { id: 'key-5' },
]

/** One call that was billed. */
interface Call {
  readonly provider: string
  readonly model: string
  readonly costMicros: number | undefined
}
/** An exchange as the test knows it. */
interface Ended {
  readonly principal: Principal
  readonly startedAt: number
  readonly status: Outcome['status']
  readonly durationMs: number
  readonly calls: readonly Call[]
}

const startMs = Date.UTC(2026, 2, 27, 20, 15)
const owned = (principal: Principal, kind: string): string[] =>
  (principal.owners ?? []).filter((owner) => owner.kind === kind).map(({ id }) => id)

/** Exchanges of some days, always the same ones. */
function makeExchanges(): Ended[] {
  const pick = <T>(values: readonly T[], number: number): T => values[number % values.length]!
  return Array.from({ length: 400 }, (_, index) => {
    const mixed = (index * 2_654_435_761) % 4_294_967_296
    const status = pick<Outcome['status']>(['completed', 'completed', 'failed', 'aborted', 'refused'], mixed >>> 3)
    const count = status === 'refused' ? 0 : 1 + (index % 7 === 0 ? 1 : 0)
    return {
      principal: pick(principals, mixed >>> 5),
      startedAt: startMs + (mixed % (75 * hourMs)),
      status,
      durationMs: mixed % 1000,
      calls: Array.from({ length: count }, (__, number) => ({
        provider: pick(['openai', 'azure'], mixed + number),
        model: pick(['small', 'medium', 'large'], (mixed >>> 7) + number),
        costMicros: index % 11 === 0 ? undefined : mixed % 5000,
      })),
    }
  })
}

const exchanges = makeExchanges()

function settleAll(instance: PluginInstance): void {
  for (const { principal, startedAt, status, durationMs, calls } of exchanges) {
    const attempts = calls.map(({ provider, model, costMicros }) => {
      const { costMicros: _, ...unpriced } = usage
      return attempt({
        target: { ...target, provider, model },
        usage: costMicros === undefined ? unpriced : { ...usage, costMicros },
      })
    })
    const last = attempts.at(-1)
    const total = last?.usage && {
      ...last.usage,
      inputTokens: usage.inputTokens * calls.length,
      outputTokens: usage.outputTokens * calls.length,
    }
    settle(instance, {
      principal,
      outcome: { status, startedAt, durationMs, attempts, target: last?.target, usage: total, firstEventMs: undefined },
    })
  }
}

/** The sums of some exchanges and of the calls among them that are asked for. */
function sumOf(
  these: readonly Ended[],
  requestOf: (call: Call | undefined) => boolean,
  callOf = requestOf,
): JsonObject {
  const counted = these.filter(({ calls }) => requestOf(calls.at(-1)))
  const calls = these.flatMap((each) => each.calls).filter(callOf)
  const completed = counted.filter(({ status }) => status === 'completed')
  const costMicros = calls.reduce((sum, call) => sum + (call.costMicros ?? 0), 0)
  const times = counted.map(({ startedAt }) => startedAt)
  const status = (name: string): number => counted.filter((each) => each.status === name).length
  return {
    total_cost: costMicros / 1_000_000,
    cost_micros: costMicros,
    reported_cost_micros: calls.length * 1200,
    input_tokens: calls.length * 100,
    output_tokens: calls.length * 20,
    total_tokens: calls.length * 120,
    cached_tokens: calls.length * 60,
    cache_write_tokens: calls.length * 5,
    reasoning_tokens: calls.length * 7,
    audio_input_tokens: calls.length * 3,
    audio_output_tokens: calls.length * 2,
    image_count: calls.length,
    request_count: counted.length,
    completed_count: status('completed'),
    refused_count: status('refused'),
    failed_count: status('failed'),
    aborted_count: status('aborted'),
    estimated_count: 0,
    call_count: calls.length,
    unpriced_call_count: calls.filter((call) => call.costMicros === undefined).length,
    average_latency_ms:
      completed.length === 0
        ? null
        : Math.round((completed.reduce((sum, each) => sum + each.durationMs, 0) / completed.length) * 10) / 10,
    average_first_event_ms: null,
    first_request_at: times.length === 0 ? null : new Date(Math.min(...times)),
    last_request_at: times.length === 0 ? null : new Date(Math.max(...times)),
  }
}

const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const anyFilters = fc.record({
  from: optional(fc.integer({ min: -5, max: 80 })),
  length: optional(fc.integer({ min: 0, max: 60 })),
  principal: optional(fc.constantFrom('key-1', 'key-2', 'key-5', 'nobody')),
  team: optional(fc.constantFrom('team-1', 'team-2')),
  organization: optional(fc.constantFrom('org-1', 'org-2')),
  model: optional(fc.constantFrom('small', 'large')),
  provider: optional(fc.constantFrom('openai', 'azure')),
})
type AnyFilters = typeof anyFilters extends fc.Arbitrary<infer T> ? T : never

function queryOf({
  from,
  length,
  principal,
  team,
  organization: org,
  model,
  provider,
}: AnyFilters): Record<string, string> {
  const baseMs = Date.UTC(2026, 2, 27, 20)
  const at = (hours: number): string => new Date(baseMs + hours * hourMs).toISOString()
  return {
    ...(from !== undefined && { from: at(from) }),
    ...(length !== undefined && { to: at((from ?? 0) + length) }),
    ...(principal !== undefined && { principal }),
    ...(team !== undefined && { team }),
    ...(org !== undefined && { organization: org }),
    ...(model !== undefined && { model }),
    ...(provider !== undefined && { provider }),
  }
}

/** The exchanges that filters on time and caller leave. */
function ofCallers(query: Record<string, string>): Ended[] {
  return exchanges.filter(
    ({ principal, startedAt }) =>
      (query['from'] === undefined || startedAt >= Date.parse(query['from'])) &&
      (query['to'] === undefined || startedAt < Date.parse(query['to'])) &&
      (query['principal'] === undefined || principal.id === query['principal']) &&
      (query['team'] === undefined || owned(principal, 'team').includes(query['team'])) &&
      (query['organization'] === undefined || owned(principal, 'organization').includes(query['organization'])),
  )
}

function callFilter({ model, provider }: Record<string, string>): (call: Call | undefined) => boolean {
  return (call) =>
    (model === undefined || call?.model === model) && (provider === undefined || call?.provider === provider)
}

for (const kind of ['embedded', 'PostgreSQL'] as const)
  describe(`usage-log: sums (${kind})`, () => {
    let instance: PluginInstance
    const ask = async (route: string, query: Record<string, string> = {}): Promise<JsonObject> =>
      (await instance.route('GET', `${path}${route}`, { query })).body

    before(async () => {
      instance = await tests.start(kind === 'embedded' ? await tests.embedded() : await tests.connect())
      settleAll(instance)
      await instance.hooks.stop?.()
    })

    it('are those of the exchanges and calls, whatever the filters', async () => {
      await fc.assert(
        fc.asyncProperty(anyFilters, async (filters) => {
          const query = queryOf(filters)
          const { from: _, to: __, ...sum } = await ask('', query)
          assert.deepEqual(sum, sumOf(ofCallers(query), callFilter(query)))
        }),
        { numRuns: 60 },
      )
    })

    it('by model, provider, key and owner are those of each', async () => {
      const groupings: Record<string, readonly [field: string, keys: (each: Ended) => (string | null)[]]> = {
        '/by-key': ['principal_id', ({ principal }) => [principal.id]],
        '/by-user': ['user_id', ({ principal }) => owned(principal, 'user')],
        '/by-service-account': ['service_account_id', ({ principal }) => owned(principal, 'service_account')],
        '/by-project': ['project_id', ({ principal }) => owned(principal, 'project')],
        '/by-team': ['team_id', ({ principal }) => owned(principal, 'team')],
        '/by-organization': ['organization_id', ({ principal }) => owned(principal, 'organization')],
      }
      const queries: readonly Record<string, string>[] = [
        {},
        { from: '2026-03-28T05:00:00Z', to: '2026-03-29T03:00:00Z' },
        { model: 'small' },
      ]
      for (const query of queries) {
        const these = ofCallers(query)
        const fits = callFilter(query)
        for (const [route, [field, keysOf]] of Object.entries(groupings)) {
          const { data, truncated, other } = await ask(route, query)
          for (const { [field]: key, principal_name: name, ...sum } of data as JsonObject[]) {
            const own = these.filter((each) =>
              key === null ? keysOf(each).length === 0 : keysOf(each).includes(key as string),
            )
            assert.deepEqual(sum, sumOf(own, fits), `${route} ${String(key)}`)
            if (field === 'principal_id') assert.equal(name, key === 'key-1' ? 'first' : null)
          }
          const keys = new Set(
            these
              .filter(({ calls }) => calls.some(fits) || fits(calls.at(-1)))
              .flatMap((each) => (keysOf(each).length === 0 ? [null] : keysOf(each))),
          )
          assert.deepEqual(new Set((data as JsonObject[]).map((group) => group[field])), keys, route)
          assert.deepEqual([truncated, other], [false, null])
        }
        for (const field of ['model', 'provider'] as const) {
          const { data } = await ask(`/by-${field}`, query)
          for (const { [field]: key, ...sum } of data as JsonObject[])
            assert.deepEqual(
              sum,
              sumOf(these, (call) => fits(call) && (call?.[field] ?? null) === key),
              `${field} ${String(key)}`,
            )
          const costs = (data as JsonObject[]).map((group) => group['cost_micros'] as number)
          assert.deepEqual(
            costs,
            costs.toSorted((a, b) => b - a),
            'the dearest first',
          )
        }
      }
    })

    it('beyond the limit are summed up as the rest', async () => {
      const all = await ask('/by-key')
      const { data, other, truncated, group_count: count } = await ask('/by-key', { limit: '2' })
      assert.deepEqual([truncated, count], [true, 5])
      assert.deepEqual(data, (all['data'] as JsonObject[]).slice(0, 2))
      const rest = (all['data'] as JsonObject[]).slice(2)
      for (const name of ['cost_micros', 'request_count', 'total_tokens'])
        assert.equal(
          (other as JsonObject)[name],
          rest.reduce((sum, group) => sum + (group[name] as number), 0),
        )
    })

    for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Pacific/Auckland'])
      it(`by hour, day and month are those of the clocks of ${zone}`, async () => {
        const query = { from: '2026-03-27T00:00:00Z', to: '2026-04-02T00:00:00Z', time_zone: zone }
        for (const granularity of ['hour', 'day', 'month'] as const) {
          const { data } = await ask('/by-date', { ...query, granularity })
          const keyOf = (atMs: number): string =>
            granularity === 'hour'
              ? new Date(Math.floor(atMs / hourMs) * hourMs).toISOString()
              : dateAt(atMs, zone).slice(0, granularity === 'day' ? 10 : 7)
          const keys = [...new Set(exchanges.map(({ startedAt }) => keyOf(startedAt)))].toSorted()
          assert.deepEqual(
            (data as JsonObject[]).map((step) =>
              granularity === 'hour' ? (step['start'] as Date).toISOString() : step['date'],
            ),
            keys,
          )
          for (const { date, start, ...sum } of data as JsonObject[]) {
            const key = granularity === 'hour' ? (start as Date).toISOString() : date
            assert.deepEqual(
              sum,
              sumOf(
                exchanges.filter(({ startedAt }) => keyOf(startedAt) === key),
                () => true,
              ),
            )
            if (granularity === 'day') assert.equal((start as Date).getTime(), startOf(date as string, zone))
          }
        }
      })

    it('of the day on which clocks are set forward cover 23 hours', async () => {
      const day = { from: '2026-03-28T23:00:00Z', to: '2026-03-29T22:00:00Z', time_zone: 'Europe/Berlin' }
      const { data } = await ask('/by-date', day)
      assert.deepEqual(
        (data as JsonObject[]).map((step) => [step['date'], step['start']]),
        [['2026-03-29', new Date('2026-03-28T23:00:00Z')]],
      )
      const hours = (await ask('/by-date', { ...day, granularity: 'hour' }))['data'] as JsonObject[]
      assert.ok(hours.length > 15 && !hours.some((hour) => hour['date'] === '2026-03-29T02:00'))
    })

    it('widen a range to whole hours, and say so', async () => {
      const { from, to } = await ask('', { from: '2026-03-28T05:10:00Z', to: '2026-03-28T06:10:00+00:00' })
      assert.deepEqual([from, to], [new Date('2026-03-28T05:00:00Z'), new Date('2026-03-28T07:00:00Z')])
    })

    it('refuse what they do not know', async () => {
      const wrong: readonly (readonly [string, Record<string, string>, string])[] = [
        ['', { modle: 'x' }, 'modle'],
        ['', { outcome: 'failed' }, 'outcome'],
        ['', { from: 'yesterday' }, 'from'],
        ['/by-key', { limit: '0' }, 'limit'],
        ['/by-key', { limit: '1001' }, 'limit'],
        ['/by-date', { granularity: 'minute' }, 'granularity'],
        ['/by-date', { time_zone: '+02:00' }, 'time_zone'],
        ['/by-date', { time_zone: `UTC' or 1=1` }, 'time_zone'],
        ['/by-date', { time_zone: 'Europe/Nowhere' }, 'time_zone'],
        ['/by-date', { granularity: 'hour', from: '2020-01-01' }, 'from'],
        ['/forecast', { period: 'hourly' }, 'period'],
        ['/forecast', { lookback_days: '1' }, 'lookback_days'],
        ['/forecast', { budget_usd: '-1' }, 'budget_usd'],
        ['/forecast', { from: '2026-01-01' }, 'from'],
      ]
      for (const [route, query, path] of wrong)
        await assert.rejects(ask(route, query), (error: { status: number; param: string }) => {
          assert.deepEqual([error.status, error.param], [400, path])
          return true
        })
    })

    it('say that the database is away, and pass on any other failure of it', async () => {
      for (const route of ['', '/by-key', '/by-date', '/forecast', '/logs', '/logs/export']) {
        instance.database.before = () => {
          throw away
        }
        await assert.rejects(ask(route), { code: 'database_unavailable' })
        instance.database.before = () => {
          throw new Error('syntax error')
        }
        await assert.rejects(ask(route), { message: 'syntax error' })
        instance.database.before = () => undefined
      }
    })
  })

describe('usage-log: calendar', () => {
  const zones = [
    'UTC',
    'Europe/Berlin',
    'America/Sao_Paulo',
    'Asia/Kolkata',
    'Pacific/Chatham',
    'Africa/Cairo',
    'America/St_Johns',
  ]

  it('has a beginning for each date, and each instant is on one', () => {
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.integer({ min: 0, max: 22_000 }), (zone, days) => {
        const date = addDays('1990-01-01', days)
        const startedMs = startOf(date, zone)
        assert.equal(dateAt(startedMs, zone), date)
        assert.equal(dateAt(startedMs - 1, zone), addDays(date, -1))
      }),
      { numRuns: 2000 },
    )
  })

  it('begins weeks on Mondays and months on their first', () => {
    assert.deepEqual(periodOf('2026-03-29', 'weekly'), { start: '2026-03-23', end: '2026-03-30' })
    assert.deepEqual(periodOf('2026-03-23', 'weekly'), { start: '2026-03-23', end: '2026-03-30' })
    assert.deepEqual(periodOf('2028-02-29', 'monthly'), { start: '2028-02-01', end: '2028-03-01' })
    assert.deepEqual(periodOf('2026-12-31', 'monthly'), { start: '2026-12-01', end: '2027-01-01' })
    assert.deepEqual(periodOf('2026-12-31', 'daily'), { start: '2026-12-31', end: '2027-01-01' })
  })

  it('knows the names of zones', () => {
    assert.deepEqual(['UTC', 'Europe/Berlin', 'Etc/GMT+5', '', '+05:30', 'Mars/Base'].map(isTimeZone), [
      true,
      true,
      true,
      false,
      false,
      false,
    ])
  })
})
