import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gatewayError } from '../../core/contract/errors.ts'
import type { GatewayErrorInit } from '../../core/contract/errors.ts'
import type { AttemptRecord, BillableCall, Hooks, StreamEvent } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { FakeCall, FakeProvider, Harness } from '../../core/testing/index.ts'
import { chatText, drain, hookPlugin, passing, text, turn, until } from './hook-plugin.ts'

/** What each model of the provider does: answers with a text, or fails so. */
type Behaviour = string | GatewayErrorInit

/** A provider whose models each have a list of behaviours, the last of which goes on for ever. */
function scripted(models: Readonly<Record<string, readonly Behaviour[]>>): FakeProvider {
  const made = new Map<string, number>()
  return fakeProvider(({ target }) => {
    const behaviours = models[target.model]!
    const count = made.get(target.model) ?? 0
    made.set(target.model, count + 1)
    const behaviour = behaviours[Math.min(count, behaviours.length - 1)]!
    if (typeof behaviour === 'string') return textEvents(behaviour)
    throw gatewayError('provider_error', `${target.model} failed`, behaviour)
  })
}

function modelsOf({ provider }: Harness): string[] {
  return provider.calls.map(({ target }) => target.model)
}

function textOf(body: unknown): unknown {
  return (body as { choices: { message: { content: string } }[] }).choices[0]?.message.content
}

describe('dispatch hooks', () => {
  it('stand around each other in plugin order', async () => {
    const order: string[] = []
    const around = (name: string) =>
      hookPlugin(name, {
        async dispatch(_, next) {
          order.push(`${name} in`)
          const reply = await next()
          order.push(`${name} out`)
          return reply
        },
      })
    await using gateway = await harness({ plugins: [around('one'), around('two')] })
    await gateway.send()
    assert.deepEqual(order, ['one in', 'two in', 'two out', 'one out'])
  })

  it('may call inside again: usage adds up, and every turn is reserved on its own', async () => {
    const reserved: string[] = []
    const loop = hookPlugin('loop', {
      async dispatch(exchange, next) {
        await drain((await next()).events!)
        return next({
          ...exchange.request,
          messages: [...exchange.request.messages, { role: 'user', content: [{ type: 'text', text: 'again' }] }],
        })
      },
    })
    const budget = hookPlugin('budget', {
      reserve: (_, call) => void reserved.push(`${call.request.messages.length} ${call.inputTokens}`),
    })
    const provider = fakeProvider((_, number) => textEvents(`turn ${number}`))
    await using gateway = await harness({ plugins: [loop, budget], provider })
    const { body, outcome } = await gateway.send()
    assert.equal(textOf(body), 'turn 2')
    assert.deepEqual(reserved, ['1 2', '2 3'])
    assert.deepEqual(outcome.usage, { inputTokens: 6, outputTokens: 4, native: undefined })
    assert.equal((body['usage'] as { total_tokens: number }).total_tokens, 10)
    assert.equal(outcome.attempts.length, 2)
  })

  it('change the request by what they give to next, and the next keep it', async () => {
    const changes = hookPlugin('changes', {
      dispatch: (exchange, next) => next({ ...exchange.request, temperature: 0.5 }),
    })
    const passes = hookPlugin('passes', { dispatch: (_, next) => next() })
    await using gateway = await harness({ plugins: [changes, passes] })
    await gateway.send()
    assert.equal(gateway.provider.calls[0]!.request.temperature, 0.5)
  })

  it('may answer without the provider, and response hooks still apply', async () => {
    const cache = hookPlugin('cache', {
      dispatch: (exchange) =>
        Promise.resolve(exchange.reply('from cache', { usage: { inputTokens: 7, outputTokens: 5 } })),
    })
    const shout = hookPlugin('shout', {
      event: (_, event) => (event.type === 'text' ? { ...event, text: event.text.toUpperCase() } : undefined),
    })
    await using gateway = await harness({ plugins: [cache, shout] })
    const { body, outcome } = await gateway.send()
    assert.equal(textOf(body), 'FROM CACHE')
    assert.equal(gateway.provider.calls.length, 0)
    assert.equal(outcome.usage, undefined, 'a cache hit is charged')
    assert.equal((body['usage'] as { total_tokens: number }).total_tokens, 12, 'its usage is not shown')
    const { records } = await gateway.stream()
    assert.equal(chatText(await drain(records)), 'FROM CACHE')
  })

  it('may rescue a failure inside', async () => {
    const rescue = hookPlugin('rescue', {
      dispatch: (exchange, next) => next().catch(() => exchange.reply('sorry')),
    })
    await using gateway = await harness({ plugins: [rescue], provider: scripted({ 'fake-model': [{}] }) })
    const { status, body } = await gateway.send()
    assert.equal(status, 200)
    assert.equal(textOf(body), 'sorry')
  })

  it('that leave an answer unread: its call ends with the exchange', async () => {
    const forgets = hookPlugin('forgets', {
      async dispatch(_, next) {
        await next()
        return next()
      },
    })
    const provider = fakeProvider(async function* (call: FakeCall, number) {
      if (number === 2) return yield* textEvents('second')
      yield text('first')
      await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
    })
    await using gateway = await harness({ plugins: [forgets], provider })
    assert.equal(textOf((await gateway.send()).body), 'second')
    assert.ok(provider.calls[0]!.signal.aborted)
  })
})

describe('what a dispatch hook leaves behind', () => {
  it('starts nothing more once the exchange is settled', async () => {
    const again = { retryable: 'same' } as const
    let left: Promise<unknown> | undefined
    const races = hookPlugin('races', {
      dispatch(exchange, next) {
        left = next().catch((error: unknown) => error)
        return Promise.resolve(exchange.reply('first'))
      },
    })
    await using gateway = await harness({ plugins: [races], provider: scripted({ one: [again, 'late'] }) })
    await gateway.send({ model: 'fake/one' })
    await gateway.clock.advance(10_000)
    assert.ok(left && (await left) instanceof Error)
    assert.ok(gateway.provider.calls.length <= 1)
  })
})

describe('reserve hooks', () => {
  it('are called before the call, with the final request, its targets and its ceiling', async () => {
    const calls: BillableCall[] = []
    const budget = hookPlugin('budget', {
      reserve(_, call) {
        assert.equal(provider.calls.length, 0)
        calls.push(call)
      },
    })
    const provider = fakeProvider()
    await using gateway = await harness({
      plugins: [budget],
      provider,
      config: { models: { 'fake/one': { max_output_tokens: 100 }, 'fake/two': { max_output_tokens: 900 } } },
    })
    await gateway.send({ model: 'fake/one', models: ['fake/two'] })
    assert.deepEqual(
      calls[0]!.targets.map(({ name }) => name),
      ['fake/one', 'fake/two'],
    )
    assert.equal(calls[0]!.outputTokens, 900, 'the dearest target left')
    assert.equal(calls[0]!.inputTokens, 2)
  })

  it('know no ceiling where one target has none, and take the one of the client first', async () => {
    const seen: (number | undefined)[] = []
    const budget = hookPlugin('budget', { reserve: (_, call) => void seen.push(call.outputTokens) })
    await using gateway = await harness({
      plugins: [budget],
      config: { models: { 'fake/one': { max_output_tokens: 100 } } },
    })
    await gateway.send({ model: 'fake/one', models: ['fake/two'] })
    await gateway.send({ model: 'fake/one', max_tokens: 7 })
    assert.deepEqual(seen, [undefined, 7])
  })

  it('may clamp the output, never raise it, and the client is told', async () => {
    const clamped: (number | undefined)[] = []
    const clamps = hookPlugin('clamps', {
      reserve(_, call) {
        call.clamp(50, 'the budget is nearly spent')
        call.clamp(80, 'a second opinion')
        clamped.push(call.outputTokens)
      },
    })
    await using gateway = await harness({ plugins: [clamps] })
    const { body } = await gateway.send({ max_tokens: 100 }, { headers: { 'x-hadrian-metadata': 'enabled' } })
    assert.equal(gateway.provider.calls[0]!.request.maxOutputTokens, 50)
    const { warnings } = body['hadrian_metadata'] as { warnings: { code: string; param: string; message: string }[] }
    assert.deepEqual(warnings, [
      {
        code: 'adjusted_value',
        param: 'max_tokens',
        message: 'Output is limited to 50 tokens: the budget is nearly spent',
      },
    ])
    await gateway.send({ max_tokens: 10 })
    assert.equal(gateway.provider.calls[1]!.request.maxOutputTokens, 10)
    assert.deepEqual(clamped, [50, 10])
  })

  it('refuse: nothing is sent', async () => {
    const spent = hookPlugin('spent', {
      reserve() {
        throw gatewayError('budget_exceeded', 'Budget limit exceeded for monthly period')
      },
    })
    await using gateway = await harness({ plugins: [spent] })
    assert.equal((await gateway.send()).status, 402)
    assert.equal(gateway.provider.calls.length, 0)
  })

  it('are not asked when no target is left', async () => {
    let asked = 0
    const empties = hookPlugin('empties', { route: (exchange) => void (exchange.targets = []) })
    const budget = hookPlugin('budget', { reserve: () => void asked++ })
    await using gateway = await harness({ plugins: [empties, budget] })
    const { status, body } = await gateway.send({ model: undefined, models: ['fake/one'] })
    const error = body['error'] as { code: string; details: { requested: string[]; candidates: unknown[] } }
    assert.equal(status, 400)
    assert.equal(error.code, 'routing_error')
    assert.deepEqual(error.details.requested, ['fake/one'])
    assert.deepEqual(error.details.candidates, [{ target: 'fake/one', removed_by: 'route' }])
    assert.equal(asked, 0)
  })
})

describe('attempts', () => {
  it('have hooks around each of them', async () => {
    const log: string[] = []
    const around = (name: string): Hooks => ({
      async attempt(_, attempt, next) {
        log.push(`${name} ${attempt.number} ${attempt.target.model}`)
        return next()
      },
    })
    await using gateway = await harness({
      plugins: [hookPlugin('one', around('one')), hookPlugin('two', around('two'))],
      provider: scripted({ bad: [{ retryable: true }], good: ['fine'] }),
    })
    await gateway.send({ model: 'fake/bad', models: ['fake/good'] })
    assert.deepEqual(log, ['one 1 bad', 'two 1 bad', 'one 2 good', 'two 2 good'])
  })

  it('edit the request of one target only', async () => {
    const edits = hookPlugin('edits', {
      attempt(_, attempt, next) {
        if (attempt.target.model === 'bad') attempt.edit((request) => ({ ...request, seed: 1 }))
        return next()
      },
      settle: (exchange) => assert.equal(exchange.request.seed, undefined),
    })
    await using gateway = await harness({
      plugins: [edits],
      provider: scripted({ bad: [{ retryable: true }], good: ['fine'] }),
    })
    await gateway.send({ model: 'fake/bad', models: ['fake/good'] })
    assert.deepEqual(
      gateway.provider.calls.map(({ request }) => request.seed),
      [1, undefined],
    )
    assert.ok(!gateway.log.some(({ message }) => message === 'settle failed'))
  })

  it('say how a cut stream ended, after next has resolved', async () => {
    const records: AttemptRecord[] = []
    let resolved = false
    const breaker = hookPlugin('breaker', {
      async attempt(_, attempt, next) {
        void attempt.done.then((record) => records.push(record))
        const reply = await next()
        resolved = true
        assert.equal(records.length, 0)
        return reply
      },
    })
    const provider = fakeProvider(function* () {
      yield* textEvents('one two').slice(0, 2)
    })
    await using gateway = await harness({ plugins: [breaker], provider })
    const { records: pieces } = await gateway.stream()
    await drain(pieces)
    assert.ok(resolved)
    assert.deepEqual(
      records.map(({ outcome, error }) => [outcome, error?.code]),
      [['failed', 'provider_error']],
    )
  })

  it('of which a hook throws the answer away: the upstream is cancelled at once', async () => {
    const picky = hookPlugin('picky', {
      async attempt(_, attempt, next) {
        const reply = await next()
        if (attempt.number === 1) throw gatewayError('provider_unavailable', 'not this one', { retryable: true })
        return reply
      },
    })
    const provider = fakeProvider(async function* (call: FakeCall, number) {
      if (number === 2) return yield* textEvents('second')
      yield text('first')
      await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
    })
    await using gateway = await harness({ plugins: [picky], provider })
    const { records, outcome } = await gateway.stream({ model: 'fake/one', models: ['fake/two'] })
    await records.next()
    assert.ok(provider.calls[0]!.signal.aborted, 'the upstream goes on')
    assert.ok(!provider.calls[1]!.signal.aborted)
    await drain(records)
    assert.equal((await outcome).status, 'completed')
    assert.equal(gateway.clock.pending, 0)
  })
})

describe('retry and fallback', () => {
  const fallsBack = { retryable: true } as const
  const again = { retryable: 'same' } as const

  it('try models in order, and say who answered', async () => {
    await using gateway = await harness({
      provider: scripted({ one: [fallsBack], two: [fallsBack], three: ['fine'] }),
    })
    const { headers, body, outcome } = await gateway.send({ model: 'fake/one', models: ['fake/two', 'fake/three'] })
    assert.deepEqual(modelsOf(gateway), ['one', 'two', 'three'])
    assert.equal(headers['x-model'], 'three')
    assert.equal(headers['x-hadrian-attempts'], '3')
    assert.equal(outcome.target?.name, 'fake/three')
    assert.equal(textOf(body), 'fine')
    assert.deepEqual(outcome.usage, { inputTokens: 3, outputTokens: 2 }, 'only the call that answered is charged')
  })

  it('return the last error', async () => {
    await using gateway = await harness({ provider: scripted({ one: [fallsBack], two: [fallsBack] }) })
    const { body } = await gateway.send({ model: 'fake/one', models: ['fake/two'] })
    assert.equal((body['error'] as { message: string }).message, 'two failed')
  })

  it('do not move on from a mistake of the client', async () => {
    await using gateway = await harness({ provider: scripted({ one: [{ retryable: false }], two: ['fine'] }) })
    await gateway.send({ model: 'fake/one', models: ['fake/two'] })
    assert.deepEqual(modelsOf(gateway), ['one'])
  })

  it('go round to the first target again, after a pause, until retries are used up', async () => {
    await using gateway = await harness({
      provider: scripted({ one: [again], two: [again, again, 'fine'] }),
      config: { routing: { default_provider: 'fake', retries_per_target: 2, max_attempts: 9 } },
    })
    const answer = gateway.send({ model: 'fake/one', models: ['fake/two'] })
    await turn()
    assert.deepEqual(modelsOf(gateway), ['one', 'two'], 'there was no pause')
    assert.equal((await passing(gateway.clock, answer, 50)).status, 200)
    assert.deepEqual(modelsOf(gateway), ['one', 'two', 'one', 'two', 'one', 'two'])
    assert.equal(gateway.clock.pending, 0)
  })

  it('stop at the limit of attempts', async () => {
    await using gateway = await harness({
      provider: scripted({ one: [again], two: [again], three: ['fine'] }),
      config: { routing: { default_provider: 'fake', retries_per_target: 5, max_attempts: 2 } },
    })
    await passing(gateway.clock, gateway.send({ model: 'fake/one', models: ['fake/two', 'fake/three'] }), 50)
    assert.deepEqual(modelsOf(gateway), ['one', 'two'])
  })

  it('wait as long as Retry-After says', async () => {
    await using gateway = await harness({
      provider: scripted({ one: [{ ...again, headers: { 'Retry-After': '1' } }, 'fine'] }),
    })
    const answer = gateway.send({ model: 'fake/one' })
    await gateway.clock.advance(990)
    assert.equal(gateway.provider.calls.length, 1)
    await gateway.clock.advance(20)
    assert.equal(gateway.provider.calls.length, 2)
    assert.equal((await answer).status, 200)
  })

  it('do not wait long: the client gets the error and its Retry-After', async () => {
    await using gateway = await harness({
      provider: scripted({ one: [{ ...again, headers: { 'Retry-After': '30' } }, 'fine'] }),
    })
    const { status, headers } = await gateway.send({ model: 'fake/one' })
    assert.equal(status, 502)
    assert.equal(headers['Retry-After'] ?? headers['retry-after'], '30')
    assert.equal(gateway.provider.calls.length, 1)
  })

  it('end with the client during the pause', async () => {
    await using gateway = await harness({ provider: scripted({ one: [again, 'fine'] }) })
    const controller = new AbortController()
    const answer = gateway.send({ model: 'fake/one' }, { signal: controller.signal })
    await until(() => gateway.provider.calls.length === 1)
    await turn()
    controller.abort()
    assert.equal((await answer).outcome.status, 'aborted')
    assert.equal(gateway.clock.pending, 0)
    assert.equal(gateway.provider.calls.length, 1)
  })

  it('never happen once an event has come', async () => {
    const provider = fakeProvider(function* () {
      yield* textEvents('one two').slice(0, 2)
      throw gatewayError('provider_error', 'cut', { retryable: 'same' })
    })
    await using gateway = await harness({ provider })
    const { records } = await gateway.stream({ model: 'fake/one', models: ['fake/two'] })
    await drain(records)
    assert.equal(provider.calls.length, 1)
  })

  it('check access again for what a route hook puts in', async () => {
    const adds = hookPlugin('adds', {
      route(exchange) {
        const [first] = exchange.targets
        exchange.targets = [{ ...first!, model: 'secret', name: 'fake/secret', requested: 'fake/secret' }, first!]
        assert.deepEqual(exchange.targets, [first])
      },
    })
    await using gateway = await harness({
      plugins: [adds],
      provider: scripted({ secret: ['leaked'], one: ['fine'] }),
      principal: { id: 'limited', allowedModels: ['fake/one'] },
    })
    assert.equal(textOf((await gateway.send({ model: 'fake/one' })).body), 'fine')
    assert.deepEqual(modelsOf(gateway), ['one'])
  })

  it('leave out a target that does not serve the operation', async () => {
    const chatOnly = fakeProvider(undefined, { operations: ['generate'] })
    await using gateway = await harness({ provider: chatOnly })
    const { status, body } = await gateway.send({}, { dialect: 'embeddings' })
    assert.equal(status, 400)
    assert.match(JSON.stringify(body), /does not serve embeddings/)
  })

  it('take a target off the list by its name', async () => {
    const breaker = hookPlugin('breaker', {
      route: (exchange) => exchange.exclude({ ...exchange.targets[0]! }, 'breaker: open'),
    })
    await using gateway = await harness({ plugins: [breaker], provider: scripted({ one: ['1'], two: ['2'] }) })
    await gateway.send({ model: 'fake/one', models: ['fake/two'] })
    assert.deepEqual(modelsOf(gateway), ['two'])
  })
})

describe('several choices of a provider that gives one', () => {
  const letters = ['a', 'b', 'c']

  it('are as many calls, reserved each, merged and charged together', async () => {
    let reserved = 0
    const budget = hookPlugin('budget', {
      reserve(_, call) {
        reserved++
        assert.equal(call.request.n, undefined)
      },
    })
    const provider = fakeProvider((_, number) => textEvents(letters[number - 1]!), { choices: false })
    await using gateway = await harness({ plugins: [budget], provider })
    const { body, outcome } = await gateway.send({ n: 3 })
    const choices = body['choices'] as { index: number; message: { content: string }; finish_reason: string }[]
    assert.deepEqual(
      choices.map(({ index, message, finish_reason: reason }) => [index, message.content, reason]),
      letters.map((letter, index) => [index, letter, 'stop']),
    )
    assert.equal(reserved, 3)
    assert.equal(outcome.usage?.outputTokens, 6)
    assert.equal((body['usage'] as { total_tokens: number }).total_tokens, 15)
  })

  it('stream side by side', async () => {
    const provider = fakeProvider((_, number) => textEvents(`${letters[number - 1]} ${letters[number - 1]}`), {
      choices: false,
    })
    const seen: string[] = []
    const observer = hookPlugin('observer', { observe: (_, event) => void seen.push(event.type) })
    await using gateway = await harness({ plugins: [observer], provider })
    const { records } = await gateway.stream({ n: 2 })
    const all = await drain(records)
    assert.equal(seen.filter((type) => type === 'start').length, 1)
    assert.equal(chatText(all, 0), 'a a')
    assert.equal(chatText(all, 1), 'b b')
    const finishes = all.flatMap(
      ({ data }) => (data as { choices?: { finish_reason: string | null }[] }).choices?.[0]?.finish_reason ?? [],
    )
    assert.deepEqual(finishes, ['stop', 'stop'])
    assert.equal(all.at(-1)!.data, '[DONE]')
  })

  it('fail together, and all calls end', async () => {
    const provider = fakeProvider(
      async function* (call: FakeCall, number): AsyncGenerator<StreamEvent> {
        yield text('so far')
        if (number === 2) throw gatewayError('provider_error', 'cut')
        await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
      },
      { choices: false },
    )
    await using gateway = await harness({ provider })
    const { records, outcome } = await gateway.stream({ n: 2 })
    const all = await drain(records)
    assert.equal((all.at(-1)!.data as { error: { code: string } }).error.code, 'provider_error')
    const { status, attempts } = await outcome
    assert.equal(status, 'failed')
    assert.ok(attempts.every((attempt) => attempt.outcome === 'failed' || attempt.outcome === 'aborted'))
    assert.ok(provider.calls.every((call) => call.ended || call.signal.aborted))
    assert.equal(gateway.clock.pending, 0)
  })

  it('are one call where the provider gives several', async () => {
    await using gateway = await harness()
    await gateway.send({ n: 3 })
    assert.equal(gateway.provider.calls.length, 1)
    assert.equal(gateway.provider.calls[0]!.request.n, 3)
  })
})

describe('a model that breaks off', () => {
  const broken: StreamEvent[] = [text('so far'), { type: 'finish', reason: 'error', raw: 'error' }]

  it('is a failure, streamed and not: no client sees a finish reason it does not know', async () => {
    await using gateway = await harness({
      provider: fakeProvider(() => broken),
      config: { routing: { max_attempts: 1 } },
    })
    const { status, body } = await gateway.send()
    assert.equal(status, 502)
    assert.match(JSON.stringify(body), /broke off/)
    const { records, outcome } = await gateway.stream()
    const last = (await drain(records)).at(-1)!.data as { error: { code: string } }
    assert.equal(last.error.code, 'provider_error')
    assert.equal((await outcome).status, 'failed')
  })

  it('before its first word lets another target answer', async () => {
    const provider = fakeProvider(({ target }) =>
      target.model === 'broken' ? [{ type: 'finish', reason: 'error' }] : textEvents('Fine.'),
    )
    await using gateway = await harness({ provider })
    const { body } = await gateway.send({ models: ['fake/broken', 'fake/good'], model: null })
    assert.equal(textOf(body), 'Fine.')
  })
})
