/** Many calls at once on the same accounts: none may be told that there is too little while there is enough. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { closeLedgers, emptyLedger, randomFrom, Simulation, termsOf } from './budget-simulation.ts'

let server: PostgresServer

before(async () => {
  server = await startPostgres()
})

after(async () => {
  await closeLedgers()
  await server.stop()
})

describe('a budget that many calls ask for at once', () => {
  it('refuses and clamps nothing while there is plenty', async () => {
    const simulation = new Simulation(await emptyLedger(await server.createDatabase()), 1)
    const instance = await simulation.start()
    const random = randomFrom(1)
    const organization = termsOf('organization', 1_000_000_000_000)
    const projects = ['one', 'two'].map((name) => termsOf(`project-${name}`, 1_000_000_000_000))
    const keys = ['a', 'b', 'c', 'd'].map((name) => termsOf(`key-${name}`, 1_000_000_000_000))
    let refused = 0
    let clamped = 0
    const one = async (index: number): Promise<void> => {
      const worstMicros = 100 + Math.floor(random() ** 3 * 100_000)
      const terms = [keys[index % 4]!, projects[index % 2]!, organization]
      const call = await simulation.begin(instance, terms, { worstMicros, leastMicros: 10, share: 0.01 })
      if (!call) refused++
      else {
        if (call.hold.reservedMicros < worstMicros) clamped++
        for (let turns = Math.floor(random() * 5); turns > 0; turns--) await turn()
        await simulation.end(call)
      }
    }
    const calls: Promise<void>[] = []
    for (let index = 0; index < 2000; index++) {
      calls.push(one(index))
      if (random() < 0.2) await turn()
    }
    await Promise.all(calls)
    assert.deepEqual({ refused, clamped }, { refused: 0, clamped: 0 })
    await simulation.finish([])
    await simulation.assertSettled()
  })

  it('lets a call have the last money, though three instances with a part each go on asking', async () => {
    const simulation = new Simulation(await emptyLedger(await server.createDatabase()), 1)
    const instances = [await simulation.start()]
    for (let started = 1; started < 3; started++) {
      await simulation.advance(330, 330)
      instances.push(await simulation.start())
    }
    const terms = termsOf('key', 3000)
    const plan = { worstMicros: 1000, share: 0.3 }
    const first = await Promise.all(instances.map((instance) => simulation.begin(instance, [terms], plan)))
    for (const call of first) await simulation.end(call!)
    // 2,100 are left. Each instance has 700 of them, and others have tried it already.
    let passed = 0
    for (let atMs = 0; atMs < 10_000 && passed === 0; atMs += 20) {
      await simulation.advance(20, 20)
      for (const instance of instances) if (await simulation.begin(instance, [terms], plan)) passed++
    }
    assert.ok(passed > 0, 'nothing passes in ten seconds')
    await simulation.finish([])
    await simulation.assertSettled()
  })
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
