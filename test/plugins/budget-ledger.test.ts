import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { LeaseTable } from '../../plugins/budget/lease-table.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { closeLedgers, emptyLedger, ForgetfulJournal, Simulation, termsOf } from './budget-simulation.ts'

let server: PostgresServer
const dayMs = 86_400_000

before(async () => {
  server = await startPostgres()
})

after(async () => {
  await closeLedgers()
  await server.stop()
})

async function connect(kind: 'embedded' | 'PostgreSQL'): Promise<OpenedDatabase> {
  return emptyLedger(kind === 'PostgreSQL' ? await server.createDatabase() : undefined)
}

async function accountRow(database: OpenedDatabase, id: string): Promise<Record<string, number>> {
  const [row] = await database.query<Record<string, string>>(
    'select spent_micros, leased_micros from budget_accounts where id = $1',
    [id],
  )
  return { spent: Number(row?.['spent_micros']), leased: Number(row?.['leased_micros']) }
}

for (const kind of ['PostgreSQL', 'embedded'] as const)
  describe(`the budget ledger on ${kind}`, () => {
    it('charges what a call cost and gives everything else back', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 1)
      const instance = await simulation.start()
      const terms = termsOf('key', 1_000_000)
      const call = await simulation.begin(instance, [terms], { worstMicros: 1000, share: 0.25 })
      assert.ok(call)
      await simulation.end(call)
      assert.equal(instance.engine.settle(call.hold, 1000), undefined, 'once')
      await simulation.finish([])
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 250, leased: 0 })
      await simulation.assertSettled()
    })

    it('lets about K of 10 K concurrent calls pass, and never overspends', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 2)
      const instances = [await simulation.start(), await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 100 * 1000)
      const calls = await Promise.all(
        Array.from({ length: 1000 }, (_, index) =>
          simulation.begin(instances[index % 3]!, [terms], { worstMicros: 1000, share: 1 }),
        ),
      )
      simulation.assertWithinLimits()
      const passed = calls.filter((call) => call !== undefined)
      assert.ok(passed.length <= 100 && passed.length >= 95, `${passed.length} passed`)
      await simulation.assertLedger()
      await simulation.finish([])
      await simulation.assertSettled()
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: passed.length * 1000, leased: 0 })
    })

    it('charges calls of a dead process at their estimate, and those it had settled at their cost', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 3)
      simulation.comesBack = 0
      const instance = await simulation.start()
      const terms = termsOf('key', 1_000_000)
      const settled = await simulation.begin(instance, [terms], { worstMicros: 1000, share: 0.1 })
      const free = await simulation.begin(instance, [terms], { worstMicros: 1000, share: 0 })
      await simulation.begin(instance, [terms], { worstMicros: 500, share: 0.1, turns: 2 })
      await simulation.end(settled!)
      await simulation.end(free!)
      simulation.kill(instance, true)
      assert.ok((await accountRow(database, terms.key.id))['leased']! > 0, 'its lease is still out')
      await simulation.start(instance.journal)
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 1100, leased: 0 })
      const [row] = await database.query<{ estimated: string }>(
        'select estimated from budget_charges where amount_micros = 1000',
      )
      assert.equal(row?.estimated, 'crash')
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('counts the lease of a lost instance as spent, and gives the rest back when its journal returns', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 4)
      const [lost, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(lost, [terms], { worstMicros: 4000, share: 0.1 }))!)
      await simulation.begin(lost, [terms], { worstMicros: 4000, share: 0.1 })
      simulation.kill(lost, true)
      await simulation.advance(100_000, 5000)
      const before = await accountRow(database, terms.key.id)
      assert.equal(before['leased'], 0)
      assert.ok(before['spent']! >= 4400, 'at least what it had spent and reserved')
      assert.equal(await simulation.begin(other, [terms], { worstMicros: 9000, share: 1 }), undefined)
      await simulation.assertLedger()
      await simulation.start(lost.journal)
      await simulation.advance(3000)
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 4400, leased: 0 })
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('lets an instance that others believe lost spend what it holds, and counts it once', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 5)
      const [cut, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      const long = await simulation.begin(cut, [terms], { worstMicros: 3000, share: 1 })
      assert.ok(long)
      cut.link.mode = 'down'
      await simulation.advance(100_000, 5000)
      assert.equal((await accountRow(database, terms.key.id))['leased'], 0, 'its lease has expired')
      await simulation.end(long)
      const rest: boolean[] = []
      for (let calls = 0; calls < 20; calls++) {
        const call = await simulation.begin(other, [terms], { worstMicros: 1000, share: 1 })
        rest.push(call !== undefined)
        if (call) await simulation.end(call)
        simulation.assertWithinLimits()
      }
      assert.ok(rest.filter(Boolean).length <= 7)
      cut.link.heal()
      await simulation.advance(10_000)
      await simulation.assertLedger()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('goes on within its leases while the database is away, and refuses what it cannot know', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 6)
      const instance = await simulation.start()
      const [warm, cold] = [termsOf('warm', 1_000_000), termsOf('cold', 1_000_000)]
      for (let calls = 0; calls < 5; calls++)
        await simulation.end((await simulation.begin(instance, [warm], { worstMicros: 1000, share: 0.1 }))!)
      instance.link.mode = 'down'
      await simulation.advance(3000)
      const call = await simulation.begin(instance, [warm], { worstMicros: 900, share: 0.5 })
      assert.ok(call, 'within the lease')
      await simulation.end(call)
      const refused = simulation.begin(instance, [cold], { worstMicros: 1000, share: 1 })
      await simulation.advance(3000)
      assert.equal(await refused, undefined)
      await simulation.advance(901_000, 20_000)
      assert.equal(await simulation.begin(instance, [warm], { worstMicros: 1, share: 1 }), undefined, 'away too long')
      instance.link.heal()
      await simulation.advance(25_000)
      assert.ok(await simulation.begin(instance, [warm], { worstMicros: 1000, share: 1 }))
      await simulation.finish([])
      await simulation.assertSettled()
      assert.equal((await accountRow(database, warm.key.id))['spent'], 5 * 100 + 450 + 1000)
    })

    it('charges in full what a provider bills beyond the reservation, and refuses from then on', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 7)
      const instance = await simulation.start()
      const terms = termsOf('key', 10_000)
      const calls = [
        await simulation.begin(instance, [terms], { worstMicros: 5000, share: 3 }),
        await simulation.begin(instance, [terms], { worstMicros: 5000, share: 1 }),
      ]
      for (const call of calls) await simulation.end(call!)
      assert.equal(await simulation.begin(instance, [terms], { worstMicros: 1, share: 1 }), undefined)
      await simulation.advance(500)
      assert.equal((await accountRow(database, terms.key.id))['spent'], 20_000)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('applies a limit that was lowered or raised to the next call', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 8)
      const instance = await simulation.start()
      const high = termsOf('key', 100_000)
      for (let calls = 0; calls < 5; calls++)
        await simulation.end((await simulation.begin(instance, [high], { worstMicros: 2000, share: 1 }))!)
      const low = termsOf('key', 11_000)
      assert.equal(await simulation.begin(instance, [low], { worstMicros: 2000, share: 1 }), undefined)
      assert.ok(await simulation.begin(instance, [low], { worstMicros: 1000, share: 1 }))
      assert.equal(await simulation.begin(instance, [low], { worstMicros: 1, share: 1 }), undefined)
      assert.ok(await simulation.begin(instance, [high], { worstMicros: 50_000, share: 1 }))
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('spends nothing of a limit of nothing', async () => {
      const simulation = new Simulation(await connect(kind), 9)
      const instance = await simulation.start()
      assert.equal(await simulation.begin(instance, [termsOf('key', 0)], { worstMicros: 0, share: 1 }), undefined)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('needs no answer of the database for calls in a steady state', async () => {
      const simulation = new Simulation(await connect(kind), 10)
      const instance = await simulation.start()
      const terms = [termsOf('key', 1e9), termsOf('team', 1e9), termsOf('gateway', 1e9)]
      let settled = 0
      const burst = (): Promise<unknown> =>
        Promise.all(
          Array.from({ length: 20 }, async () => {
            const call = await simulation.begin(instance, terms, { worstMicros: 100, share: 0.5 })
            assert.ok(call)
            await simulation.end(call)
            settled++
          }),
        )
      for (let bursts = 0; bursts < 20; bursts++) {
        await burst()
        await simulation.advance(250)
      }
      instance.link.statements = []
      instance.link.mode = 'hung'
      settled = 0
      for (let bursts = 0; bursts < 4; bursts++) {
        await burst()
        await simulation.clock.advance(100)
      }
      assert.equal(settled, 80)
      assert.ok(instance.link.statements.length <= 1, 'one statement at a time')
      instance.link.heal()
      await simulation.network.quiet()
      instance.link.statements = []
      for (let bursts = 0; bursts < 20; bursts++) {
        await burst()
        await simulation.advance(250)
      }
      const count = instance.link.statements.filter((sql) => sql.includes('budget_sync')).length
      assert.ok(count <= 30, `${count} statements for 400 calls in 5 seconds`)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('gives idle leases back and forgets their accounts', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 11)
      const instance = await simulation.start()
      const terms = termsOf('key', 1e9)
      await simulation.end((await simulation.begin(instance, [terms], { worstMicros: 1000, share: 1 }))!)
      await simulation.advance(8000)
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 1000, leased: 0 })
      assert.equal(instance.engine.accounts.size, 0)
      assert.ok(await simulation.begin(instance, [terms], { worstMicros: 1000, share: 1 }), 'and comes back')
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('gives back once what may have been given back already', async () => {
      const simulation = new Simulation(await connect(kind), 14)
      const [cut, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(cut, [terms], { worstMicros: 5000, share: 0 }))!)
      assert.ok(await simulation.begin(cut, [terms], { worstMicros: 1000, share: 1 }))
      await simulation.advance(500)
      cut.link.mode = 'mute'
      await simulation.advance(6000)
      cut.link.heal()
      await simulation.advance(3000)
      let passed = 0
      for (let calls = 0; calls < 12; calls++)
        if (await simulation.begin(other, [terms], { worstMicros: 1000, share: 1 })) passed++
      simulation.assertWithinLimits()
      assert.equal(passed, 9, 'one is held by the other instance')
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('ignores a statement that is carried out after its successor', async () => {
      const simulation = new Simulation(await connect(kind), 15)
      const [slow, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(slow, [terms], { worstMicros: 5000, share: 0 }))!)
      assert.ok(await simulation.begin(slow, [terms], { worstMicros: 1000, share: 1 }))
      await simulation.advance(500)
      slow.link.mode = 'hung'
      await simulation.advance(6000)
      assert.equal(slow.link.parked.length, 1, 'it was about to give back what is idle')
      slow.link.mode = 'up'
      await simulation.advance(11_000)
      assert.ok(await simulation.begin(slow, [terms], { worstMicros: 4000, share: 1 }))
      slow.link.heal()
      await simulation.network.quiet()
      let passed = 0
      for (let calls = 0; calls < 12; calls++)
        if (await simulation.begin(other, [terms], { worstMicros: 1000, share: 1 })) passed++
      simulation.assertWithinLimits()
      assert.equal(passed, 5)
      await simulation.assertLedger()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('ignores the late closing of a lease that is in use again', async () => {
      const simulation = new Simulation(await connect(kind), 17)
      const [slow, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(slow, [terms], { worstMicros: 5000, share: 0 }))!)
      await simulation.advance(500)
      slow.link.mode = 'hung'
      await simulation.advance(28_000)
      assert.ok(slow.link.parked.length > 1, 'it has tried again')
      slow.link.mode = 'up'
      await simulation.advance(15_000)
      assert.ok(await simulation.begin(slow, [terms], { worstMicros: 5000, share: 1 }))
      slow.link.heal()
      await simulation.network.quiet()
      let passed = 0
      for (let calls = 0; calls < 12; calls++)
        if (await simulation.begin(other, [terms], { worstMicros: 1000, share: 1 })) passed++
      simulation.assertWithinLimits()
      assert.equal(passed, 5)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('does not count as free what was charged while a statement was under way', async () => {
      const simulation = new Simulation(await connect(kind), 18)
      const [slow, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 15_000)
      assert.ok(await simulation.begin(other, [terms], { worstMicros: 5000, share: 1 }))
      const first = await simulation.begin(slow, [terms], { worstMicros: 6000, share: 1 })
      const second = await simulation.begin(slow, [terms], { worstMicros: 4000, share: 1 })
      slow.link.mode = 'hung'
      await simulation.end(first!)
      await simulation.advance(150, 150)
      assert.equal(slow.link.parked.length, 1)
      await simulation.end(second!)
      slow.link.heal()
      await simulation.network.quiet()
      assert.equal(await simulation.begin(slow, [terms], { worstMicros: 1000, share: 1 }), undefined)
      simulation.assertWithinLimits()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('gives back the idle lease of a lost instance that had nothing left to charge', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 19)
      simulation.comesBack = 0
      const [lost] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(lost, [terms], { worstMicros: 4000, share: 0.5 }))!)
      await simulation.advance(1000)
      simulation.kill(lost, true)
      await simulation.advance(100_000, 5000)
      assert.ok((await accountRow(database, terms.key.id))['spent']! > 2000, 'it counts as spent')
      await simulation.start(lost.journal)
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 2000, leased: 0 })
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('lets nothing be spent of a lease that is being closed', async () => {
      const simulation = new Simulation(await connect(kind), 20)
      const [slow, other] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      await simulation.end((await simulation.begin(slow, [terms], { worstMicros: 3000, share: 0 }))!)
      await simulation.advance(500)
      slow.link.mode = 'hung'
      await simulation.advance(6000)
      assert.equal(slow.link.parked.length, 1)
      const begun = simulation.begin(slow, [terms], { worstMicros: 3000, share: 1 })
      // It is closed, and the next statement hangs.
      for (const resume of slow.link.parked.splice(0)) resume()
      await simulation.network.quiet()
      for (let calls = 0; calls < 12; calls++) await simulation.begin(other, [terms], { worstMicros: 1000, share: 1 })
      simulation.assertWithinLimits()
      slow.link.heal()
      await simulation.advance(3000)
      await begun
      simulation.assertWithinLimits()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('ignores what a dead process has sent once its account is closed', async () => {
      const simulation = new Simulation(await connect(kind), 21)
      const [dying] = [await simulation.start(), await simulation.start()]
      const terms = termsOf('key', 10_000)
      dying.link.mode = 'hung'
      void simulation.begin(dying, [terms], { worstMicros: 3000, share: 1 })
      await simulation.network.quiet()
      const [late] = dying.link.parked.splice(0)
      simulation.kill(dying, true)
      await simulation.start(dying.journal)
      late!()
      await simulation.network.quiet()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('forgets all leases when it begins again', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 22)
      const [closed, other] = [await simulation.start(), await simulation.start()]
      const [busy, idle] = [termsOf('busy', 10_000), termsOf('idle', 10_000)]
      await simulation.end((await simulation.begin(closed, [idle], { worstMicros: 4000, share: 0 }))!)
      await simulation.advance(500)
      await database.query('select budget_close(instance_id, now()) from budget_leases')
      assert.ok(await simulation.begin(closed, [busy], { worstMicros: 1000, share: 1 }))
      for (let calls = 0; calls < 12; calls++) await simulation.begin(other, [idle], { worstMicros: 1000, share: 1 })
      assert.equal(await simulation.begin(closed, [idle], { worstMicros: 4000, share: 1 }), undefined)
      simulation.assertWithinLimits()
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('takes nothing for an exchange that has ended while it waited', async () => {
      const simulation = new Simulation(await connect(kind), 23)
      const instance = await simulation.start()
      const terms = termsOf('key', 10_000)
      instance.link.mode = 'hung'
      const hold = instance.engine.hold(crypto.randomUUID(), [terms])
      const reserving = instance.engine.reserve(hold, { worstMicros: 1000, fit: () => undefined })
      await simulation.network.quiet()
      await instance.engine.settle(hold, 0)
      instance.link.heal()
      await assert.rejects(reserving)
      assert.equal(instance.engine.accounts.get(terms.key.id)?.reservedMicros, 0)
      simulation.highest.set(terms.key.id, 10_000)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('asks again at once when a limit was raised while a call waited', async () => {
      const simulation = new Simulation(await connect(kind), 24)
      const instance = await simulation.start()
      const low = { worstMicros: 1000, share: 1 }
      instance.link.mode = 'hung'
      const waiting = simulation.begin(instance, [termsOf('key', 500)], low)
      await simulation.network.quiet()
      instance.engine.find(termsOf('key', 5000))
      instance.link.heal()
      simulation.highest.set(termsOf('key', 5000).key.id, 5000)
      assert.ok(await waiting)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('takes from all accounts of a call or from none', async () => {
      const simulation = new Simulation(await connect(kind), 25)
      const instance = await simulation.start()
      const [wide, narrow] = [termsOf('wide', 100_000), termsOf('narrow', 5000)]
      for (const terms of [
        [wide, narrow],
        [narrow, wide],
      ]) {
        const calls = await Promise.all(
          Array.from({ length: 20 }, () => simulation.begin(instance, terms, { worstMicros: 1000, share: 0 })),
        )
        simulation.assertWithinLimits()
        const passed = calls.filter((call) => call !== undefined)
        assert.equal(passed.length, 5)
        assert.equal(instance.engine.accounts.get(wide.key.id)!.reservedMicros, 5000)
        for (const call of passed) await simulation.end(call)
        await simulation.advance(1500)
      }
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('does not ask the database for each call that it refuses', async () => {
      const simulation = new Simulation(await connect(kind), 26)
      const instance = await simulation.start()
      const terms = termsOf('key', 10_000)
      assert.ok(await simulation.begin(instance, [terms], { worstMicros: 9500, share: 1 }))
      assert.equal(await simulation.begin(instance, [terms], { worstMicros: 1000, share: 1 }), undefined)
      instance.link.statements = []
      for (let calls = 0; calls < 50; calls++)
        assert.equal(await simulation.begin(instance, [terms], { worstMicros: 1000, share: 1 }), undefined)
      assert.deepEqual(instance.link.statements, [])
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('deletes what is old, and nothing that is needed', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 27)
      const instance = await simulation.start()
      const forever = termsOf('total', 10_000)
      const [old, total] = [termsOf('old', 10_000), { ...forever, key: { ...forever.key, endsAtMs: undefined } }]
      await simulation.end((await simulation.begin(instance, [old, total], { worstMicros: 1000, share: 1 }))!)
      await simulation.advance(9000)
      await instance.engine.close()
      const counts = async (): Promise<number[]> => {
        const [row] = await database.query<Record<string, string>>(
          `select (select count(*) from budget_charges) as charges, (select count(*) from budget_leases) as leases,
                  (select count(*) from budget_accounts) as accounts, (select count(*) from budget_instances) as instances`,
        )
        return Object.values(row!).map(Number)
      }
      const table = new LeaseTable(database)
      const now = simulation.clock.now()
      assert.equal(await table.prune(new Date(now), new Date(now - dayMs), new Date(0)), false)
      assert.deepEqual(await counts(), [2, 2, 2, 1])
      const later = now + 40 * dayMs
      await table.prune(new Date(later), new Date(later - 35 * dayMs), new Date(later - 30 * dayMs))
      assert.deepEqual(await counts(), [0, 0, 1, 0])
      assert.deepEqual(await accountRow(database, total.key.id), { spent: 1000, leased: 0 })
    })

    it('does not charge a call that cost nothing, whatever of its journal comes back', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 16)
      const instance = await simulation.start()
      const terms = termsOf('key', 10_000)
      const calls = await Promise.all(
        Array.from({ length: 8 }, () => simulation.begin(instance, [terms], { worstMicros: 1000, share: 0 })),
      )
      for (const call of calls) await simulation.end(call!)
      await simulation.advance(1000)
      simulation.kill(instance, true)
      await simulation.start(instance.journal)
      assert.equal((await accountRow(database, terms.key.id))['spent'], 0)
      await simulation.finish([])
      await simulation.assertSettled()
    })

    it('begins again when somebody has closed it', async () => {
      const database = await connect(kind)
      const simulation = new Simulation(database, 12)
      const instance = await simulation.start()
      const terms = termsOf('key', 10_000)
      const call = await simulation.begin(instance, [terms], { worstMicros: 1000, share: 1 })
      await database.query('select budget_close(id, now()) from budget_instances')
      await simulation.end(call!)
      await simulation.advance(25_000)
      assert.ok(await simulation.begin(instance, [terms], { worstMicros: 8000, share: 1 }))
      await simulation.finish([])
      assert.deepEqual(await accountRow(database, terms.key.id), { spent: 9000, leased: 0 })
      await simulation.assertSettled()
    })
  })

it('an empty journal stays empty when nothing happened', async () => {
  const journal = new ForgetfulJournal()
  const simulation = new Simulation(await connect('PostgreSQL'), 13)
  await simulation.start(journal)
  await simulation.finish([])
  assert.deepEqual(journal.unreleased, [])
})
