import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../core/contract/errors.ts'
import type { Exchange, HookName, Hooks, InboundCall, Reply } from '../../core/contract/plugin.ts'
import { hookNames, jsonReply } from '../../core/contract/plugin.ts'
import type { PluginDefinition } from '../../core/contract/plugin.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'
import { drain, hookPlugin, noOptions, until } from './hook-plugin.ts'
import { listening } from './listening-gateway.ts'

/** A plugin with every hook, each of which writes down that and how it was called. */
function everyHook(log: [hook: string, given: readonly unknown[]][], prefix = ''): Hooks {
  const note = (hook: string, ...given: readonly unknown[]): void => void log.push([prefix + hook, given])
  return {
    receive: (...given) => note('receive', ...given),
    authenticate(...given) {
      note('authenticate', ...given)
      given[0].identify({ id: 'known' })
    },
    authorize: (...given) => note('authorize', ...given),
    admit: (...given) => note('admit', ...given),
    route: (...given) => note('route', ...given),
    transform: (...given) => note('transform', ...given),
    dispatch(...given) {
      note('dispatch', ...given)
      return given[1]()
    },
    reserve: (...given) => note('reserve', ...given),
    attempt(...given) {
      note('attempt', ...given)
      return given[2]()
    },
    observe: (...given) => note('observe', ...given),
    event: (...given) => note('event', ...given),
    flush: (...given) => note('flush', ...given),
    async *stream(...given) {
      note('stream', ...given)
      yield* given[1]
    },
    settle: (...given) => note('settle', ...given),
  }
}

const hello = { model: 'fake/fake-model', messages: [{ role: 'user', content: 'Hello' }] }
const requestHooks = ['authorize', 'admit', 'route', 'transform'] as const

describe('every hook', () => {
  it('is called over HTTP, in the order of the table', async () => {
    const log: [string, readonly unknown[]][] = []
    await using gateway = await listening([hookPlugin('all', everyHook(log))])
    for (const stream of [false, true]) {
      log.length = 0
      const answer = await gateway.post({ ...hello, stream })
      assert.equal(answer.status, 200)
      await answer.text()
      const firsts = [...new Set(log.map(([hook]) => hook))]
      const inbound = firsts.slice(0, 9)
      assert.deepEqual(inbound, hookNames.slice(0, 9))
      assert.deepEqual(new Set(firsts), new Set(hookNames))
      assert.equal(firsts.at(-1), 'settle')
    }
  })

  it('gets exactly the arguments of its signature', async () => {
    const log: [string, readonly unknown[]][] = []
    await using gateway = await harness({ plugins: [hookPlugin('all', everyHook(log))] })
    await gateway.send()
    const given = (hook: HookName): readonly unknown[] => log.find(([name]) => name === hook)![1]
    const exchange = given('authorize')[0] as Exchange
    assert.equal(exchange.principal.id, 'tester')
    for (const [hook, ...rest] of log) assert.equal((rest[0][0] as Exchange).id, exchange.id, hook)
    for (const hook of requestHooks) assert.deepEqual(given(hook).slice(1), [{}])
    assert.deepEqual(given('dispatch').map((each) => typeof each), ['object', 'function']) // prettier-ignore
    assert.equal(given('reserve').length, 2)
    assert.equal((given('reserve')[1] as { inputTokens: number }).inputTokens, 2)
    assert.deepEqual(given('attempt').map((each) => typeof each), ['object', 'object', 'function']) // prettier-ignore
    assert.equal((given('attempt')[1] as { number: number }).number, 1)
    assert.equal(given('observe').length, 2)
    assert.equal((given('event')[1] as { type: string }).type, 'start')
    assert.deepEqual(given('event')[2], {})
    assert.deepEqual(given('flush').slice(1), [{}])
    assert.equal(typeof (given('stream')[1] as AsyncIterable<unknown>)[Symbol.asyncIterator], 'function')
    assert.deepEqual(given('stream')[2], {})
    assert.equal((given('settle')[1] as { status: string }).status, 'completed')
    assert.equal(given('settle').length, 2)
    const inbound: unknown[] = []
    const seesCalls = hookPlugin('sees-calls', { receive: (...all) => void inbound.push(...all) })
    await using server = await listening([seesCalls], { allow_anonymous: true })
    await (await server.post(hello, { 'x-custom': 'yes' })).text()
    assert.equal(inbound.length, 1)
    const call = inbound[0] as InboundCall
    assert.deepEqual(
      [call.method, call.path, call.headers['x-custom'], call.ip, call.principal],
      ['POST', '/v1/chat/completions', 'yes', '127.0.0.1', { id: 'anonymous' }],
    )
  })

  it('is called in plugin order, those of the answer and settle in reverse', async () => {
    const log: [string, readonly unknown[]][] = []
    await using gateway = await harness({
      plugins: [hookPlugin('one', everyHook(log, '1 ')), hookPlugin('two', everyHook(log, '2 '))],
    })
    await gateway.send()
    const order = (hook: string): string =>
      log
        .filter(([name]) => name.endsWith(` ${hook}`))
        .slice(0, 2)
        .map(([name]) => name[0])
        .join('')
    for (const hook of [...requestHooks, 'dispatch', 'reserve', 'attempt']) assert.equal(order(hook), '12', hook)
    for (const hook of ['event', 'flush', 'settle']) assert.equal(order(hook), '21', hook)
  })

  it('keeps its this', async () => {
    const seen: unknown[] = []
    const hooks: Hooks & { secret?: string } = {
      transform(this: { secret?: string }) {
        seen.push(this === hooks)
      },
    }
    await using gateway = await harness({ plugins: [hookPlugin('bound', hooks)] })
    await gateway.send()
    assert.deepEqual(seen, [true])
  })
})

describe('request hooks', () => {
  for (const hook of requestHooks) {
    for (const kind of ['at once', 'later'] as const) {
      const outcome = async (value: () => Reply | void): Promise<Reply | void> => value()
      const plugins = (value: (exchange: Exchange) => Reply | void, after: string[]): PluginDefinition[] => [
        hookPlugin('decides', {
          [hook]: (exchange: Exchange) => (kind === 'later' ? outcome(() => value(exchange)) : value(exchange)),
        }),
        hookPlugin('follows', { [hook]: () => void after.push(hook), settle: () => void after.push('settle') }),
      ]

      it(`continue by returning nothing: ${hook}, ${kind}`, async () => {
        const after: string[] = []
        await using gateway = await harness({ plugins: plugins(() => undefined, after) })
        assert.equal((await gateway.send()).status, 200)
        assert.deepEqual(after, [hook, 'settle'])
        assert.equal(gateway.provider.calls.length, 1)
      })

      it(`answer by returning a reply: ${hook}, ${kind}`, async () => {
        const after: string[] = []
        await using gateway = await harness({ plugins: plugins((exchange) => exchange.reply('mine'), after) })
        const { status, body } = await gateway.send()
        assert.equal(status, 200)
        assert.match(JSON.stringify(body), /"content":"mine"/)
        assert.deepEqual(after, ['settle'])
        assert.equal(gateway.provider.calls.length, 0)
      })

      it(`fail by returning what is no reply: ${hook}, ${kind}`, async () => {
        for (const answer of [true, 'yes', {}]) {
          await using gateway = await harness({ plugins: plugins(() => answer as never, []) })
          const { status, outcome } = await gateway.send()
          assert.deepEqual([status, outcome.status], [500, 'failed'])
          assert.notEqual(outcome.plugin, undefined)
        }
      })

      it(`refuse by throwing: ${hook}, ${kind}`, async () => {
        const after: string[] = []
        const refuse = (): never => {
          throw new GatewayError('no_luck', 418, 'no luck', { details: { why: 'because' }, headers: { 'x-why': 'y' } })
        }
        await using gateway = await harness({ plugins: plugins(refuse, after) })
        const { status, headers, body, outcome: ending } = await gateway.send()
        assert.equal(status, 418)
        assert.equal(headers['x-why'], 'y')
        const { code, message, details } = body['error'] as { code: string; message: string; details: unknown }
        assert.deepEqual([code, message, details], ['no_luck', 'no luck', { why: 'because' }])
        assert.deepEqual([ending.plugin, ending.error?.hook], ['decides', hook])
        assert.deepEqual(after, ['settle'])
      })

      it(`fail without telling: ${hook}, ${kind}`, async () => {
        const after: string[] = []
        const fail = (): never => {
          throw new Error('secret detail')
        }
        await using gateway = await harness({ plugins: plugins(fail, after) })
        const { status, body } = await gateway.send()
        assert.equal(status, 500)
        assert.equal((body['error'] as { code: string }).code, 'internal_error')
        assert.ok(!JSON.stringify(body).includes('secret'))
        assertLogged(gateway, 'decides', hook, 'secret detail')
        assert.deepEqual(after, ['settle'])
      })
    }

    it(`say that the database is away: ${hook}`, async () => {
      const fail = (): never => {
        throw Object.assign(new Error('secret host cannot be reached'), { code: 'database_unavailable' })
      }
      await using gateway = await harness({ plugins: [hookPlugin('reads', { [hook]: fail })] })
      const { status, body } = await gateway.send()
      assert.equal(status, 503)
      const { code, type, message } = body['error'] as { code: string; type: string; message: string }
      assert.deepEqual(
        { code, type, message },
        {
          code: 'database_unavailable',
          type: 'server_error',
          message: 'The database cannot be reached at the moment',
        },
      )
      assertLogged(gateway, 'reads', hook, 'secret host')
    })

    it(`are held to their deadline: ${hook}`, async () => {
      const sleeps = hookPlugin('sleeps', { [hook]: () => new Promise(() => {}) })
      await using gateway = await harness({ plugins: [sleeps] })
      const answer = gateway.send()
      await gateway.clock.advance(4_999)
      assert.equal(gateway.outcomes.length, 0)
      await gateway.clock.advance(1)
      assert.equal((await answer).status, 500)
      assertLogged(gateway, 'sleeps', hook, 'no result after 5000 ms')
      assert.equal(gateway.clock.pending, 0)
    })
  }

  it('have the deadline the operator gives them', async () => {
    const sleeps = hookPlugin('sleeps', { transform: () => new Promise(() => {}) })
    await using gateway = await harness({ plugins: [[sleeps, { timeout_ms: 50 }]] })
    const answer = gateway.send()
    await gateway.clock.advance(50)
    assert.equal((await answer).status, 500)
  })

  it('that fail, hang or throw with failure = "open" are skipped and logged; their refusals count', async () => {
    const broken = hookPlugin('broken', {
      transform() {
        throw new Error('broken')
      },
    })
    const hangs = hookPlugin('hangs', { transform: () => new Promise(() => {}) }, { failure: 'open' })
    const rejects = hookPlugin('rejects', { transform: () => Promise.reject(new Error('rejected')) })
    await using gateway = await harness({
      plugins: [[broken, { failure: 'open' }], hangs, [rejects, { failure: 'open' }]],
    })
    const answer = gateway.send()
    await until(() => gateway.clock.pending > 0)
    await gateway.clock.advance(5_000)
    assert.equal((await answer).status, 200)
    assert.deepEqual(
      gateway.log.filter(({ level }) => level === 'warn').map(({ fields }) => [fields['plugin'], fields['hook']]),
      ['broken', 'hangs', 'rejects'].map((plugin) => [plugin, 'transform']),
    )
    const refuses = hookPlugin('refuses', {
      transform() {
        throw new GatewayError('content_blocked', 400, 'no')
      },
    })
    await using refusing = await harness({ plugins: [[refuses, { failure: 'open' }]] })
    assert.equal((await refusing.send()).status, 400)
  })

  for (const hook of ['dispatch', 'attempt'] as const)
    it(`around the provider are skipped with failure = "open" if they fail before it is called: ${hook}`, async () => {
      const broken = hookPlugin('broken', { [hook]: () => Promise.reject(new Error('broken')) })
      await using gateway = await harness({ plugins: [[broken, { failure: 'open' }]] })
      assert.equal((await gateway.send()).status, 200)
      await using closed = await harness({ plugins: [broken] })
      const { status, outcome } = await closed.send()
      assert.deepEqual([status, outcome.plugin, outcome.error?.hook], [500, 'broken', hook])
    })

  it('may set headers, and answer with a body of their own', async () => {
    const plugin = hookPlugin('plugin', {
      authorize: (exchange) => exchange.header('x-mine', '1'),
      transform: (exchange) =>
        exchange.request.user === 'teapot'
          ? jsonReply({ short: 'stout' }, { status: 203, headers: { 'x-tea': 'pot' } })
          : undefined,
    })
    await using gateway = await harness({ plugins: [plugin] })
    assert.equal((await gateway.send()).headers['x-mine'], '1')
    const { status, headers, body, outcome } = await gateway.send({ user: 'teapot' })
    assert.deepEqual([status, headers['x-tea'], headers['x-mine'], body], [203, 'pot', '1', { short: 'stout' }])
    assert.deepEqual([outcome.status, outcome.httpStatus, outcome.plugin], ['completed', 203, 'plugin'])
    const stream = await gateway.stream()
    assert.equal(stream.headers['x-mine'], '1')
    await drain(stream.records)
  })

  it('share state by keys of their own', async () => {
    const { stateKey } = await import('../../core/contract/plugin.ts')
    const key = stateKey<number>('test.count')
    const seen: (number | undefined)[] = []
    const plugin = hookPlugin('plugin', {
      authorize(exchange) {
        seen.push(exchange.get(key))
        exchange.set(key, 7)
      },
      settle: (exchange) => void seen.push(exchange.get(key)),
    })
    await using gateway = await harness({ plugins: [plugin] })
    await gateway.send()
    await gateway.send()
    assert.deepEqual(seen, [undefined, 7, undefined, 7])
  })
})

describe('receive and authenticate', () => {
  it('come before the body is read: a refusal wins over a body that is no JSON', async () => {
    for (const hook of ['receive', 'authenticate'] as const) {
      const refuses = hookPlugin('refuses', {
        [hook]: () => {
          throw new GatewayError('ip_not_allowed', 403, 'not from here')
        },
      })
      await using gateway = await listening([refuses], { allow_anonymous: true })
      const answer = await gateway.post('{ no json')
      assert.equal(answer.status, 403)
      assert.equal(((await answer.json()) as { error: { type: string } }).error.type, 'permission_error')
    }
  })

  it('answer by returning a reply', async () => {
    for (const hook of ['receive', 'authenticate'] as const) {
      const answers = hookPlugin('answers', { [hook]: () => jsonReply({ hook }, { status: 202 }) })
      await using gateway = await listening([answers])
      const answer = await gateway.post(hello)
      assert.equal(answer.status, 202)
      assert.deepEqual(await answer.json(), { hook })
    }
  })

  it('fail without telling, and closed', async () => {
    for (const hook of ['receive', 'authenticate'] as const) {
      const broken = hookPlugin('broken', {
        [hook]: () => {
          throw new Error('secret detail')
        },
      })
      await using gateway = await listening([broken], { allow_anonymous: true })
      const answer = await gateway.post(hello)
      assert.equal(answer.status, 500)
      assert.ok(!(await answer.text()).includes('secret'))
      assertLogged(gateway, 'broken', hook, 'secret detail')
    }
  })

  it('are held to their deadline', async () => {
    for (const hook of ['receive', 'authenticate'] as const) {
      let called = false
      const sleeps = hookPlugin('sleeps', {
        [hook]: () => {
          called = true
          return new Promise(() => {})
        },
      })
      await using gateway = await listening([sleeps], { allow_anonymous: true })
      const answer = gateway.post(hello)
      await until(() => called)
      await gateway.clock.advance(5_000)
      assert.equal((await answer).status, 500)
    }
  })

  it('let nobody in whom no plugin knows, whatever plugins there are', async () => {
    const shrugs = hookPlugin('shrugs', { authenticate: () => undefined })
    for (const plugins of [[], [shrugs]]) {
      await using gateway = await listening(plugins)
      const answer = await gateway.post(hello)
      assert.equal(answer.status, 401)
      assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'missing_credentials')
    }
  })

  it('skip later authenticate hooks once somebody is known, and let in who is known', async () => {
    const asked: string[] = []
    const principals: string[] = []
    const knows = (name: string) =>
      hookPlugin(name, {
        authenticate(call) {
          asked.push(name)
          call.identify({ id: name })
        },
        authorize: (exchange) => void principals.push(exchange.principal.id),
      })
    await using gateway = await listening([knows('first'), knows('second')])
    const answer = await gateway.post(hello)
    assert.equal(answer.status, 200)
    await answer.text()
    assert.deepEqual(asked, ['first'])
    assert.deepEqual(principals, ['first', 'first'])
  })

  it('do not let a known caller do what its scopes do not say', async () => {
    const limited = hookPlugin('limited', { authenticate: (call) => call.identify({ id: 'x', scopes: ['models'] }) })
    await using gateway = await listening([limited])
    assert.equal((await gateway.post(hello)).status, 403)
  })

  it('come before anything is said about plugins or models', async () => {
    await using gateway = await listening([hookPlugin('named', {}, { params: noOptions })])
    for (const body of [{ ...hello, plugins: [{ id: 'wrong' }] }, { ...hello, model: 'wrong' }, { nonsense: true }])
      assert.equal((await gateway.post(body)).status, 401)
  })
})

describe('hooks of the answer', () => {
  for (const hook of ['event', 'flush', 'stream', 'reserve', 'dispatch', 'attempt'] as const)
    it(`fail without telling: ${hook}`, async () => {
      const broken: Hooks = {
        ...(hook === 'flush' && { event: () => undefined }),
        [hook]: () => {
          throw new Error('secret detail')
        },
      }
      await using gateway = await harness({
        plugins: [hookPlugin('broken', broken)],
        provider: fakeProvider(() => textEvents('one')),
      })
      const { status, body } = await gateway.send()
      assert.equal(status, 500)
      assert.ok(!JSON.stringify(body).includes('secret'))
      assertLogged(gateway, 'broken', hook, 'secret detail')
    })
})

/** Some line of the log says which plugin and which hook failed, and with what. */
function assertLogged({ log }: Pick<Harness, 'log'>, plugin: string, hook: string, detail: string): void {
  const found = log.some(({ level, fields }) => {
    const error = fields['error'] as { plugin?: string; hook?: string; cause?: Error } | undefined
    return level === 'error' && error?.plugin === plugin && error.hook === hook && error.cause?.message.includes(detail)
  })
  assert.ok(found, `no line names ${plugin} and ${hook}: ${JSON.stringify(log)}`)
}
