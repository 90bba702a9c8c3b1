import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { GatewayError, gatewayError } from '../../core/contract/errors.ts'
import type { Exchange, Hooks, Outcome, StreamEvent } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'
import { drain, gate, hookPlugin, passing, text, turn, until } from './hook-plugin.ts'
import { listening } from './listening-gateway.ts'

/** A plugin that counts how often it was settled, and with what. */
function settled(hooks: Hooks = {}): { plugin: ReturnType<typeof hookPlugin>; outcomes: Outcome[] } {
  const outcomes: Outcome[] = []
  return { outcomes, plugin: hookPlugin('counter', { ...hooks, settle: (_, outcome) => void outcomes.push(outcome) }) }
}

const refusal = (): GatewayError => new GatewayError('no_luck', 418, 'no luck')

/** Everything that a finished gateway must not keep. */
function assertNothingLeft({ clock, gateway }: Harness): void {
  assert.equal(clock.pending, 0, 'timers are left')
  assert.equal(gateway.pipeline.open, 0, 'exchanges are open')
}

/** A signal that counts its listeners. */
function countedSignal(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController()
  const { signal } = controller
  const known = new Set<unknown>()
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...input: Parameters<typeof add>) => {
    known.add(input[1])
    add(...input)
  }
  signal.removeEventListener = (...input: Parameters<typeof remove>) => {
    known.delete(input[1])
    remove(...input)
  }
  return { controller, listeners: () => known.size }
}

async function* endless(call: { readonly signal: AbortSignal }): AsyncGenerator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 3)
  await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
}

describe('settle, the kinds of ending', () => {
  it('completed, with its facts', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin] })
    await gateway.send()
    assert.equal(outcomes.length, 1)
    const [outcome] = outcomes
    assert.equal(outcome!.status, 'completed')
    assert.equal(outcome!.httpStatus, 200)
    assert.equal(outcome!.error, undefined)
    assert.deepEqual(outcome!.usage, { inputTokens: 3, outputTokens: 2 })
    assert.equal(outcome!.target?.name, 'fake/fake-model')
    assert.equal(outcome!.finishReason, 'stop')
    assert.equal(outcome!.plugin, undefined)
    assert.equal(outcome!.streamed, false)
    assert.equal(outcome!.startedAt, gateway.clock.now())
    assert.deepEqual(
      outcome!.attempts.map((attempt) => attempt.outcome),
      ['completed'],
    )
    assertNothingLeft(gateway)
  })

  for (const hook of ['authorize', 'admit', 'route', 'transform', 'dispatch', 'reserve'] as const)
    for (const stream of [false, true])
      it(`refused by ${hook}${stream ? ', streamed' : ''}`, async () => {
        const { plugin, outcomes } = settled()
        const refuses = hookPlugin('refuser', {
          [hook]: () => {
            throw refusal()
          },
        })
        await using gateway = await harness({ plugins: [plugin, refuses] })
        const answer = stream ? await gateway.stream() : await gateway.send()
        assert.equal(answer.status, 418)
        await answer.outcome
        assert.deepEqual(
          outcomes.map(({ status, httpStatus, plugin: by, error, attempts }) => [
            status,
            httpStatus,
            by,
            error?.code,
            error?.hook,
            attempts.length,
          ]),
          [['refused', 418, 'refuser', 'no_luck', hook, 0]],
        )
        assert.equal(gateway.provider.calls.length, 0)
        assertNothingLeft(gateway)
      })

  it('refused for a model that nobody has', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin] })
    const answer = await gateway.send({ model: 'nobody/nothing' })
    assert.equal(answer.status, 400)
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['refused'],
    )
  })

  it('answered by a plugin: completed, without a target, charged nothing', async () => {
    const { plugin, outcomes } = settled()
    const answers = hookPlugin('answerer', { transform: (exchange) => exchange.reply('no model needed') })
    await using gateway = await harness({ plugins: [plugin, answers] })
    await gateway.send()
    assert.deepEqual(
      outcomes.map(({ status, plugin: by, target, usage }) => [status, by, target, usage]),
      [['completed', 'answerer', undefined, undefined]],
    )
  })

  it('answered by a dispatch hook that never called inside: its name', async () => {
    const { plugin, outcomes } = settled()
    const cache = hookPlugin('cache', { dispatch: (exchange) => Promise.resolve(exchange.reply('hit')) })
    await using gateway = await harness({ plugins: [plugin, cache] })
    await gateway.send()
    assert.deepEqual(
      outcomes.map(({ status, plugin: by, target }) => [status, by, target]),
      [['completed', 'cache', undefined]],
    )
  })

  it('failed before the first event: the provider is to blame, not the plugin around it', async () => {
    const { plugin, outcomes } = settled()
    const around = hookPlugin('around', {
      dispatch: (_, next) => next(),
      attempt: (_, __, next) => next(),
    })
    const provider = fakeProvider(() => {
      throw gatewayError('provider_error', 'scripted')
    })
    await using gateway = await harness({ plugins: [plugin, around], provider })
    const { status } = await gateway.stream()
    assert.equal(status, 502)
    await until(() => outcomes.length > 0)
    assert.deepEqual(
      outcomes.map(({ status: ending, plugin: by, error, usage }) => [ending, by, error?.hook, usage]),
      [['failed', undefined, undefined, undefined]],
    )
    assertNothingLeft(gateway)
  })

  it('failed in the middle: a typed error, no [DONE], what came is charged as an estimate', async () => {
    const { plugin, outcomes } = settled()
    const provider = fakeProvider(function* () {
      yield* textEvents('12345678 12345678').slice(0, 3)
      throw gatewayError('provider_error', 'scripted')
    })
    await using gateway = await harness({ plugins: [plugin], provider })
    const { status, records, outcome } = await gateway.stream()
    assert.equal(status, 200)
    const all = await drain(records)
    await outcome
    assert.equal((all.at(-1)!.data as { error: { code: string } }).error.code, 'provider_error')
    assert.deepEqual(
      outcomes.map(({ status: ending, usage }) => [ending, usage]),
      [['failed', { inputTokens: 2, outputTokens: 5, estimated: true }]],
    )
    assertNothingLeft(gateway)
  })

  it('a defect of a provider is internal_error 500 and moves on to another target', async () => {
    const provider = fakeProvider((call) => {
      if (call.target.model === 'broken') throw new TypeError('secret detail')
      return textEvents('fine')
    })
    await using gateway = await harness({ provider })
    const alone = await gateway.send({ model: 'fake/broken' })
    assert.equal(alone.status, 500)
    assert.ok(!JSON.stringify(alone.body).includes('secret detail'))
    assert.equal((await gateway.send({ model: 'fake/broken', models: ['fake/fine'] })).status, 200)
  })
})

describe('settle, the client goes away', () => {
  it('before anything began', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin] })
    await gateway.send({}, { signal: AbortSignal.abort() })
    assert.deepEqual(
      outcomes.map(({ status, httpStatus }) => [status, httpStatus]),
      [['aborted', 499]],
    )
    assert.equal(gateway.provider.calls.length, 0)
    assertNothingLeft(gateway)
  })

  it('while the provider has not answered: the upstream is cancelled and its input charged as an estimate', async () => {
    const { plugin, outcomes } = settled()
    const provider = fakeProvider(async function* (call) {
      yield* []
      await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
    })
    await using gateway = await harness({ plugins: [plugin], provider })
    const controller = new AbortController()
    const answer = gateway.send({}, { signal: controller.signal })
    await until(() => provider.calls.length > 0)
    controller.abort()
    await answer
    assert.equal(provider.calls[0]!.signal.aborted, true)
    assert.deepEqual(
      outcomes.map(({ status, usage, attempts }) => [status, usage, attempts.map(({ outcome }) => outcome)]),
      [['aborted', { inputTokens: 2, outputTokens: 0, estimated: true }, ['aborted']]],
    )
    assertNothingLeft(gateway)
  })

  it('in the middle of a stream, without pulling any further', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin], provider: fakeProvider(endless) })
    const { records, abort } = await gateway.stream()
    await records.next()
    abort()
    await until(() => outcomes.length > 0, 'an aborted stream that nobody pulls is never settled')
    assert.equal(outcomes[0]!.status, 'aborted')
    assert.equal(gateway.provider.calls[0]!.signal.aborted, true)
    assertNothingLeft(gateway)
  })

  it('in the middle of a stream, leaving the iterator', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin], provider: fakeProvider(endless) })
    const result = await gateway.gateway.run(
      {
        operation: 'generate',
        dialect: 'chat',
        body: { model: 'fake/fake-model', stream: true, messages: [{ role: 'user', content: 'x' }] },
      },
      { id: 'tester' },
      new AbortController().signal,
    )
    for await (const _ of result.stream!) break
    await result.settled
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['aborted'],
    )
    assertNothingLeft(gateway)
  })

  it('a count so far is not taken for the whole', async () => {
    const provider = fakeProvider(async function* (call) {
      yield { type: 'start' }
      yield { type: 'usage', usage: { inputTokens: 10, outputTokens: 1, cachedInputTokens: 4 } }
      yield text('x'.repeat(400))
      await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
    })
    await using gateway = await harness({ provider })
    const { records, abort, outcome } = await gateway.stream()
    await records.next()
    await records.next()
    abort()
    assert.deepEqual((await outcome).usage, {
      inputTokens: 10,
      outputTokens: 100,
      cachedInputTokens: 4,
      estimated: true,
    })
  })

  it('after the end of the answer: completed, and the exchange is not aborted after the fact', async () => {
    const { plugin, outcomes } = settled()
    let exchange: Exchange | undefined
    const keeper = hookPlugin('keeper', { transform: (each) => void (exchange = each) })
    await using gateway = await harness({ plugins: [plugin, keeper] })
    const { records, abort } = await gateway.stream()
    await drain(records)
    abort()
    await turn()
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['completed'],
    )
    assert.equal(exchange!.signal.aborted, false)
  })

  it('while settle runs: completed', async () => {
    const waiting = gate()
    const { plugin, outcomes } = settled()
    const slow = hookPlugin('slow', { settle: () => waiting.promise })
    await using gateway = await harness({ plugins: [plugin, slow] })
    const { records, abort } = await gateway.stream()
    const all = drain(records)
    await turn()
    abort()
    await turn()
    waiting.open()
    await all
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['completed'],
    )
  })

  for (const hook of ['dispatch', 'attempt', 'stream'] as const)
    for (const stream of [false, true])
      it(`while a ${hook} hook sleeps that heeds no signal${stream ? ', streamed' : ''}`, async () => {
        const { plugin, outcomes } = settled()
        let asleep = false
        const forever = (): Promise<never> => {
          asleep = true
          return new Promise(() => {})
        }
        const sleeper = hookPlugin('sleeper', {
          [hook]:
            hook === 'stream'
              ? async function* () {
                  yield await forever()
                }
              : forever,
        })
        await using gateway = await harness({ plugins: [plugin, sleeper] })
        const controller = new AbortController()
        const answer = stream
          ? gateway.stream({}, { signal: controller.signal })
          : gateway.send({}, { signal: controller.signal })
        await until(() => asleep)
        controller.abort()
        assert.equal((await answer).status, 499)
        assert.equal(outcomes.length, 1)
        assertNothingLeft(gateway)
      })

  it('while a reservation is being made: settled after it, so that it is given back', async () => {
    const waiting = gate()
    const order: string[] = []
    let began = false
    const budget = hookPlugin('budget', {
      async reserve() {
        began = true
        await waiting.promise
        order.push('reserved')
      },
      settle: () => void order.push('settled'),
    })
    const second = hookPlugin('second', { reserve: () => void order.push('reserved again') })
    await using gateway = await harness({ plugins: [budget, second] })
    const controller = new AbortController()
    const answer = gateway.send({}, { signal: controller.signal })
    await until(() => began)
    controller.abort()
    await turn()
    assert.deepEqual(order, [])
    waiting.open()
    await answer
    assert.deepEqual(order, ['reserved', 'settled'])
    assert.equal(gateway.provider.calls.length, 0)
  })

  it('while a reservation is being made that never ends: settled after its deadline', async () => {
    const { plugin, outcomes } = settled()
    let began = false
    const sleeper = hookPlugin('sleeper', {
      reserve() {
        began = true
        return new Promise(() => {})
      },
    })
    await using gateway = await harness({ plugins: [plugin, sleeper] })
    const controller = new AbortController()
    const answer = gateway.send({}, { signal: controller.signal })
    await until(() => began)
    controller.abort()
    assert.equal((await passing(gateway.clock, answer, 1_000)).status, 499)
    assert.equal(outcomes.length, 1)
    assertNothingLeft(gateway)
  })
})

describe('settle, the upstream and the gateway', () => {
  it('a silent upstream: failed with provider_timeout', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin], provider: fakeProvider(endless) })
    const { records } = await gateway.stream()
    const all = drain(records)
    await gateway.clock.advance(3_600_000)
    await all
    assert.deepEqual(
      outcomes.map(({ status, error }) => [status, error?.code]),
      [['failed', 'provider_timeout']],
    )
    assertNothingLeft(gateway)
  })

  it('shutdown: what is open is failed, and its client told', async () => {
    const { plugin, outcomes } = settled()
    const gateway = await harness({
      plugins: [plugin],
      provider: fakeProvider(endless),
      config: { server: { shutdown_timeout_ms: 0 } },
    })
    const { records } = await gateway.stream()
    await records.next()
    const stopped = gateway.stop()
    const rest = await drain(records)
    await stopped
    assert.deepEqual(
      outcomes.map(({ status, error }) => [status, error?.code]),
      [['failed', 'shutting_down']],
    )
    assert.equal((rest.at(-1)!.data as { error: { code: string } }).error.code, 'shutting_down')
    assertNothingLeft(gateway)
  })

  it('shutdown settles a stream whose client reads nothing, before plugins stop', async () => {
    const order: string[] = []
    const plugin = hookPlugin('order', {
      settle: () => void order.push('settle'),
      stop: () => void order.push('stop'),
    })
    const gateway = await harness({
      plugins: [plugin],
      provider: fakeProvider(endless),
      config: { server: { shutdown_timeout_ms: 0 } },
    })
    const { records } = await gateway.stream()
    await records.next()
    await gateway.stop()
    assert.deepEqual(order, ['settle', 'stop'])
  })
})

describe('settle, its place', () => {
  for (const dialect of ['chat', 'responses'] as const) {
    it(`comes before the last record of a ${dialect} stream`, async () => {
      const waiting = gate()
      const plugin = hookPlugin('slow', { settle: () => waiting.promise })
      await using gateway = await harness({ plugins: [plugin] })
      const stream = await gateway.stream({}, { dialect })
      let ended = false
      const all = drain(stream.records).then((records) => {
        ended = true
        return records
      })
      await turn()
      await turn()
      assert.equal(ended, false)
      assert.ok(!stream.text().includes('[DONE]'))
      assert.ok(!stream.text().includes('response.completed'))
      waiting.open()
      assert.equal((await all).at(-1)!.data, '[DONE]')
    })

    it(`comes before the body of a ${dialect} answer`, async () => {
      const waiting = gate()
      const plugin = hookPlugin('slow', { settle: () => waiting.promise })
      await using gateway = await harness({ plugins: [plugin] })
      let answered = false
      const answer = gateway.send({}, { dialect }).finally(() => {
        answered = true
      })
      await turn()
      await turn()
      assert.equal(answered, false)
      waiting.open()
      await answer
    })
  }

  it('runs in reverse order, and one that fails or hangs stops nobody', async () => {
    const order: string[] = []
    const first = hookPlugin('first', { settle: () => void order.push('first') })
    const throws = hookPlugin('throws', {
      settle: () => {
        order.push('throws')
        throw new Error('broken')
      },
    })
    const hangs = hookPlugin('hangs', {
      settle: () => {
        order.push('hangs')
        return new Promise(() => {})
      },
    })
    const last = hookPlugin('last', { settle: () => void order.push('last') })
    await using gateway = await harness({ plugins: [first, throws, hangs, last] })
    const answer = gateway.send()
    await until(() => order.length === 2)
    await gateway.clock.advance(5_000)
    assert.equal((await answer).status, 200)
    assert.deepEqual(order, ['last', 'hangs', 'throws', 'first'])
    assert.deepEqual(
      gateway.log.filter(({ message }) => message === 'settle failed').map(({ fields }) => fields['plugin']),
      ['hangs', 'throws'],
    )
    assertNothingLeft(gateway)
  })

  it('is not called for a body that is no request, and one line is logged', async () => {
    const { plugin, outcomes } = settled()
    await using gateway = await harness({ plugins: [plugin] })
    assert.equal((await gateway.send({ messages: 7 })).status, 400)
    assert.equal(outcomes.length, 0)
    assert.equal(gateway.log.filter(({ message }) => message === 'exchange').length, 1)
  })

  it('writes one log line per exchange, without prompt or answer', async () => {
    await using gateway = await harness({ provider: fakeProvider(() => textEvents('the answer is secret')) })
    await gateway.send({ messages: [{ role: 'user', content: 'the prompt is secret' }] })
    const lines = gateway.log.filter(({ message }) => message === 'exchange')
    assert.equal(lines.length, 1)
    assert.ok(!JSON.stringify(gateway.log).includes('secret'))
    assert.equal(lines[0]!.fields['outcome'], 'completed')
  })
})

describe('settle, over HTTP', () => {
  const streamed = { model: 'fake/fake-model', stream: true, messages: [{ role: 'user', content: 'Hello' }] }

  for (const [what, hooks] of [
    ['reads', {}],
    [
      'waits for a plugin that heeds no signal',
      {
        async *stream(_, events) {
          for await (const event of events) {
            yield event
            if (event.type === 'text') await new Promise(() => {})
          }
        },
      },
    ],
  ] satisfies [string, Hooks][])
    it(`once, when the client disconnects while it ${what}, and nothing is left behind`, async () => {
      const { plugin, outcomes } = settled(hooks)
      const provider = fakeProvider(endless)
      await using gateway = await listening([plugin], { allow_anonymous: true }, provider)
      const controller = new AbortController()
      const answer = await gateway.post(streamed, {}, controller.signal)
      const reader = answer.body!.getReader()
      await reader.read()
      controller.abort()
      await until(() => outcomes.length > 0 && provider.calls[0]!.signal.aborted)
      await turn()
      assert.deepEqual(
        outcomes.map(({ status, httpStatus }) => [status, httpStatus]),
        [['aborted', 499]],
      )
      assert.equal(gateway.clock.pending, 0, 'timers are left')
      assert.equal(gateway.gateway.pipeline.open, 0)
    })

  it('before the last byte: the ledger is right when the client has its answer', async () => {
    const waiting = gate()
    const plugin = hookPlugin('slow', { settle: () => waiting.promise })
    await using gateway = await listening([plugin], { allow_anonymous: true })
    const answer = await gateway.post(streamed)
    let text = ''
    const reading = (async () => {
      for await (const piece of answer.body!) text += Buffer.from(piece).toString()
    })()
    await until(() => text.includes('there'))
    for (let turns = 0; turns < 50; turns++) await turn()
    assert.ok(!text.includes('[DONE]'))
    waiting.open()
    await reading
    assert.ok(text.endsWith('data: [DONE]\n\n'))
  })
})

type Step = 'text' | 'pause' | 'throw' | 'cut' | 'error event'

/** What a client does after a number of records. */
interface Client {
  readonly readsRecords: number
  readonly andThen: 'abort' | 'leave' | 'read on'
}

describe('settle, whatever happens', () => {
  it('once, with every attempt closed and nothing left behind', async () => {
    const steps = fc.array(fc.constantFrom<Step>('text', 'text', 'text', 'pause', 'throw', 'cut', 'error event'), {
      maxLength: 6,
    })
    const client = fc.record<Client>({
      readsRecords: fc.nat(5),
      andThen: fc.constantFrom('abort', 'leave', 'read on'),
    })
    const plugins = fc.record({
      observe: fc.boolean(),
      event: fc.boolean(),
      stream: fc.boolean(),
      failingSettle: fc.boolean(),
      secondTurn: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 3 }), client, plugins, fc.boolean(), runSchedule),
      { numRuns: 60 },
    )
  })
})

async function runSchedule(
  scripts: readonly (readonly Step[])[],
  client: Client,
  plugins: Readonly<Record<'observe' | 'event' | 'stream' | 'failingSettle' | 'secondTurn', boolean>>,
  streamed: boolean,
): Promise<void> {
  const { plugin, outcomes } = settled({
    ...(plugins.observe && { observe: () => undefined }),
    ...(plugins.event && { event: (_, event) => [event], flush: () => [] }),
    ...(plugins.stream && {
      async *stream(_, events) {
        yield* events
      },
    }),
    ...(plugins.secondTurn && {
      async dispatch(_, next) {
        await next().catch(() => undefined)
        return next()
      },
    }),
  })
  const failing = hookPlugin('failing', {
    settle: () => {
      if (plugins.failingSettle) throw new Error('broken')
    },
  })
  const provider = fakeProvider((call, number) => play(scripts[(number - 1) % scripts.length]!, call))
  const gateway = await harness({ plugins: [plugin, failing], provider })
  const { controller, listeners } = countedSignal()
  const { signal } = controller
  const body = { model: 'fake/one', models: ['fake/two'] }
  const finish = <T>(work: Promise<T>): Promise<T> => passing(gateway.clock, work, 60_000)
  if (streamed) {
    const result = await finish(
      gateway.gateway.run(
        {
          operation: 'generate',
          dialect: 'chat',
          body: { ...body, stream: true, messages: [{ role: 'user', content: 'x' }] },
        },
        { id: 'tester' },
        signal,
      ),
    )
    if (result.stream) {
      const iterator = result.stream[Symbol.asyncIterator]()
      for (let read = 0; read < client.readsRecords; read++) if ((await finish(iterator.next())).done) break
      if (client.andThen === 'abort') controller.abort()
      else if (client.andThen === 'leave') await finish(iterator.return!())
      else while (!(await finish(iterator.next())).done);
    }
    await finish(result.settled)
  } else {
    const answer = gateway.send(body, { signal })
    for (let turns = 0; turns < client.readsRecords; turns++) await turn()
    if (client.andThen === 'abort') controller.abort()
    await finish(answer)
  }
  await turn()
  assert.equal(outcomes.length, 1, 'settled once')
  assert.equal(gateway.outcomes.length, 1)
  for (const attempt of outcomes[0]!.attempts) assert.notEqual(attempt.outcome, undefined, 'an attempt is open')
  for (const call of provider.calls) assert.ok(call.ended || call.signal.aborted, 'the upstream goes on')
  assert.equal(listeners(), 0, 'listeners are left on the signal of the caller')
  assertNothingLeft(gateway)
  await gateway.stop()
}

async function* play(steps: readonly Step[], call: { readonly signal: AbortSignal }): AsyncGenerator<StreamEvent> {
  yield { type: 'start' }
  for (const step of steps) {
    if (step === 'text') yield text('word ')
    else if (step === 'throw') throw gatewayError('provider_error', 'scripted', { retryable: 'same' })
    else if (step === 'error event') yield { type: 'error', error: gatewayError('provider_error', 'scripted') }
    else if (step === 'cut') return
    else await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
  }
  yield { type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } }
  yield { type: 'finish', reason: 'stop' }
}
