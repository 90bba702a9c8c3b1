import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { dayDemand, Fleet, minuteDemand, slotDemand } from './rate-limit-fleet.ts'
import type { Instance, Passed } from './rate-limit-fleet.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
let server: PostgresServer
let database: OpenedDatabase

before(async () => {
  server = await startPostgres()
  database = await openDatabase({ url: await server.createDatabase(), dataDirectory: '', logger })
})

after(async () => {
  await database.close()
  await server.stop()
})

type Step =
  | { readonly do: 'request'; readonly at: number; readonly count: number; readonly units: number }
  | { readonly do: 'finish' | 'refuse'; readonly which: number; readonly share: number }
  | { readonly do: 'pass'; readonly ms: number }

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('request' as const),
        at: fc.nat(2),
        count: fc.integer({ min: 1, max: 6 }),
        units: fc.integer({ min: 1, max: 8 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom('finish' as const, 'refuse' as const),
        which: fc.nat(50),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 4000 }) }) },
  ),
  { minLength: 5, maxLength: 40 },
) as fc.Arbitrary<Step[]>

describe('rate-limit: random schedules', () => {
  it('never pass the limit, and leave nothing behind', async () => {
    const limit = 25
    const slots = 7
    await fc.assert(
      fc.asyncProperty(steps, async (schedule) => {
        const fleet = await Fleet.on(database, 3)
        const open: Passed[] = []
        const inUse = (): number => open.filter((passed) => passed.open).length
        const underWay: Promise<void>[] = []
        const enter = async (at: number, units: number): Promise<void> => {
          const result = await fleet.request(fleet.instances[at]!, [dayDemand(limit), slotDemand(slots)], units)
          if (!('open' in result)) return
          open.push(result)
          assert(inUse() <= slots, `${inUse()} requests in ${slots} slots`)
        }
        for (const step of schedule) {
          if (step.do === 'request')
            for (let count = 0; count < step.count; count++) underWay.push(enter(step.at, step.units))
          else if (step.do === 'pass') await fleet.pass(step.ms)
          else {
            const passed = open[step.which % Math.max(1, open.length)]
            if (passed && step.do === 'refuse') fleet.refuse(passed)
            else if (passed) fleet.finish(passed, Math.floor(passed.units * step.share))
          }
        }
        await Promise.all(underWay)
        fleet.assertWithin(limit, 86_400_000)
        for (const passed of open) fleet.finish(passed, passed.units)
        await fleet.pass(5000)
        assert.equal(
          await fleet.counted(),
          fleet.passed.reduce((sum, { units }) => sum + units, 0),
          'counted',
        )
        assert.equal(await fleet.slotsHeld(), 0, 'slots')
        const left = limit - (await fleet.counted())
        assert.equal(await fleet.count(fleet.instances[0]!, [dayDemand(limit)], limit), left, 'what is left can be had')
        await fleet.close()
        assert.equal(fleet.clock.pending, 0, 'timers')
      }),
      { numRuns: 60 },
    )
  })

  it('count what was used beyond the reservation', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 10 }), fc.nat(30)), { maxLength: 20 }),
        async (calls) => {
          const fleet = await Fleet.on(database, 3)
          let excess = 0
          for (const [at, reserved, used] of calls) {
            const passed = await fleet.request(fleet.instances[at]!, [dayDemand(40)], reserved)
            const before = fleet.passed.filter((each) => each !== passed).reduce((sum, { units }) => sum + units, 0)
            if (!('open' in passed)) continue
            // What others have in stock was granted before anybody knew of the excess.
            assert(before + reserved <= 40 + excess, `${reserved} were granted on top of ${before}`)
            excess += Math.max(0, used - reserved)
            fleet.finish(passed, used)
            await fleet.pass(500)
          }
          await fleet.pass(5000)
          assert.equal(
            await fleet.counted(),
            fleet.passed.reduce((sum, { units }) => sum + units, 0),
          )
          await fleet.close()
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('rate-limit: 24 instances that are cut off and killed', () => {
  for (const seed of [1, 2, 3])
    it(`never pass the limit (${seed})`, async () => {
      const random = generator(seed)
      const below = (limit: number): number => Math.floor(random() * limit)
      const limit = 120
      const fleet = await Fleet.on(database, 24)
      const held: (() => void)[] = []
      const pick = (): Instance => {
        const alive = fleet.instances.filter((instance) => instance.alive)
        return alive[below(alive.length)]!
      }
      const underWay: Promise<unknown>[] = []
      for (let step = 0; step < 900; step++) {
        const roll = random()
        if (roll < 0.6) {
          const instance = pick()
          for (let count = below(12); count >= 0; count--)
            underWay.push(
              fleet.request(instance, [minuteDemand(limit), minuteDemand(limit * 2, 'team:b')], 1 + below(3)),
            )
        } else if (roll < 0.7) {
          const open = fleet.passed.filter((passed) => passed.open)
          const passed = open[below(open.length)]
          if (passed) fleet.refuse(passed)
        } else if (roll < 0.76) {
          const { wire } = pick()
          wire.state = (['whole', 'cut', 'deaf'] as const)[below(3)]!
        } else if (roll < 0.8) for (const { wire } of fleet.instances.filter(({ alive }) => alive)) wire.state = 'whole'
        else if (roll < 0.83) {
          fleet.kill(pick())
          fleet.add()
        } else if (roll < 0.87) {
          const { wire } = pick()
          if (wire.held) continue
          const gate = Promise.withResolvers<void>()
          wire.held = gate.promise
          held.push(() => {
            wire.held = undefined
            gate.resolve()
          })
        } else if (roll < 0.92) for (const release of held.splice(0)) release()
        else await fleet.pass(below(7000))
      }
      for (const release of held) release()
      for (const { wire, alive } of fleet.instances) if (alive) wire.state = 'whole'
      await fleet.pass(70_000)
      await Promise.all(underWay)
      fleet.assertWithin(limit, 60_000)
      const through = fleet.passed.length
      assert(through > 2 * limit, `only ${through} were let through: the simulation says little`)
      assert.equal(await fleet.count(pick(), [minuteDemand(limit)], limit * 2), limit, 'all is available again')
      await fleet.close()
    })
})

/** Mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
