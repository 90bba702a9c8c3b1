import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Exchange, JsonObject, PluginDefinition, Principal } from '../../core/contract/plugin.ts'
import { definePlugin, gatewayError, isGatewayError } from '../../core/contract/plugin.ts'
import { explainCall } from '../../core/http/explain-route.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { Harness, HarnessOptions } from '../../core/testing/index.ts'
import { gate, hookPlugin, passing } from './hook-plugin.ts'

type Json = Record<string, any>

const prices = { input_per_million: 1, output_per_million: 10, per_request: 0.001 }
const config = {
  models: {
    'fake/fake-model': { prices, max_output_tokens: 100 },
    smart: { targets: ['fake/fake-model', 'fake/cheap', 'fake/plain'] },
  },
}

const greeting = [{ role: 'user', content: 'Hello' }]

interface Asking {
  readonly principal?: Principal
  readonly dialect?: string
}

function explained(site: Harness, body: JsonObject = {}, { principal, dialect }: Asking = {}): Promise<Json> {
  return explainCall(site.gateway.pipeline, {
    body: { model: 'smart', messages: greeting, ...body },
    dialect,
    principal: principal ?? { id: 'tester' },
    signal: new AbortController().signal,
  })
}

/** A gateway that may only be asked what it would do: whatever else it does is noted. */
async function watched(options: HarnessOptions = {}): Promise<Harness & { ran: string[] }> {
  const ran: string[] = []
  const note = (hook: string) => () => void ran.push(hook)
  const watcher = hookPlugin('watcher', {
    authorize: note('authorize'),
    admit: note('admit'),
    route: note('route'),
    transform: note('transform'),
    dispatch: (_, next) => next(),
    reserve: note('reserve'),
    settle: note('settle'),
  })
  const site = await harness({ config, ...options, plugins: [...(options.plugins ?? []), watcher] })
  return Object.assign(site, { ran })
}

/** A plugin that a client may name. */
function requestable(name: string, hooks: JsonObject = {}): PluginDefinition {
  return definePlugin({
    name,
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    params: { type: 'object', properties: { depth: { type: 'integer', default: 1 } }, additionalProperties: false },
    setup: () => ({ transform: () => undefined, ...hooks }),
  })
}

describe('an explanation', () => {
  it('runs only what decides about access and targets, and counts nowhere', async () => {
    await using site = await watched()
    await explained(site)
    assert.deepEqual(site.ran, ['authorize', 'route'])
    assert.deepEqual(site.provider.calls, [])
    assert.deepEqual(site.outcomes, [])
    assert.equal(site.gateway.pipeline.open, 0)
  })

  it('shows targets in their final order and who took others off, as the metadata of the call does', async () => {
    const sorter = hookPlugin('sorter', {
      route(exchange) {
        exchange.exclude(exchange.targets[1]!, 'too cheap')
        exchange.targets = exchange.targets.toReversed()
      },
    })
    await using site = await harness({ config, plugins: [sorter] })
    const body = { models: ['smart', 'nowhere/none'], model: undefined }
    const { requested, targets, excluded } = await explained(site, body)
    assert.deepEqual(targets, ['fake/plain', 'fake/fake-model'])
    assert.deepEqual(excluded, [
      { target: 'nowhere/none', removed_by: 'unknown model' },
      { target: 'fake/cheap', removed_by: 'too cheap' },
    ])
    const sent = await site.send(body, { headers: { 'x-hadrian-metadata': 'enabled' } })
    const metadata = sent.body['hadrian_metadata'] as Json
    assert.deepEqual(
      { requested, targets, excluded },
      {
        requested: metadata['requested'],
        targets: metadata['targets'],
        excluded: metadata['excluded'],
      },
    )
  })

  it('estimates what each target would cost, in dollars and micro-dollars', async () => {
    await using site = await watched()
    const { estimated_input_tokens: tokens, estimates } = await explained(site, { n: 2 })
    const [first, second] = estimates
    assert.equal(first.target, 'fake/fake-model')
    assert.equal(first.requested, 'smart')
    assert.equal(first.max_output_tokens, 100)
    assert.equal(first.pricing.output_per_million, 10)
    assert.equal(first.input_cost_micros, 1000 + tokens)
    assert.equal(first.input_cost, first.input_cost_micros / 1e6)
    // Both answers, and an input that no tokenizer exceeds.
    assert.ok(first.worst_cost_micros > 1000 + tokens + 2 * 100 * 10)
    assert.ok(first.worst_cost_micros < 1000 + 500 + 2 * 100 * 10)
    assert.equal(first.worst_cost, first.worst_cost_micros / 1e6)
    assert.deepEqual(second, { target: 'fake/cheap', requested: 'smart', provider: 'fake', model: 'cheap', losses: [] })
    const limited = await explained(site, { max_tokens: 7 })
    assert.deepEqual(
      limited['estimates'].map((each: Json) => each['max_output_tokens']),
      [7, 7, 7],
    )
    const less = first.worst_cost_micros - limited['estimates'][0].worst_cost_micros
    assert.equal(less, (2 * 100 - 7) * 10)
  })

  it('shows what would be lost at each target', async () => {
    const provider = fakeProvider(undefined, { tools: false })
    await using site = await watched({ provider })
    const { estimates } = await explained(site, { tools: [{ type: 'function', function: { name: 'look' } }] })
    assert.deepEqual(estimates[0].losses, [
      { code: 'unsupported_parameter', message: 'fake does not take tools', param: 'tools' },
    ])
  })

  it('lists hooks in order, with the plugins that the request brings', async () => {
    const plugins = [
      requestable('named'),
      requestable('other'),
      [requestable('constant'), { apply: 'always' }] as const,
      requestable('needed', { implied: () => true }),
    ]
    await using site = await watched({ plugins })
    const { pipeline, request_plugins: brought } = await explained(site, { plugins: [{ id: 'named' }] })
    assert.deepEqual(
      brought.toSorted((left: Json, right: Json) => left['id'].localeCompare(right['id'])),
      [
        { id: 'constant', reason: 'always' },
        { id: 'named', reason: 'requested' },
        { id: 'needed', reason: 'implied' },
      ],
    )
    assert.deepEqual(
      pipeline.map(({ hook, plugin }: Json) => `${hook} ${plugin}`),
      [
        'authorize watcher',
        'admit watcher',
        'route watcher',
        'transform named',
        'transform constant',
        'transform needed',
        'transform watcher',
        'dispatch watcher',
        'reserve watcher',
        'settle harness-outcomes',
        'settle watcher',
      ],
    )
  })

  it('has what plugins say, with their params, and their warnings', async () => {
    const seen: unknown[] = []
    const talker = requestable('talker', {
      explain(exchange: Exchange, params: unknown) {
        seen.push(params)
        exchange.warn({ code: 'test', message: 'mind the gap' })
        return { targets: exchange.targets.length }
      },
    })
    const silent = hookPlugin('silent', { explain: () => undefined })
    await using site = await watched({ plugins: [talker, silent] })
    assert.deepEqual((await explained(site))['plugins'], {})
    const { plugins, warnings } = await explained(site, { plugins: [{ id: 'talker', depth: 4 }] })
    assert.deepEqual(plugins, { talker: { targets: 3 } })
    assert.deepEqual(warnings, [{ code: 'test', message: 'mind the gap' }])
    assert.deepEqual(seen, [{ depth: 4 }])
  })

  it('shows the failure of a plugin in its place, whatever its policy is', async () => {
    const fails = hookPlugin('fails', { explain: () => Promise.reject(new Error('secret detail')) })
    const refuses = hookPlugin('refuses', {
      explain() {
        throw gatewayError('unsupported', 'not like this')
      },
    })
    const hangs = hookPlugin('hangs', { explain: () => gate<undefined>().promise })
    await using site = await watched({ plugins: [[fails, { failure: 'open' }], refuses, hangs] })
    const { plugins, targets } = await passing(site.clock, explained(site), 1000)
    assert.deepEqual(plugins, {
      fails: { error: 'Internal error' },
      refuses: { error: 'not like this' },
      hangs: { error: 'Internal error' },
    })
    assert.equal(targets.length, 3)
    assert.deepEqual(
      site.log.filter(({ fields }) => fields['hook'] === 'explain').map(({ fields }) => fields['plugin']),
      ['fails', 'hangs'],
    )
  })

  it('refuses as the call would be refused', async () => {
    const guard = hookPlugin('guard', {
      authorize(exchange) {
        if (exchange.principal.id === 'banned') throw gatewayError('ip_not_allowed', 'go away')
      },
      route(exchange) {
        if (exchange.request.user === 'nobody')
          for (const target of exchange.targets) exchange.exclude(target, 'guard: nobody')
      },
    })
    await using site = await watched({ plugins: [guard] })
    const refused = (code: string) => (error: unknown) => isGatewayError(error) && error.code === code
    await assert.rejects(explained(site, { model: 'nowhere/none' }), refused('routing_error'))
    await assert.rejects(explained(site, { temperature: 'hot' }), refused('invalid_request_error'))
    await assert.rejects(explained(site, {}, { principal: { id: 'banned' } }), refused('ip_not_allowed'))
    const strict = { id: 'strict', allowedModels: ['fake/plain'] }
    await assert.rejects(explained(site, {}, { principal: strict }), refused('model_not_allowed'))
    await assert.rejects(explained(site, { user: 'nobody' }), (error) => {
      assert.ok(isGatewayError(error) && error.code === 'routing_error')
      assert.deepEqual((error.details!['candidates'] as unknown[])[0], {
        target: 'fake/fake-model',
        removed_by: 'guard: nobody',
      })
      return true
    })
    assert.deepEqual(site.outcomes, [])
  })

  it('says which plugin would answer in place of a model', async () => {
    const answering = hookPlugin('answering', { route: (exchange) => exchange.reply('from memory') })
    await using site = await watched({ plugins: [answering] })
    const { answered_by: answered } = await explained(site)
    assert.deepEqual(answered, { plugin: 'answering', hook: 'route', status: 200 })
  })

  it('lets nothing be bought', async () => {
    const buyer = hookPlugin('buyer', {
      explain: (exchange) => exchange.buy({ item: 'web_search', costMicros: 5 }, async () => ({ bought: true })),
    })
    await using site = await watched({ plugins: [buyer] })
    const { plugins } = await explained(site)
    assert.ok(plugins.buyer.error)
    assert.deepEqual(site.ran, ['authorize', 'route'])
  })

  it('tells the dialect by the body, or takes it by name', async () => {
    await using site = await watched()
    const { pipeline } = site.gateway
    const dialectOf = async (body: JsonObject, asking: Asking = {}): Promise<unknown> => {
      const { signal } = new AbortController()
      const principal = asking.principal ?? { id: 'tester' }
      return (await explainCall(pipeline, { body, principal, dialect: asking.dialect, signal }))['dialect']
    }
    const model = 'fake/fake-model'
    assert.equal(await dialectOf({ model, messages: greeting }), 'chat')
    assert.equal(await dialectOf({ model, input: 'Hello' }), 'responses')
    assert.equal(await dialectOf({ model, prompt: 'Hello' }), 'completions')
    assert.equal(await dialectOf({ model, input: 'Hello' }, { dialect: 'embeddings' }), 'embeddings')
    await assert.rejects(dialectOf({ model }), /must have "messages"/)
    await assert.rejects(dialectOf({ model, input: 'x' }, { dialect: 'smoke' }), /must be one of chat, responses/)
    const chatOnly = { id: 'chat-only', scopes: ['chat'] }
    await assert.rejects(
      dialectOf({ model, input: 'Hello' }, { dialect: 'embeddings', principal: chatOnly }),
      /lacks the scope "embeddings"/,
    )
  })

  it('ends when its caller goes away', async () => {
    const stuck = hookPlugin('stuck', { route: () => gate<undefined>().promise })
    await using site = await watched({ plugins: [stuck] })
    const controller = new AbortController()
    const explaining = explainCall(site.gateway.pipeline, {
      body: { model: 'smart', messages: greeting },
      principal: { id: 'tester' },
      signal: controller.signal,
    })
    controller.abort()
    await assert.rejects(explaining, (error) => isGatewayError(error) && error.code === 'request_cancelled')
  })
})
