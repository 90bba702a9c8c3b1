import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { closeLedgers, emptyLedger, Simulation, termsOf } from './budget-simulation.ts'
import type { ForgetfulJournal, Instance } from './budget-simulation.ts'

let server: PostgresServer
const windowMs = 300_000

before(async () => {
  server = await startPostgres()
})

after(async () => {
  await closeLedgers()
  await server.stop()
})

type Action =
  | {
      readonly do: 'call'
      readonly instance: number
      readonly holders: number
      readonly worst: number
      readonly share: number
      readonly turns: number
    }
  | { readonly do: 'end'; readonly which: number }
  | { readonly do: 'time'; readonly milliseconds: number }
  | { readonly do: 'link'; readonly instance: number; readonly mode: 'down' | 'mute' | 'hung' | 'up' }
  | { readonly do: 'kill'; readonly instance: number; readonly lose: boolean }
  | { readonly do: 'restart' }
  | { readonly do: 'limit'; readonly holder: number; readonly micros: number }

const instance = fc.nat(2)
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      instance,
      holders: fc.integer({ min: 1, max: 7 }),
      worst: fc.oneof(fc.nat(3000), fc.constant(0), fc.constant(20_000)),
      share: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(0, 0.1, 0.5, 1) },
        { weight: 1, arbitrary: fc.constant(1.7) },
      ),
      turns: fc.constantFrom(1, 1, 1, 2),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('time' as const),
      milliseconds: fc.constantFrom(0, 50, 300, 1200, 6000, 25_000, 90_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('link' as const),
      instance,
      mode: fc.constantFrom('down' as const, 'mute' as const, 'hung' as const, 'up' as const, 'up' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('kill' as const),
      instance,
      lose: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('limit' as const),
      holder: fc.nat(2),
      micros: fc.constantFrom(0, 2000, 9000, 30_000),
    }),
  },
)

/** Three instances, three holders in windows that follow one another, and whatever the actions do to them. */
async function play(database: OpenedDatabase, seed: number, actions: readonly Action[]): Promise<void> {
  const simulation = new Simulation(database, seed)
  const slots: Instance[] = []
  for (let count = 0; count < 3; count++) slots.push(await simulation.start())
  const dead: ForgetfulJournal[] = []
  const limits = [10_000, 20_000, 30_000]
  const beginning: Promise<unknown>[] = []
  const startMs = simulation.clock.now()
  for (const each of actions) {
    switch (each.do) {
      case 'call': {
        const window = Math.floor((simulation.clock.now() - startMs) / windowMs)
        const terms = limits
          .filter((_, holder) => each.holders & (1 << holder))
          .map((limit, holder) => termsOf(`holder ${holder}`, limit, { startsAtMs: window }))
        const slot = slots[each.instance]!
        if (!slot.alive) break
        const plan = {
          worstMicros: each.worst,
          leastMicros: Math.min(each.worst, 200),
          share: each.share,
          turns: each.turns,
        }
        beginning.push(simulation.begin(slot, terms, plan))
        break
      }
      case 'end': {
        const running = simulation.calls.filter(({ phase, instance: { alive } }) => phase === 'running' && alive)
        const call = running[each.which % running.length]
        if (call) beginning.push(simulation.end(call))
        break
      }
      case 'time':
        await simulation.advance(each.milliseconds, Math.max(250, each.milliseconds / 20))
        await simulation.network.quiet()
        break
      case 'link': {
        const { link } = slots[each.instance]!
        if (each.mode === 'up') link.heal()
        else link.mode = each.mode
        break
      }
      case 'kill': {
        const slot = slots[each.instance]!
        if (!slot.alive) break
        simulation.kill(slot, !each.lose)
        if (!each.lose) dead.push(slot.journal)
        break
      }
      case 'restart': {
        const place = slots.findIndex(({ alive }) => !alive)
        if (place >= 0) slots[place] = await simulation.start(dead.shift())
        break
      }
      case 'limit':
        limits[each.holder] = each.micros
        break
    }
    simulation.assertWithinLimits()
  }
  await simulation.network.quiet()
  await simulation.assertLedger()
  await simulation.finish(dead)
  simulation.assertWithinLimits()
  await simulation.assertSettled()
}

for (const [kind, runs] of [
  ['PostgreSQL', 50],
  ['embedded', 12],
] as const)
  describe(`budgets under random schedules on ${kind}`, () => {
    it('are never overspent, and everything is charged once and given back', async () => {
      const database = await emptyLedger(kind === 'PostgreSQL' ? await server.createDatabase() : undefined)
      await fc.assert(
        fc.asyncProperty(
          fc.integer(),
          fc.array(action, { minLength: 20, maxLength: 120, size: 'max' }),
          async (seed, actions) => {
            await database.query('truncate budget_accounts, budget_instances, budget_leases, budget_charges')
            await play(database, seed, actions)
          },
        ),
        { numRuns: Number(process.env['BUDGET_RUNS'] ?? runs) },
      )
    })
  })

describe('a hundred instances', () => {
  it('share budgets through partitions and kills', async () => {
    const database = await emptyLedger(await server.createDatabase())
    const simulation = new Simulation(database, 20_301)
    const { random, clock } = simulation
    const live: Instance[] = []
    for (let count = 0; count < 100; count++) live.push(await simulation.start())
    const dead: ForgetfulJournal[] = []
    const startMs = clock.now()
    const gateway = 3_000_000
    let passed = 0
    const pick = (): Instance => live[Math.floor(random() * live.length)]!
    const one = async (): Promise<void> => {
      const window = Math.floor((clock.now() - startMs) / 120_000)
      const terms = [
        termsOf(`key ${Math.floor(random() * 30)}`, 150_000, { startsAtMs: window }),
        termsOf(`team ${Math.floor(random() * 5)}`, 900_000, { startsAtMs: window }),
        termsOf('gateway', gateway),
      ]
      const share = random() < 0.01 ? 1.5 : random()
      const call = await simulation.begin(pick(), terms, {
        worstMicros: 500 + Math.floor(random() * 4000),
        leastMicros: 300,
        share,
      })
      if (!call) return
      passed++
      clock.after(random() * 8000, () => void simulation.end(call))
    }
    for (let step = 0; step < 240; step++) {
      for (let calls = 0; calls < 30; calls++) void one()
      const fate = random()
      if (fate < 0.15) pick().link.mode = (['down', 'hung', 'mute'] as const)[Math.floor(random() * 3)]!
      else if (fate < 0.45) pick().link.heal()
      else if (fate < 0.5 && live.length > 80) {
        const [victim] = live.splice(Math.floor(random() * live.length), 1)
        const keep = random() < 0.8
        simulation.kill(victim!, keep)
        if (keep) dead.push(victim!.journal)
      } else if (fate < 0.54 && dead.length > 0) live.push(await simulation.start(dead.shift()))
      await simulation.advance(1000, 500)
      simulation.assertWithinLimits()
      if (step % 40 === 0) await simulation.assertLedger()
    }
    await simulation.finish(dead)
    simulation.assertWithinLimits()
    await simulation.assertSettled()
    assert.ok(passed > 1500, `only ${passed} calls passed`)
  })
})
