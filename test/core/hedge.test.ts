import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { gatewayError } from '../../core/contract/errors.ts'
import type { GatewayErrorInit } from '../../core/contract/errors.ts'
import type { Clock, JsonObject, PluginDefinition } from '../../core/contract/plugin.ts'
import { FakeClock, fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { FakeProvider, Harness, HarnessOptions } from '../../core/testing/index.ts'
import { chatText, drain, hookPlugin, passing, turn } from './hook-plugin.ts'

/** When the first event of a call comes, whether it comes at all, and how long the rest takes. */
interface Script {
  readonly firstMs: number
  readonly restMs?: number
  readonly fails?: GatewayErrorInit
}

const never = 1e9

function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(delayMs, resolve)
    signal.addEventListener('abort', () => {
      cancel()
      reject(signal.reason as Error)
    })
  })
}

/** A provider each of whose calls, in order, follows a script, and whose answer names its number. */
function timed(scripts: readonly Script[], clock: () => Clock): FakeProvider {
  return fakeProvider(async function* ({ signal }, number) {
    const { firstMs, restMs = 0, fails } = scripts[number - 1] ?? { firstMs: never }
    await sleep(clock(), firstMs, signal)
    if (fails) throw gatewayError('provider_error', `call ${number} failed`, fails)
    const [start, ...rest] = textEvents(`call ${number}`)
    yield start!
    if (restMs > 0) await sleep(clock(), restMs, signal)
    yield* rest
  })
}

const settings = { default_provider: 'fake', hedge_after_ms: 100, retries_per_target: 0 }

async function start(
  scripts: readonly Script[],
  options: HarnessOptions & { routing?: JsonObject } = {},
): Promise<Harness> {
  const at: { clock?: Clock } = {}
  const provider = timed(scripts, () => at.clock ?? new FakeClock())
  const gateway = await harness({
    provider,
    ...options,
    config: { routing: { ...settings, ...options.routing }, ...options.config },
  })
  at.clock = gateway.clock
  return gateway
}

const two = { model: 'fake/a', models: ['fake/b'] }

function textOf(body: JsonObject): unknown {
  return (body as { choices?: { message: { content: string } }[] }).choices?.[0]?.message.content
}

describe('hedging', () => {
  it('is off by default', async () => {
    await using gateway = await start([{ firstMs: 5_000 }, { firstMs: 1 }], { routing: { hedge_after_ms: undefined } })
    const { body } = await passing(gateway.clock, gateway.send(two), 100)
    assert.equal(textOf(body), 'call 1')
    assert.equal(gateway.provider.calls.length, 1)
  })

  it('begins a second attempt at the next target when the first takes long, and the first to answer wins', async () => {
    await using gateway = await start([{ firstMs: 5_000 }, { firstMs: 50 }])
    const metadata = { headers: { 'x-hadrian-metadata': 'enabled' } }
    const answer = gateway.send(two, metadata)
    await turn()
    await gateway.clock.advance(99)
    assert.equal(gateway.provider.calls.length, 1)
    await gateway.clock.advance(1)
    assert.equal(gateway.provider.calls.length, 2)
    await gateway.clock.advance(50)
    const { body, headers, outcome } = await answer
    assert.equal(textOf(body), 'call 2')
    assert.deepEqual([headers['x-model'], headers['x-hadrian-attempts']], ['b', '2'])
    assert.equal(outcome.target?.name, 'fake/b')
    assert.equal(outcome.finishReason, 'stop')
    assert.ok(gateway.provider.calls[0]!.signal.aborted && gateway.provider.calls[0]!.ended)
    const { attempts } = body['hadrian_metadata'] as { attempts: JsonObject[] }
    assert.deepEqual(
      attempts.map(({ target, outcome: end, hedge }) => [target, end, hedge]),
      [
        ['fake/a', 'aborted', undefined],
        ['fake/b', 'completed', true],
      ],
    )
    assert.equal(gateway.clock.pending, 0)
  })

  it('charges the call that was left by what is known of it', async () => {
    await using gateway = await start([{ firstMs: 5_000 }, { firstMs: 50 }])
    const { outcome } = await passing(gateway.clock, gateway.send(two), 50)
    const [left, won] = outcome.attempts
    assert.deepEqual(left!.usage, { inputTokens: 2, outputTokens: 0, estimated: true })
    assert.deepEqual(won!.usage, { inputTokens: 3, outputTokens: 2 })
    assert.deepEqual([outcome.usage?.inputTokens, outcome.usage?.outputTokens], [5, 2])
  })

  it('keeps the first attempt if that answers after all', async () => {
    await using gateway = await start([{ firstMs: 150 }, { firstMs: 5_000 }])
    const { body, headers, outcome } = await passing(gateway.clock, gateway.send(two), 50)
    assert.equal(textOf(body), 'call 1')
    assert.equal(headers['x-model'], 'a')
    assert.deepEqual(
      outcome.attempts.map((attempt) => [attempt.outcome, attempt.hedge]),
      [
        ['completed', undefined],
        ['aborted', true],
      ],
    )
    assert.equal(outcome.target?.model, 'a')
    assert.equal(gateway.clock.pending, 0)
  })

  it('costs nothing where the first attempt is quick, or fails first', async () => {
    await using gateway = await start([{ firstMs: 50 }, { firstMs: 50, fails: { retryable: true } }, { firstMs: 50 }])
    await passing(gateway.clock, gateway.send(two), 10)
    const { outcome } = await passing(gateway.clock, gateway.send(two), 10)
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.hedge),
      [undefined, undefined],
    )
    assert.equal(gateway.clock.pending, 0)
  })

  it('streams from the first to speak, and leaves the other', async () => {
    await using gateway = await start([{ firstMs: 5_000 }, { firstMs: 50, restMs: 300 }])
    const streaming = gateway.stream(two)
    const { records, headers, outcome } = await passing(gateway.clock, streaming, 50)
    assert.equal(headers['x-model'], 'b')
    assert.ok(gateway.provider.calls[0]!.signal.aborted, 'the other goes on')
    const all = await passing(gateway.clock, drain(records), 50)
    assert.equal(chatText(all), 'call 2')
    assert.equal((await outcome).status, 'completed')
    assert.equal(gateway.clock.pending, 0)
  })

  it('waits for the other if one fails, and goes on if both do', async () => {
    const fails = { retryable: true } as const
    await using one = await start([{ firstMs: 120, fails }, { firstMs: 200 }])
    assert.equal(textOf((await passing(one.clock, one.send(two), 20)).body), 'call 2')
    await using hedge = await start([{ firstMs: 400 }, { firstMs: 20, fails }])
    assert.equal(textOf((await passing(hedge.clock, hedge.send(two), 20)).body), 'call 1')
    await using both = await start([{ firstMs: 120, fails }, { firstMs: 200, fails }, { firstMs: 1 }])
    const { body, outcome } = await passing(both.clock, both.send({ ...two, models: ['fake/b', 'fake/c'] }), 20)
    assert.equal(textOf(body), 'call 3')
    assert.equal(outcome.attempts.length, 3)
  })

  it('ends with a mistake of the client', async () => {
    await using gateway = await start([{ firstMs: 150, fails: { retryable: false } }, { firstMs: 900 }])
    const { status, outcome } = await passing(gateway.clock, gateway.send(two), 50)
    assert.equal(status, 502)
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.outcome),
      ['failed', 'aborted'],
    )
    assert.equal(gateway.clock.pending, 0)
  })

  it('happens once for a call', async () => {
    const fails = { retryable: true } as const
    await using gateway = await start([
      { firstMs: 200, fails },
      { firstMs: 200, fails },
      { firstMs: 5_000 },
      { firstMs: 1 },
    ])
    const models = ['fake/b', 'fake/c', 'fake/d']
    const { body, outcome } = await passing(gateway.clock, gateway.send({ ...two, models }), 100)
    assert.equal(textOf(body), 'call 3')
    assert.equal(outcome.attempts.filter(({ hedge }) => hedge).length, 1)
  })

  it('needs an attempt left, and another target', async () => {
    await using none = await start([{ firstMs: 500 }, { firstMs: 1 }], { routing: { max_attempts: 1 } })
    assert.equal(textOf((await passing(none.clock, none.send(two), 50)).body), 'call 1')
    await using alone = await start([{ firstMs: 500 }, { firstMs: 1 }])
    assert.equal(textOf((await passing(alone.clock, alone.send({ model: 'fake/a' }), 50)).body), 'call 1')
    assert.equal(alone.provider.calls.length, 1)
  })

  it('may go to the same target where there is no other', async () => {
    await using gateway = await start([{ firstMs: 500 }, { firstMs: 1 }], { routing: { hedge_same_target: true } })
    const { body, outcome } = await passing(gateway.clock, gateway.send({ model: 'fake/a' }), 50)
    assert.equal(textOf(body), 'call 2')
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.target.model),
      ['a', 'a'],
    )
  })

  it('is reserved on its own, and not done where that is refused', async () => {
    const reserved: string[] = []
    const budget = (most: number): PluginDefinition =>
      hookPlugin('budget', {
        async reserve(_, call) {
          await turn()
          reserved.push(call.targets.map(({ model }) => model).join(' '))
          if (reserved.length > most) throw gatewayError('budget_exceeded', 'spent')
        },
      })
    await using refusing = await start([{ firstMs: 500 }, { firstMs: 1 }], { plugins: [budget(1)] })
    const { status, body, outcome } = await passing(refusing.clock, refusing.send(two), 50)
    assert.deepEqual([status, textOf(body), outcome.attempts.length], [200, 'call 1', 1])
    assert.deepEqual(reserved, ['a b', 'b'])
    reserved.length = 0
    await using granting = await start([{ firstMs: 500 }, { firstMs: 1 }], { plugins: [budget(2)] })
    assert.equal(textOf((await passing(granting.clock, granting.send(two), 50)).body), 'call 2')
  })

  it('does not begin if the first attempt has ended while it was reserved', async () => {
    const clock = new FakeClock()
    const slow: { clock: Clock; reserved: number } = { clock, reserved: 0 }
    const budget = hookPlugin('budget', {
      reserve() {
        if (++slow.reserved === 1) return undefined
        return new Promise<void>((resolve) => void slow.clock.after(100, resolve))
      },
    })
    await using gateway = await start([{ firstMs: 150 }, { firstMs: 1 }], { plugins: [budget] })
    slow.clock = gateway.clock
    const { records, outcome } = await passing(gateway.clock, gateway.stream(two), 150)
    await gateway.clock.advance(500)
    await drain(records)
    assert.equal(gateway.provider.calls.length, 1)
    assert.equal((await outcome).attempts.length, 1)
  })

  it('that an attempt hook refuses does no harm and counts for nothing', async () => {
    const full = hookPlugin('full', {
      attempt(_, attempt, next) {
        if (attempt.target.model === 'a') return next()
        throw gatewayError('provider_unavailable', 'full', { retryable: true, details: { retry_after_secs: 1 } })
      },
    })
    await using gateway = await start([{ firstMs: 500 }], { plugins: [full] })
    const { body, headers } = await passing(gateway.clock, gateway.send(two), 50)
    assert.equal(textOf(body), 'call 1')
    assert.equal(headers['x-hadrian-attempts'], '1')
  })

  it('ends with its client', async () => {
    await using gateway = await start([{ firstMs: never }, { firstMs: never }])
    const controller = new AbortController()
    const answer = gateway.send(two, { signal: controller.signal })
    await turn()
    await gateway.clock.advance(200)
    assert.equal(gateway.provider.calls.length, 2)
    controller.abort()
    const { outcome } = await answer
    assert.equal(outcome.status, 'aborted')
    assert.deepEqual(
      outcome.attempts.map((attempt) => attempt.outcome),
      ['aborted', 'aborted'],
    )
    assert.ok(gateway.provider.calls.every((call) => call.signal.aborted))
    assert.equal(gateway.clock.pending, 0)
  })
})

describe('hedging, whatever the timing', () => {
  const milliseconds = fc.constantFrom(0, 1, 50, 99, 100, 101, 150, 200, 250, 300, 1000, never)
  const script = fc.record({
    firstMs: milliseconds,
    restMs: fc.constantFrom(0, 1, 100),
    fails: fc.constantFrom<GatewayErrorInit | undefined>(
      undefined,
      undefined,
      { retryable: false },
      { retryable: true },
      { retryable: 'same' },
    ),
  })

  it('gives one answer, settles once, and leaves no call open', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(script, { minLength: 2, maxLength: 5 }),
        fc.boolean(),
        fc.option(fc.constantFrom(0, 50, 100, 120, 150, 200, 260), { nil: undefined }),
        fc.constantFrom(0, 1, 30),
        async (scripts, streamed, leavesAfterMs, reserveMs) => {
          let settled = 0
          const at: { clock?: Clock } = {}
          const counts = hookPlugin('counts', {
            settle: () => void settled++,
            reserve: () =>
              reserveMs === 0 ? undefined : new Promise((resolve) => void at.clock!.after(reserveMs, resolve)),
            attempt: (_, __, next) => next(),
          })
          const fails = scripts.map(({ fails: how, ...rest }) => (how ? { ...rest, fails: how } : rest))
          await using gateway = await start(fails, {
            plugins: [counts],
            routing: { retries_per_target: 1, max_attempts: 5 },
            config: { timeouts: { first_byte_ms: 5_000 } },
          })
          at.clock = gateway.clock
          const controller = new AbortController()
          if (leavesAfterMs !== undefined) gateway.clock.after(leavesAfterMs, () => controller.abort())
          const request = { signal: controller.signal }
          const work = streamed
            ? gateway.stream(two, request).then(async ({ status, records, outcome }) => {
                const all = await drain(records)
                return { status, text: chatText(all), outcome: await outcome }
              })
            : gateway.send(two, request).then(({ status, body, outcome }) => ({ status, text: textOf(body), outcome }))
          const { status, text, outcome } = await passing(gateway.clock, work, 250)
          await gateway.clock.advance(300)

          assert.equal(settled, 1)
          assert.equal(gateway.outcomes.length, 1)
          const answers = outcome.attempts.filter((attempt) => attempt.outcome === 'completed')
          if (outcome.status === 'completed') {
            assert.equal(status, 200)
            const number = Number(/^call (\d)$/.exec(String(text))?.[1])
            assert.equal(gateway.provider.calls[number - 1]?.target.name, outcome.target?.name)
            assert.ok(answers.some((attempt) => attempt.target === outcome.target))
            assert.equal(outcome.finishReason, 'stop')
          }
          for (const attempt of outcome.attempts)
            assert.ok(attempt.outcome !== undefined && attempt.endedMs !== undefined)
          assert.ok(outcome.attempts.length <= 5)
          assert.ok(outcome.attempts.filter(({ hedge }) => hedge).length <= 1)
          for (const call of gateway.provider.calls) assert.ok(call.ended || call.signal.aborted, 'a call is left open')
          const charged = outcome.attempts.reduce((sum, { usage }) => sum + (usage?.inputTokens ?? 0), 0)
          assert.equal(outcome.usage?.inputTokens ?? 0, charged)
          if (leavesAfterMs === undefined) assert.equal(gateway.clock.pending, 0)
        },
      ),
      { numRuns: 150 },
    )
  })
})
