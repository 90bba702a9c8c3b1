import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { addDays, daysBetween } from '../../plugins/usage-log/calendar.ts'
import { forecast } from '../../plugins/usage-log/forecast.ts'
import { SpendModel } from '../../plugins/usage-log/spend-model.ts'
import type { Expected, SpendDay } from '../../plugins/usage-log/spend-model.ts'
import { quantile95 } from '../../plugins/usage-log/student.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { attempt, settle, usage, UsageTests } from './usage-instance.ts'

const tests = new UsageTests()
const path = '/admin/v1/usage/forecast'
const dayMs = 86_400_000
const dollar = 1_000_000

after(() => tests.close())

/** Days up to the one before `today`, each with its dollars. */
function daysBefore(today: string, dollars: readonly number[]): SpendDay[] {
  return dollars.map((each, index) => ({ date: addDays(today, index - dollars.length), costMicros: each * dollar }))
}

/** What some whole days are expected to cost. */
function ahead(model: SpendModel, from: string, days: number): Expected {
  const expect = model.ahead()
  let expected = expect(from, 1)
  for (let day = 1; day < days; day++) expected = expect(addDays(from, day), 1)
  return expected
}

describe('usage-log: forecast', () => {
  it('has the quantiles of the tables', () => {
    // Student's t, two-sided 95 %.
    const table: readonly (readonly [number, number])[] = [
      [1, 12.706],
      [2, 4.303],
      [5, 2.571],
      [10, 2.228],
      [11, 2.201],
      [12, 2.179],
      [15, 2.131],
      [20, 2.086],
      [30, 2.042],
      [60, 2.0],
      [120, 1.98],
      [100_000, 1.96],
    ]
    for (const [freedom, value] of table) assert.ok(Math.abs(quantile95(freedom) - value) < 0.0015, String(freedom))
  })

  it('goes by the mean of all days while there are few, with the interval of a table', () => {
    // Mean 3, squares 4 + 1 + 0 + 1 + 4 = 10, variance 10 / 4, t(4) = 2.7764.
    const model = new SpendModel(daysBefore('2026-01-06', [1, 2, 3, 4, 5]))
    assert.equal(model.method, 'mean')
    assert.equal(model.averageMicros, 3 * dollar)
    assert.ok(Math.abs(model.deviationMicros - Math.sqrt(2.5) * dollar) < 1)
    const { micros, lowerMicros, upperMicros } = model.ahead()('2026-01-06', 1)
    const margin = 2.7764 * Math.sqrt(2.5 * (1 + 1 / 5)) * dollar
    assert.equal(micros, 3 * dollar)
    assert.ok(Math.abs(upperMicros - micros - margin) < 1)
    assert.equal(lowerMicros, 0, 'nobody earns money by spending')
    const ten = ahead(model, '2026-01-06', 10)
    assert.ok(Math.abs(ten.upperMicros - 30 * dollar - 2.7764 * Math.sqrt(2.5 * (10 + 100 / 5)) * dollar) < 1)
  })

  it('goes by the mean of the same weekdays from two weeks on', () => {
    // Monday 2026-01-05 to Sunday 2026-01-18: weekends cost nothing, Mondays 10 and 12.
    const model = new SpendModel(daysBefore('2026-01-19', [10, 5, 5, 5, 5, 0, 0, 12, 5, 5, 5, 5, 0, 0]))
    assert.equal(model.method, 'weekday_mean')
    assert.equal(model.mean('2026-01-19'), 11 * dollar)
    assert.equal(model.mean('2026-01-24'), 0)
    // Residuals 1 and 1 with 14 - 7 degrees of freedom, t(7) = 2.3646; a Monday's mean is one of two.
    const monday = model.ahead()('2026-01-19', 1)
    const margin = 2.3646 * Math.sqrt((2 / 7) * (1 + 1 / 2)) * dollar
    assert.ok(Math.abs(monday.upperMicros - 11 * dollar - margin) < 1)
    assert.ok(Math.abs(monday.lowerMicros - 11 * dollar + margin) < 1)
  })

  it('adds what is spent to what is to come', () => {
    const result = forecast({
      history: daysBefore(
        '2026-01-11',
        Array.from({ length: 10 }, () => 2),
      ),
      today: '2026-01-11',
      elapsed: 0.5,
      spent: [
        ...daysBefore(
          '2026-01-11',
          Array.from({ length: 10 }, () => 2),
        ),
        { date: '2026-01-11', costMicros: dollar },
      ],
      periodEnd: '2026-02-01',
      budgetMicros: 31 * dollar,
    })
    // 20 for ten days, 1 for today so far, 1 for the rest of it, 2 for each of twenty more.
    assert.equal(result['current_spend'], 21)
    assert.equal(result['projected_spend'], 62)
    assert.deepEqual(
      [result['projected_spend_lower'], result['projected_spend_upper']],
      [62, 62],
      'days that are all alike',
    )
    assert.equal(result['standard_deviation'], 0)
    // 10 left: 1 in the rest of today, 9 in four and a half days.
    assert.equal(result['days_until_exhaustion'], 5)
    assert.deepEqual([result['days_until_exhaustion_lower'], result['days_until_exhaustion_upper']], [5, 5])
    assert.deepEqual([result['projected_exhaustion_date'], result['exhausts_in_period']], ['2026-01-16', true])
    const series = result['series'] as JsonObject[]
    assert.equal(series.length, 31)
    assert.deepEqual(series[10], {
      date: '2026-01-11',
      actual: 1,
      spend: 2,
      lower: 2,
      upper: 2,
      cumulative: 22,
      cumulative_lower: 22,
      cumulative_upper: 22,
    })
    assert.equal(series.at(-1)?.['cumulative'], 62)
  })

  it('says why it says nothing', () => {
    const one = { today: '2026-01-02', elapsed: 0.5, periodEnd: '2026-02-01', budgetMicros: dollar }
    const history = daysBefore('2026-01-02', [1])
    const result = forecast({ ...one, history, spent: [...history, { date: '2026-01-02', costMicros: 0 }] })
    assert.equal(result['projected_spend'], null)
    assert.match(String(result['reason']), /at least 2 whole days/)
    assert.deepEqual([result['current_spend'], result['days_until_exhaustion']], [1, 0])
  })

  it('has an end of a budget only if it is in sight', () => {
    const history = daysBefore('2026-01-03', [0, 0])
    const spent = [{ date: '2026-01-03', costMicros: 0 }]
    const idle = forecast({ history, today: '2026-01-03', elapsed: 0, spent, periodEnd: '2026-02-01', budgetMicros: 1 })
    assert.deepEqual(
      [idle['days_until_exhaustion'], idle['days_until_exhaustion_lower'], idle['projected_exhaustion_date']],
      [null, null, null],
    )
  })

  it('has intervals that hold their points, widen with time, and never fall', () => {
    const spend = fc.integer({ min: 0, max: 1_000_000_000 })
    fc.assert(
      fc.property(
        fc.array(spend, { minLength: 2, maxLength: 60 }),
        fc.array(spend, { minLength: 1, maxLength: 20 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 2_000_000_000 }),
        (days, already, elapsed, ahead, budgetMicros) => {
          const today = '2026-05-20'
          const history = days.map((costMicros, index) => ({ date: addDays(today, index - days.length), costMicros }))
          const spent = already.map((costMicros, index) => ({
            date: addDays(today, index - already.length + 1),
            costMicros,
          }))
          const result = forecast({ history, today, elapsed, spent, periodEnd: addDays(today, ahead), budgetMicros })
          const number = (row: JsonObject, name: string): number => row[name] as number
          const series = result['series'] as JsonObject[]
          assert.equal(series.length, already.length - 1 + daysBetween(today, addDays(today, ahead)))
          let before = { cumulative: 0, cumulative_lower: 0, cumulative_upper: 0 }
          let width = 0
          for (const day of series) {
            assert.ok(number(day, 'lower') <= number(day, 'spend') && number(day, 'spend') <= number(day, 'upper'))
            for (const name of ['cumulative', 'cumulative_lower', 'cumulative_upper'] as const) {
              assert.ok(number(day, name) >= before[name], `${name} fell`)
              before = { ...before, [name]: number(day, name) }
            }
            assert.ok(before.cumulative_lower <= before.cumulative && before.cumulative <= before.cumulative_upper)
            assert.ok(before.cumulative_upper - before.cumulative >= width - 2e-6)
            width = before.cumulative_upper - before.cumulative
          }
          const until = ['_lower', '', '_upper'].map(
            (suffix) => result[`days_until_exhaustion${suffix}`] as number | null,
          )
          const known = until.map((each) => each ?? Infinity)
          assert.ok(known[0]! <= known[1]! && known[1]! <= known[2]!, until.join(' '))
          const date = result['projected_exhaustion_date']
          assert.equal(date === null, until[1] === null)
          if (result['exhausts_in_period'] === true)
            assert.ok(number(series.at(-1)!, 'cumulative') >= budgetMicros / dollar - 2e-6)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('holds about 95 of 100 cases where its assumptions do', () => {
    // A generator of one's own, so that the test is the same every time.
    let seed = 42
    const uniform = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return (seed + 0.5) / 4_294_967_296
    }
    const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
    for (const length of [5, 10, 21]) {
      let held = 0
      for (let round = 0; round < 2000; round++) {
        const daily = (): number => 100 + 10 * normal()
        const model = new SpendModel(daysBefore('2026-03-02', Array.from({ length }, daily)))
        const { lowerMicros, upperMicros } = ahead(model, '2026-03-02', 14)
        let real = 0
        for (let day = 0; day < 14; day++) real += daily() * dollar
        if (lowerMicros <= real && real <= upperMicros) held++
      }
      assert.ok(held / 2000 > 0.93 && held / 2000 < 0.97, `${length} days: ${held / 20} %`)
    }
  })
})

for (const kind of ['embedded', 'PostgreSQL'] as const)
  describe(`usage-log: forecast of an admin (${kind})`, () => {
    const spend = (instance: PluginInstance, principal: string, atMs: number, costMicros: number): string =>
      settle(instance, {
        principal: { id: principal },
        outcome: { startedAt: atMs, attempts: [attempt({ usage: { ...usage, costMicros } })] },
      })

    it('is made of the days of the zone', async () => {
      const instance = await tests.start(kind === 'embedded' ? await tests.embedded() : await tests.connect())
      await instance.clock.advance(9 * dayMs + dayMs / 2)
      const nowMs = instance.clock.now()
      assert.equal(new Date(nowMs).toISOString(), '2026-01-10T12:00:00.000Z')
      for (let day = 1; day <= 5; day++) spend(instance, 'key-1', nowMs - day * dayMs, 2 * dollar)
      spend(instance, 'key-1', nowMs - 1, dollar)
      spend(instance, 'key-2', nowMs - 1, 1000 * dollar)
      // In New York this is still the day before.
      spend(instance, 'key-3', Date.UTC(2026, 0, 10, 3), dollar)
      spend(instance, 'key-3', Date.UTC(2026, 0, 8, 12), dollar)
      await instance.hooks.stop?.()
      const ask = async (query: Record<string, string>): Promise<JsonObject> =>
        (await instance.route('GET', path, { query })).body

      const monthly = await ask({ principal: 'key-1', budget_usd: '100' })
      const { series, ...rest } = monthly
      assert.deepEqual(rest, {
        period: 'monthly',
        period_start: '2026-01-01',
        period_end: '2026-02-01',
        time_zone: 'UTC',
        confidence: 0.95,
        method: 'mean',
        reason: null,
        history_days: 5,
        average_daily_spend: 2,
        standard_deviation: 0,
        current_spend: 11,
        projected_spend: 54,
        projected_spend_lower: 54,
        projected_spend_upper: 54,
        budget: 100,
        remaining: 89,
        days_until_exhaustion: 44.5,
        days_until_exhaustion_lower: 44.5,
        days_until_exhaustion_upper: 44.5,
        projected_exhaustion_date: '2026-02-24',
        exhausts_in_period: false,
      })
      assert.deepEqual((series as JsonObject[]).map(({ actual }) => actual).slice(0, 12), [
        0,
        0,
        0,
        0,
        2,
        2,
        2,
        2,
        2,
        1,
        null,
        null,
      ])
      const weekly = await ask({ principal: 'key-1', period: 'weekly' })
      assert.deepEqual(
        [weekly['period_start'], weekly['current_spend'], weekly['projected_spend']],
        ['2026-01-05', 11, 14],
      )
      const daily = await ask({ principal: 'key-1', period: 'daily' })
      assert.deepEqual([daily['current_spend'], daily['projected_spend']], [1, 2])
      const unknown = await ask({ principal: 'nobody' })
      assert.deepEqual([unknown['projected_spend'], unknown['history_days']], [null, 0])
      const utc = await ask({ principal: 'key-3' })
      assert.deepEqual([utc['history_days'], utc['average_daily_spend']], [2, 0.5])
      const york = await ask({ principal: 'key-3', time_zone: 'America/New_York' })
      assert.deepEqual([york['history_days'], york['average_daily_spend']], [2, 1])
    })
  })
