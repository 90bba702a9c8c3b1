import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { failedWith, healthGateway, held, target, turn, until } from './target-health-gateway.ts'

const limit = (concurrent: number, more: JsonObject = {}): JsonObject => ({
  limits: { fake: { concurrent, queue: 2, queue_timeout_ms: 500, ...more } },
})

describe('a full target', () => {
  it('is passed over where there is another', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: limit(1), fake: script })
    const first = site.gateway.send({ model: 'both' })
    await until(() => open.length === 1)
    const second = await site.gateway.send({ model: 'both' })
    assert.equal(second.status, 200)
    assert.equal(site.backup.calls.length, 1)
    open[0]!.finish()
    assert.equal((await first).status, 200)
    assert.equal(site.health.inFlight(target('fake/a')), 0)
  })

  it('is waited for where the other is held back', async () => {
    const { script, open } = held()
    await using site = await healthGateway({
      options: { ...limit(1), breaker: { failures: 1 } },
      fake: script,
      backup: () => {
        throw failedWith(500)
      },
    })
    await site.statuses(1, 'backup/b')
    const calls = [1, 2].map(() => site.gateway.send({ model: 'both' }))
    await until(() => open.length === 1)
    for (let turns = 0; turns < 20; turns++) await turn()
    assert.equal(open.length, 1)
    open[0]!.finish()
    await until(() => open.length === 2)
    open[1]!.finish()
    assert.deepEqual(
      (await Promise.all(calls)).map(({ status }) => status),
      [200, 200],
    )
  })

  it('is waited for in order, by so many, and for so long', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: limit(1), fake: script })
    const ask = (user: string) => site.gateway.send({ model: 'fake/a', user })
    const [first, second, third] = [ask('1'), ask('2'), ask('3')]
    await until(() => open.length === 1)
    const fourth = await ask('4')
    assert.equal(fourth.status, 503)
    assert.deepEqual((fourth.body['error'] as JsonObject)['details'], {
      provider: 'fake',
      reason: 'concurrency',
      retry_after_secs: 1,
    })
    open[0]!.finish()
    assert.equal((await first).status, 200)
    await until(() => open.length === 2)
    assert.equal(open[1]!.call.request.user, '2')
    await site.gateway.clock.advance(500)
    assert.equal((await third).status, 503)
    open[1]!.finish()
    assert.equal((await second).status, 200)
    assert.deepEqual(
      await (async () => {
        const next = ask('5')
        await until(() => open.length === 3)
        open[2]!.finish()
        return (await next).status
      })(),
      200,
    )
  })

  it('is left by a client that does not wait, whose place the next one takes', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: limit(1), fake: script })
    const first = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 1)
    const controller = new AbortController()
    const second = site.gateway.send({ model: 'fake/a' }, { signal: controller.signal })
    const third = site.gateway.send({ model: 'fake/a' })
    for (let turns = 0; turns < 20; turns++) await turn()
    controller.abort()
    assert.equal((await second).outcome.status, 'aborted')
    open[0]!.finish()
    await first
    await until(() => open.length === 2)
    open[1]!.finish()
    assert.equal((await third).status, 200)
  })

  it('is so until a stream has ended, and again free when it is cut', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: limit(1, { queue: 0 }), fake: script })
    const { records } = await site.gateway.stream({ model: 'fake/a' })
    await records.next()
    assert.deepEqual(await site.statuses(1), [503])
    open[0]!.cut()
    for await (const _ of records) continue
    const next = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 2)
    open[1]!.finish()
    assert.equal((await next).status, 200)
  })

  it('is not called by those who waited if its breaker has opened meanwhile', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: { ...limit(1), breaker: { failures: 1 } }, fake: script })
    const calls = [1, 2].map(() => site.gateway.send({ model: 'fake/a' }))
    await until(() => open.length === 1)
    for (let turns = 0; turns < 20; turns++) await turn()
    open[0]!.cut()
    assert.deepEqual(
      (await Promise.all(calls)).map(({ status }) => status),
      [502, 503],
    )
    assert.equal(open.length, 1)
  })

  it('measures no waiting', async () => {
    const { script, open } = held()
    await using site = await healthGateway({ options: limit(1, { queue_timeout_ms: 5000 }), fake: script })
    const first = site.gateway.send({ model: 'fake/a' })
    const second = site.gateway.send({ model: 'fake/a' })
    await until(() => open.length === 1)
    await site.gateway.clock.advance(3000)
    open[0]!.finish()
    await first
    await until(() => open.length === 2)
    await site.gateway.clock.advance(100)
    open[1]!.finish()
    await second
    const { p50, p99 } = site.health.latencyMs(target('fake/a'))!
    assert.ok(p50 < 110 && p99 > 2700 && p99 < 3300, `${p50} ${p99}`)
  })
})

describe('limits of a model and of its provider', () => {
  it('both hold, and one that waits for the model takes no slot of the provider', async () => {
    const { script, open } = held()
    await using site = await healthGateway({
      options: { limits: { 'fake/a*': { concurrent: 1 }, fake: { concurrent: 2 } } },
      fake: script,
    })
    const calls = ['fake/a', 'fake/ab', 'fake/c'].map((model) => site.gateway.send({ model }))
    await until(() => open.length === 2)
    assert.deepEqual(open.map(({ call }) => call.target.model).toSorted(), ['a', 'c'])
    for (const answer of open) answer.finish()
    await until(() => open.length === 3)
    open[2]!.finish()
    assert.deepEqual(
      (await Promise.all(calls)).map(({ status }) => status),
      [200, 200, 200],
    )
  })
})

it('no slot is lost, however calls end', { timeout: 60_000 }, async () => {
  const ending = fc.constantFrom('finish', 'cut', 'abort', 'fail', 'stream cut', 'stream abort')
  await fc.assert(
    fc.asyncProperty(fc.array(ending, { minLength: 1, maxLength: 12 }), async (endings) => {
      const { script, open } = held()
      let number = 0
      await using site = await healthGateway({
        options: { limits: { fake: { concurrent: 2, queue: 3, queue_timeout_ms: 50 } }, breaker: { enabled: false } },
        fake: (call, count) => {
          if (endings[number++ % endings.length] === 'fail') throw failedWith(500)
          return script(call, count)
        },
      })
      const controllers = endings.map(() => new AbortController())
      const calls = endings.map(async (way, index) => {
        const { signal } = controllers[index]!
        if (!way.startsWith('stream')) return site.gateway.send({ model: 'fake/a' }, { signal })
        const { records, outcome } = await site.gateway.stream({ model: 'fake/a' }, { signal })
        for await (const _ of records) continue
        return outcome
      })
      for (let turns = 0; turns < 10; turns++) await turn()
      for (const [index, way] of endings.entries()) {
        if (way.endsWith('abort')) controllers[index]!.abort()
        await site.gateway.clock.advance(10)
        for (const [place, answer] of open.entries()) {
          assert.ok(site.health.inFlight(target('fake/a')) <= 2)
          if (place % 2 === 0) answer.finish()
          else answer.cut()
        }
      }
      await site.gateway.clock.advance(100)
      for (const answer of open) answer.finish()
      await Promise.all(calls)
      await turn()
      assert.equal(site.health.inFlight(target('fake/a')), 0)
      const after = open.length
      number = endings.indexOf('finish')
      if (number < 0) return
      const both = [1, 2].map(() => site.gateway.send({ model: 'fake/a' }))
      endings.fill('finish')
      await until(() => open.length === after + 2)
      for (const answer of open) answer.finish()
      assert.deepEqual(
        (await Promise.all(both)).map(({ status }) => status),
        [200, 200],
      )
    }),
    { numRuns: 40 },
  )
})
