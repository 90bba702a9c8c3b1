import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { BudgetLimit, Principal } from '../../core/contract/plugin.ts'
import { ApplicableAccounts } from '../../plugins/budget/accounts.ts'
import { Calendar } from '../../plugins/budget/periods.ts'

const iso = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString())

function window(zone: string, period: BudgetLimit['period'], at: string): readonly (string | undefined)[] {
  const { startsAtMs, endsAtMs } = new Calendar(zone).windowOf(period, Date.parse(at))
  return [iso(startsAtMs), iso(endsAtMs)]
}

describe('calendar periods', () => {
  it('begin at midnight, on Monday, on the first, of the zone', () => {
    const at = '2026-03-04T12:34:56Z'
    assert.deepEqual(window('UTC', 'daily', at), ['2026-03-04T00:00:00.000Z', '2026-03-05T00:00:00.000Z'])
    assert.deepEqual(window('UTC', 'weekly', at), ['2026-03-02T00:00:00.000Z', '2026-03-09T00:00:00.000Z'])
    assert.deepEqual(window('UTC', 'monthly', at), ['2026-03-01T00:00:00.000Z', '2026-04-01T00:00:00.000Z'])
    assert.deepEqual(window('UTC', 'total', at), ['1970-01-01T00:00:00.000Z', undefined])
    assert.deepEqual(window('Asia/Kolkata', 'daily', at), ['2026-03-03T18:30:00.000Z', '2026-03-04T18:30:00.000Z'])
    assert.deepEqual(window('UTC', 'weekly', '2026-03-01T23:59:59.999Z')[0], '2026-02-23T00:00:00.000Z')
    assert.deepEqual(window('UTC', 'monthly', '2026-12-31T23:00:00Z')[1], '2027-01-01T00:00:00.000Z')
  })

  it('are an hour shorter or longer when clocks are moved', () => {
    const spring = window('Europe/Berlin', 'daily', '2026-03-29T12:00:00Z')
    assert.deepEqual(spring, ['2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'])
    const autumn = window('Europe/Berlin', 'daily', '2026-10-25T12:00:00Z')
    assert.deepEqual(autumn, ['2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'])
    assert.deepEqual(window('Europe/Berlin', 'monthly', '2026-03-10T00:00:00Z'), [
      '2026-02-28T23:00:00.000Z',
      '2026-03-31T22:00:00.000Z',
    ])
    // Midnight itself is skipped there.
    assert.equal(window('America/Sao_Paulo', 'daily', '2018-11-04T12:00:00Z')[0], '2018-11-04T03:00:00.000Z')
    // A day that this country has left out.
    assert.equal(window('Pacific/Apia', 'daily', '2011-12-29T20:00:00Z')[1], '2011-12-30T10:00:00.000Z')
  })

  it('follow one another without a gap, whenever one looks', () => {
    const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe')
    const periods = fc.constantFrom('daily' as const, 'weekly' as const, 'monthly' as const)
    const times = fc.integer({ min: Date.UTC(2015, 0), max: Date.UTC(2040, 0) })
    fc.assert(
      fc.property(zones, periods, times, (zone, period, atMs) => {
        const { startsAtMs, endsAtMs } = new Calendar(zone).windowOf(period, atMs)
        assert.ok(startsAtMs <= atMs && atMs < endsAtMs!)
        const calendar = new Calendar(zone)
        assert.deepEqual(calendar.windowOf(period, startsAtMs), { startsAtMs, endsAtMs })
        assert.deepEqual(calendar.windowOf(period, endsAtMs! - 1), { startsAtMs, endsAtMs })
        assert.equal(calendar.windowOf(period, endsAtMs!).startsAtMs, endsAtMs)
      }),
    )
  })

  it('need a zone that exists', () => {
    assert.throws(() => new Calendar('Europe/Atlantis'), RangeError)
  })
})

describe('the accounts of a principal', () => {
  const monthly = (limitMicros: number): BudgetLimit => ({ period: 'monthly', limitMicros })
  const none = { gateway: [], principals: [], warnAt: 0.8 }
  const atMs = Date.UTC(2026, 4, 5)
  const names = (accounts: ApplicableAccounts, principal: Principal, nowMs = atMs): string[] =>
    accounts
      .of(principal, nowMs)
      .map(({ key, limitMicros }) => `${key.holderKind} ${key.holderId} ${key.period} ${limitMicros}`)

  it('are its own, those of its owners and the gateway', () => {
    const accounts = new ApplicableAccounts(new Calendar('UTC'), {
      gateway: [{ period: 'daily', limitMicros: 9 }],
      principals: [monthly(1)],
      warnAt: 0.8,
    })
    const owners = [
      { kind: 'project', id: 'p', budgets: [monthly(2), { period: 'total' as const, limitMicros: 3 }] },
      { kind: 'team', id: 't' },
    ]
    assert.deepEqual(names(accounts, { id: 'k', budgets: [monthly(5)], owners }), [
      'principal k monthly 5',
      'project p monthly 2',
      'project p total 3',
      'gateway gateway daily 9',
    ])
    assert.deepEqual(names(accounts, { id: 'k' }), ['principal k monthly 1', 'gateway gateway daily 9'])
  })

  it('are none where there is no limit', () => {
    assert.deepEqual(names(new ApplicableAccounts(new Calendar('UTC'), none), { id: 'k' }), [])
  })

  it('share nothing by accident', () => {
    const accounts = new ApplicableAccounts(new Calendar('UTC'), { ...none, gateway: [monthly(1)] })
    const owners = ['user', 'team', 'principal', 'gateway'].map((kind) => ({ kind, id: 'same', budgets: [monthly(1)] }))
    const terms = [
      ...accounts.of({ id: 'same', budgets: [monthly(1)], owners }, atMs),
      ...accounts.of({ id: 'gateway', budgets: [monthly(1)] }, atMs),
    ]
    // Only the gateway's own is there twice.
    assert.equal(new Set(terms.map(({ key }) => key.id)).size, terms.length - 1)
  })

  it('are remembered until the first window ends', () => {
    const accounts = new ApplicableAccounts(new Calendar('UTC'), none)
    const principal = { id: 'k', budgets: [monthly(5), { period: 'daily' as const, limitMicros: 1 }] }
    const first = accounts.of(principal, atMs)
    assert.equal(accounts.of(principal, atMs + 86_399_999), first)
    const second = accounts.of(principal, atMs + 86_400_000)
    assert.equal(second[0]!.key.id, first[0]!.key.id)
    assert.notEqual(second[1]!.key.id, first[1]!.key.id)
    assert.equal(accounts.of(principal, atMs)[1]!.key.id, first[1]!.key.id, 'also when the clock is set back')
  })

  it('are the same whatever the key is called and however it was rotated', () => {
    const accounts = new ApplicableAccounts(new Calendar('UTC'), none)
    const ids = [
      { id: 'k', name: 'old', budgets: [monthly(5)] },
      { id: 'k', name: 'new', budgets: [monthly(7)] },
    ].map((principal) => accounts.of(principal, atMs)[0]!.key.id)
    assert.equal(ids[0], ids[1])
  })

  it('have names that a database takes', () => {
    const accounts = new ApplicableAccounts(new Calendar('UTC'), none)
    const [terms] = accounts.of({ id: `a\0\ud800${'x'.repeat(1000)}`, budgets: [monthly(1)] }, atMs)
    assert.ok(terms!.key.holderId.length <= 256 && terms!.key.holderId.isWellFormed())
    assert.ok(!terms!.key.holderId.includes('\0'))
  })
})
