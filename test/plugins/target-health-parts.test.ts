/** Properties of the parts: the breaker, the slots, the histogram. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { FakeClock } from '../../core/testing/index.ts'
import { Breaker } from '../../plugins/target-health/breaker.ts'
import type { BreakerSettings, Verdict } from '../../plugins/target-health/breaker.ts'
import { Limits, matches } from '../../plugins/target-health/limits.ts'
import { Pool } from '../../plugins/target-health/pool.ts'
import { mergedPercentiles, RollingHistogram } from '../../plugins/target-health/rolling-histogram.ts'
import { RollingShare } from '../../plugins/target-health/rolling-share.ts'
import { Targets } from '../../plugins/target-health/targets.ts'
import { target, turn } from './target-health-gateway.ts'

const settings: BreakerSettings = {
  enabled: true,
  failures: 3,
  failureRatio: 0.5,
  minimumCalls: 6,
  windowMs: 10_000,
  openMs: 1000,
  maxOpenMs: 8000,
  degradedRatio: 0.2,
}

describe('a breaker, whatever happens', () => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('call' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        index: fc.nat(20),
        verdict: fc.constantFrom<Verdict>('success', 'failure', 'failure', 'failure', 'neutral'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('first event' as const), index: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), waitMs: fc.nat(3000) }) },
  )

  it('has one probe at a time, lets no call through while it is open, and never stays open', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const breaker = new Breaker({ breaker: settings })
        const open: { permit: number; isProbe: boolean; hasBegun: boolean }[] = []
        let nowMs = 0
        let openSinceMs: number | undefined
        for (const step of actions) {
          if (step.kind === 'wait') nowMs += step.waitMs
          else if (step.kind === 'call') {
            if (breaker.waitMs(nowMs) > 0) continue
            const permit = breaker.begin(nowMs)
            const isProbe = breaker.isProbe(permit)
            open.push({ permit, isProbe, hasBegun: false })
            if (openSinceMs !== undefined && breaker.status !== 'closed') assert.ok(isProbe, 'a call beside the probe')
          } else if (open.length > 0) {
            const call = open[step.index % open.length]!
            if (step.kind === 'first event') {
              call.hasBegun = true
              breaker.firstEvent(call.permit, nowMs)
            } else {
              open.splice(step.index % open.length, 1)
              breaker.end(call.permit, step.verdict, call.isProbe, nowMs)
            }
          }
          const probes = open.filter(({ permit, isProbe }) => isProbe && breaker.isProbe(permit))
          assert.ok(probes.length <= 1, 'two probes at once')
          if (breaker.status === 'half_open' && breaker.waitMs(nowMs) > 0) assert.equal(probes.length, 1)
          if (breaker.status === 'open') {
            openSinceMs ??= nowMs
            assert.ok(breaker.waitMs(nowMs) <= settings.maxOpenMs)
          } else if (breaker.status === 'closed') openSinceMs = undefined
        }
        // Nothing is lost: once all calls have ended and its time is over, a call goes through.
        for (const { permit, isProbe } of open) breaker.end(permit, 'neutral', isProbe, nowMs)
        assert.equal(breaker.waitMs(nowMs + settings.maxOpenMs), 0)
      }),
      { numRuns: 2000 },
    )
  })

  it('hears nothing of a call that was let through beside the probe', () => {
    const breaker = new Breaker({ breaker: settings })
    for (let call = 0; call < 3; call++) breaker.end(breaker.begin(0), 'failure', false, 0)
    const probe = breaker.begin(1000)
    const forced = breaker.begin(1000)
    assert.deepEqual([breaker.isProbe(probe), breaker.isProbe(forced)], [true, false])
    breaker.firstEvent(forced, 1100)
    breaker.end(forced, 'success', false, 1200)
    assert.equal(breaker.status, 'half_open')
    breaker.end(probe, 'success', true, 1300)
    assert.equal(breaker.status, 'closed')
  })

  it('counts only what is in the window', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ waitMs: fc.nat(4000), isFailure: fc.boolean() }), { maxLength: 60 }),
        (calls) => {
          const breaker = new Breaker({ breaker: { ...settings, enabled: false } })
          const seen: { atMs: number; isFailure: boolean }[] = []
          let nowMs = 0
          for (const { waitMs, isFailure } of calls) {
            nowMs += waitMs
            breaker.end(breaker.begin(nowMs), isFailure ? 'failure' : 'success', false, nowMs)
            seen.push({ atMs: nowMs, isFailure })
            const { calls: counted, failures } = breaker.counts(nowMs)
            const surely = seen.filter(({ atMs }) => atMs > nowMs - settings.windowMs * 0.9)
            const perhaps = seen.filter(({ atMs }) => atMs > nowMs - settings.windowMs)
            assert.ok(counted >= surely.length && counted <= perhaps.length)
            assert.ok(failures >= surely.filter((call) => call.isFailure).length)
            assert.ok(failures <= perhaps.filter((call) => call.isFailure).length)
          }
        },
      ),
    )
  })
})

describe('a pool of slots, whatever happens', () => {
  it('never gives out more than there are, serves in order, and loses none', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant('ask' as const) },
      { weight: 4, arbitrary: fc.constant('finish' as const) },
      { weight: 2, arbitrary: fc.constant('abort' as const) },
      { weight: 2, arbitrary: fc.constant('end' as const) },
      { weight: 2, arbitrary: fc.constant('wait' as const) },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(step, fc.nat(30)), { maxLength: 80 }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(4),
        async (steps, concurrent, queue) => {
          const clock = new FakeClock()
          const pool = new Pool('fake', { concurrent, queue, queueTimeoutMs: 100 })
          const asked: { number: number; state: string; controller: AbortController; end: () => void }[] = []
          const served: number[] = []
          for (const [kind, number] of steps) {
            if (kind === 'ask') {
              const ended = Promise.withResolvers<void>()
              const call = {
                number: asked.length,
                state: 'waiting',
                controller: new AbortController(),
                end: ended.resolve,
              }
              asked.push(call)
              pool.wait(clock, call.controller.signal, ended.promise).then(
                (refusal) => {
                  if (!refusal) served.push(call.number)
                  return (call.state = refusal ?? 'running')
                },
                () => (call.state = 'aborted'),
              )
            } else if (kind === 'wait') await clock.advance(60)
            else {
              const some = asked.filter(({ state }) => state === (kind === 'finish' ? 'running' : 'waiting'))
              const call = some[number % Math.max(1, some.length)]
              if (kind === 'abort') call?.controller.abort()
              else if (kind === 'end') call?.end()
              else if (call) {
                call.state = 'finished'
                pool.release()
              }
            }
            await turn()
            const running = asked.filter(({ state }) => state === 'running').length
            assert.equal(pool.inUse, running)
            assert.ok(running <= concurrent)
            assert.equal(pool.waiting, asked.filter(({ state }) => state === 'waiting').length)
            assert.ok(pool.waiting <= queue)
            if (pool.waiting > 0) assert.equal(running, concurrent, 'somebody waits for a slot that is free')
          }
          assert.deepEqual(
            served,
            served.toSorted((a, b) => a - b),
          )
          for (const call of asked) call.controller.abort()
          await turn()
          for (const { state } of asked) if (state === 'running') pool.release()
          assert.deepEqual([pool.inUse, pool.waiting, clock.pending], [0, 0, 0])
        },
      ),
      { numRuns: 200 },
    )
  })

  it('takes no listener along', async () => {
    const pool = new Pool('fake', { concurrent: 1, queue: 1, queueTimeoutMs: 100 })
    const { signal } = new AbortController()
    let listeners = 0
    const counted = {
      aborted: false,
      addEventListener: () => void listeners++,
      removeEventListener: () => void listeners--,
    } as unknown as typeof signal
    pool.take()
    const wait = pool.wait(new FakeClock(), counted, new Promise(() => {}))
    assert.equal(listeners, 1)
    pool.release()
    assert.equal(await wait, undefined)
    assert.equal(listeners, 0)
  })

  it('serves those who wait when a reload allows more', async () => {
    const clock = new FakeClock()
    const pools = new Map<string, Pool>()
    const rules = (concurrent: number): Limits =>
      new Limits(new Map([['fake', { concurrent, queue: 5, queueTimeoutMs: 1000 }]]), pools)
    rules(1).apply()
    const pool = pools.get('fake')!
    pool.take()
    const waits = [1, 2].map(() => pool.wait(clock, new AbortController().signal, new Promise(() => {})))
    rules(3).apply()
    assert.deepEqual(await Promise.all(waits), [undefined, undefined])
    assert.equal(pool.inUse, 3)
    new Limits(new Map(), pools).apply()
    assert.equal(pool.take(), true)
    for (let slot = 0; slot < 4; slot++) pool.release()
    new Limits(new Map(), pools).apply()
    assert.equal(pools.size, 0)
  })

  it('is taken narrow ones first', () => {
    const limits = new Limits(
      new Map(
        ['fake', 'fake/a*', 'fake/abc', 'other', 'fake/b'].map((key) => [
          key,
          { concurrent: 1, queue: 1, queueTimeoutMs: 1 },
        ]),
      ),
      new Map(),
    )
    const tracked = new Targets(settings).of(target('fake/abc'))
    assert.deepEqual(
      limits.of(tracked).map(({ key }) => key),
      ['fake/abc', 'fake/a*', 'fake'],
    )
    assert.equal(matches('fake/a*', target('fake/b')), false)
    assert.equal(matches('fa*', target('fake/b')), true)
  })
})

describe('a rolling histogram', () => {
  it('is within 7.3 % of the true percentile', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 900_000, noNaN: true }), { minLength: 1, maxLength: 300 }),
        (values) => {
          const histogram = new RollingHistogram(1)
          for (const value of values) histogram.record(value, 5000)
          const sorted = values.toSorted((a, b) => a - b)
          const percentiles = histogram.percentiles(5000)!
          assert.equal(percentiles.count, values.length)
          for (const [name, share] of [
            ['p50', 0.5],
            ['p75', 0.75],
            ['p90', 0.9],
            ['p99', 0.99],
          ] as const) {
            const truth = sorted[Math.ceil(share * sorted.length) - 1]!
            assert.ok(Math.abs(percentiles[name] / truth - 1) < 0.073, `${name} is ${percentiles[name]}, not ${truth}`)
          }
        },
      ),
    )
  })

  it('forgets after five minutes, and not before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200_000), { minLength: 1, maxLength: 50 }), (waits) => {
        const histogram = new RollingHistogram(1)
        const times: number[] = []
        let nowMs = 0
        for (const wait of waits) {
          nowMs += wait
          histogram.record(100, nowMs)
          times.push(nowMs)
          const count = histogram.percentiles(nowMs)!.count
          assert.ok(count >= times.filter((time) => time > nowMs - 300_000).length)
          assert.ok(count <= times.filter((time) => time > nowMs - 330_000).length)
        }
        assert.equal(histogram.percentiles(nowMs + 330_000), undefined)
      }),
    )
  })

  it('holds values of any size, and adds up with others', () => {
    const histogram = new RollingHistogram(1)
    for (const value of [-5, 0, Number.NaN, 1e300, Infinity]) histogram.record(value, 0)
    assert.equal(histogram.percentiles(0)!.count, 5)
    const other = new RollingHistogram(1)
    for (let value = 0; value < 95; value++) other.record(1000, 0)
    const merged = mergedPercentiles([histogram, other], 1, 0)!
    assert.equal(merged.count, 100)
    assert.ok(Math.abs(merged.p95 / 1000 - 1) < 0.073)
    assert.equal(mergedPercentiles([], 1, 0), undefined)
  })
})

it('a rolling share forgets after five minutes', () => {
  const share = new RollingShare()
  share.count(true, 0)
  share.count(false, 100_000)
  assert.deepEqual(share.read(299_000), { share: 0.5, count: 2 })
  assert.deepEqual(share.read(330_000), { share: 0, count: 1 })
  assert.equal(share.read(900_000), undefined)
})

it('as many targets are remembered as there is room for', () => {
  const targets = new Targets(settings)
  const busy = targets.of(target('fake/busy'))
  targets.prove(busy)
  busy.inFlight = 1
  for (let model = 0; model < 600; model++) targets.prove(targets.of(target(`fake/m${model}`)))
  assert.equal([...targets.all()].length, 500)
  assert.equal(targets.known('fake/busy'), busy)
  assert.equal(targets.known('fake/m0'), undefined)
})

describe('configs that follow each other', () => {
  const config = (log: string[], name: string) => ({
    begin: () => void log.push(`${name} begins`),
    end: () => void log.push(`${name} ends`),
  })

  it('are in force one at a time, and the one before again where a reload fails', () => {
    const targets = new Targets(settings)
    const log: string[] = []
    const [first, second, third] = [config(log, 'first'), config(log, 'second'), config(log, 'third')]
    targets.enter(first)
    targets.enter(second)
    targets.leave(second)
    targets.leave(second)
    targets.enter(third)
    targets.leave(first)
    targets.leave(third)
    assert.deepEqual(log, [
      'first begins',
      'first ends',
      'second begins',
      'second ends',
      'first begins',
      'first ends',
      'third begins',
      'third ends',
    ])
  })
})
