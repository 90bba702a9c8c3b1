import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { gatewayError } from '../../core/contract/errors.ts'
import type { GatewayError, GatewayErrorInit } from '../../core/contract/errors.ts'
import type { PluginDefinition, Target } from '../../core/contract/plugin.ts'
import type { RoutingSettings } from '../../core/pipeline/services.ts'
import { TargetTurns } from '../../core/pipeline/target-turns.ts'
import { FakeClock, fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { FakeProvider } from '../../core/testing/index.ts'
import { hookPlugin, passing, until } from './hook-plugin.ts'

const again = { retryable: 'same' } as const
const other = { retryable: true } as const
const after = (seconds: number | string): GatewayErrorInit => ({
  retryable: 'same',
  headers: { 'Retry-After': String(seconds) },
})

const failure = (init: GatewayErrorInit): GatewayError => gatewayError('provider_error', 'failed', init)

const target = (name: string): Target => ({ provider: 'fake', model: name, name: `fake/${name}`, requested: name })

/** Turns in which every target fails as it is told to; gives the order of the models, and the pauses between. */
async function play(
  failures: Readonly<Record<string, GatewayErrorInit>>,
  settings: Partial<RoutingSettings> = {},
): Promise<{ readonly order: string; readonly waits: number[] }> {
  const routing = { maxAttempts: 6, retries: 1, retryBudgetMs: 10_000, hedgeSameTarget: false, ...settings }
  const clock = new FakeClock()
  const turns = new TargetTurns(Object.keys(failures).map(target), routing, clock)
  const order: string[] = []
  const waits: number[] = []
  for (let turn = turns.next(); turn; turn = turns.next()) {
    waits.push(turn.waitMs)
    await clock.advance(turn.waitMs)
    turns.began(turn.target)
    order.push(`${turn.target.model}${turn.kind === 'retry' ? '+' : ''}`)
    turns.failed(turn.target, failure(failures[turn.target.model]!))
  }
  return { order: order.join(' '), waits }
}

describe('whose turn it is', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, GatewayErrorInit>>, string, Partial<RoutingSettings>?])[] = [
    ['one target is tried again', { a: again }, 'a a+'],
    ['as often as it may be', { a: again }, 'a a+ a+ a+', { retries: 3 }],
    ['or not at all', { a: again }, 'a', { retries: 0 }],
    ['not where its failure will not pass', { a: other }, 'a'],
    ['all are tried before any is tried again', { a: again, b: again, c: again }, 'a b c a+ b+ c+'],
    ['attempts are limited', { a: again, b: again, c: again }, 'a b c a+', { maxAttempts: 4 }],
    ['only those come again whose failure may pass', { a: other, b: again, c: other }, 'a b c b+'],
    ['the first comes again though the last may not', { a: again, b: other }, 'a b a+'],
    ['who asks for longer than there is is not waited for', { a: after(30), b: again }, 'a b b+'],
    ['nor if it is the only one', { a: after(11) }, 'a'],
    ['who asks for less is', { a: after(9) }, 'a a+'],
    ['who asks for long gives way to the others', { a: after(5), b: again }, 'a b b+ a+'],
    ['no budget, no further attempt that has to wait', { a: again, b: again }, 'a b', { retryBudgetMs: 0 }],
  ] // prettier-ignore
  for (const [what, failures, order, settings] of cases)
    it(what, async () => assert.equal((await play(failures, settings)).order, order))

  it('waits as long as Retry-After says, in seconds and as a date', async () => {
    assert.deepEqual((await play({ a: after(3) })).waits, [0, 3000])
    const date = new Date(new FakeClock().now() + 4000).toUTCString()
    assert.deepEqual((await play({ a: after(date) })).waits, [0, 4000])
  })

  it('waits a random time below a ceiling that doubles', async () => {
    const seen: number[][] = []
    for (let run = 0; run < 200; run++) {
      const { waits } = await play({ a: again }, { retries: 5, maxAttempts: 6, retryBudgetMs: 60_000 })
      seen.push(waits.slice(1))
    }
    const ceilings = [250, 500, 1000, 2000, 2000]
    for (const [index, ceiling] of ceilings.entries()) {
      const waits = seen.map((each) => each[index]!)
      assert.ok(Math.max(...waits) <= ceiling, `${Math.max(...waits)} > ${ceiling}`)
      assert.ok(Math.max(...waits) > ceiling * 0.8, 'it does not use the range')
      assert.ok(Math.min(...waits) < ceiling * 0.2, 'it has a floor')
    }
  })

  it('never begins anything after the budget, whatever happens', async () => {
    const kind = fc.constantFrom<GatewayErrorInit>(again, other, after(1), after(4), after(9), after(100))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ kind, tookMs: fc.integer({ min: 0, max: 6000 }) }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        async (scripts, retries, maxAttempts) => {
          const clock = new FakeClock()
          const targets = scripts.map((_, index) => target(String(index)))
          const turns = new TargetTurns(
            targets,
            { maxAttempts, retries, retryBudgetMs: 10_000, hedgeSameTarget: false },
            clock,
          )
          let failedMs: number | undefined
          let count = 0
          for (let turn = turns.next(); turn; turn = turns.next()) {
            await clock.advance(turn.waitMs)
            assert.ok(failedMs === undefined || clock.monotonicMs() <= failedMs + 10_000)
            turns.began(turn.target)
            count++
            const script = scripts[Number(turn.target.model)]!
            await clock.advance(script.tookMs)
            turns.failed(turn.target, failure(script.kind))
            failedMs ??= clock.monotonicMs()
          }
          assert.ok(count >= 1 && count <= Math.min(maxAttempts, targets.length * (retries + 1)))
        },
      ),
      { numRuns: 60 },
    )
  })
})

/** A breaker that is open for these models, and says for how many seconds. */
function breaker(open: Readonly<Record<string, number>>): PluginDefinition {
  return hookPlugin('breaker', {
    attempt(_, attempt, next) {
      const seconds = open[attempt.target.model]
      if (seconds === undefined) return next()
      throw gatewayError('provider_unavailable', `${attempt.target.model} is resting`, {
        details: { provider: 'fake', retry_after_secs: seconds },
        retryable: true,
      })
    },
  })
}

function failing(models: Readonly<Record<string, GatewayErrorInit>>): FakeProvider {
  return fakeProvider(({ target: { model } }) => {
    const init = models[model]
    if (init) throw gatewayError('provider_error', `${model} failed`, init)
    return textEvents(model)
  })
}

describe('a target that an attempt hook refuses', () => {
  const metadata = { headers: { 'x-hadrian-metadata': 'enabled' } }

  it('costs no pause, no attempt and no count, and is shown', async () => {
    await using gateway = await harness({
      plugins: [breaker({ a: 7, b: 3 })],
      provider: failing({}),
      config: { routing: { default_provider: 'fake', max_attempts: 1 } },
    })
    const sent = { model: 'fake/a', models: ['fake/b', 'fake/c'] }
    const { status, headers, body, outcome } = await gateway.send(sent, metadata)
    assert.deepEqual([status, headers['x-model'], headers['x-hadrian-attempts']], [200, 'c', '1'])
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.target.model),
      ['c'],
    )
    const { attempts } = body['hadrian_metadata'] as { attempts: { target: string; outcome: string; error?: string }[] }
    assert.deepEqual(
      attempts.map((attempt) => [attempt.target, attempt.outcome, attempt.error]),
      [
        ['fake/a', 'refused', 'provider_unavailable'],
        ['fake/b', 'refused', 'provider_unavailable'],
        ['fake/c', 'completed', undefined],
      ],
    )
    assert.equal(gateway.clock.pending, 0)
  })

  it('like all the others: 503 with the soonest time to come back', async () => {
    await using gateway = await harness({ plugins: [breaker({ a: 7, b: 3, c: 20 })], provider: failing({}) })
    const { status, headers, body, outcome } = await gateway.send({
      model: 'fake/a',
      models: ['fake/b', 'fake/c'],
    })
    const error = body['error'] as { code: string; type: string; details: { retry_after_secs: number } }
    assert.deepEqual([status, error.code, error.type], [503, 'provider_unavailable', 'server_error'])
    assert.equal(error.details.retry_after_secs, 3)
    assert.equal(headers['Retry-After'], '3')
    assert.equal(gateway.provider.calls.length, 0)
    assert.deepEqual([outcome.status, outcome.plugin, outcome.attempts.length], ['failed', 'breaker', 0])
  })

  it('beside one that failed: the failure of the one that was called', async () => {
    await using gateway = await harness({ plugins: [breaker({ b: 3 })], provider: failing({ a: other }) })
    const { status, body } = await gateway.send({ model: 'fake/a', models: ['fake/b'] })
    assert.deepEqual([status, (body['error'] as { message: string }).message], [502, 'a failed'])
  })

  it('beside one whose failure may pass: that one is tried again', async () => {
    await using gateway = await harness({ plugins: [breaker({ b: 3 })], provider: failing({ a: again }) })
    const answer = gateway.send({ model: 'fake/a', models: ['fake/b'] })
    const { outcome } = await passing(gateway.clock, answer, 100)
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.target.model),
      ['a', 'a'],
    )
  })

  it('tells its record when it is done', async () => {
    const ends: string[] = []
    const watches = hookPlugin('watches', {
      async attempt(_, attempt, next) {
        void attempt.done.then(({ outcome, error }) => ends.push(`${outcome} ${error?.code}`))
        return next()
      },
    })
    await using gateway = await harness({ plugins: [watches, breaker({ a: 1 })], provider: failing({}) })
    await gateway.send({ model: 'fake/a' })
    assert.deepEqual(ends, ['failed provider_unavailable'])
  })
})

describe('the budget of retries', () => {
  it('ends the pauses of a call', async () => {
    await using gateway = await harness({
      provider: failing({ a: after(3) }),
      config: {
        routing: { default_provider: 'fake', retries_per_target: 10, max_attempts: 100, retry_budget_ms: 7000 },
      },
    })
    const answer = gateway.send({ model: 'fake/a' })
    const { outcome } = await passing(gateway.clock, answer, 500)
    assert.equal(outcome.attempts.length, 3, 'at 0, 3 and 6 seconds')
    assert.equal(gateway.clock.pending, 0)
  })

  it('waits for a Retry-After of seconds if no target is left', async () => {
    let calls = 0
    const provider = fakeProvider(() => {
      if (++calls === 1) throw failure(after(8))
      return textEvents('fine')
    })
    await using gateway = await harness({ provider })
    const answer = gateway.send({ model: 'fake/a' })
    await until(() => provider.calls.length === 1)
    await gateway.clock.advance(7_990)
    assert.equal(provider.calls.length, 1)
    await gateway.clock.advance(20)
    assert.equal((await answer).status, 200)
  })
})
