import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createGateway } from '../../core/index.ts'
import type { Gateway, GatewayOptions, MemoryPlugin } from '../../core/index.ts'
import type { Hooks, PluginDefinition, Services } from '../../core/contract/plugin.ts'
import { directoryWith, lines, problemsOf, recordingLogger, withoutDefaults } from './boot-fixtures.ts'

const off = { enabled: false }
const quiet = { ...withoutDefaults, 'response-healing': off }

type Parts = Partial<Omit<PluginDefinition, 'setup'>>

const plugin = (name: string, hooks: Hooks | ((services: Services) => Hooks) = {}, parts: Parts = {}): MemoryPlugin => [
  {
    name,
    api: 1,
    options: { type: 'object' },
    setup: (services) => (typeof hooks === 'function' ? hooks(services) : hooks),
    ...parts,
  },
]

/** A gateway of these plugins and the test provider, in a directory of its own. */
function gatewayOf(
  context: TestContext,
  plugins: readonly MemoryPlugin[],
  options: Partial<GatewayOptions> = {},
): Promise<Gateway> {
  const directory = directoryWith(context, {})
  return createGateway({
    environment: {},
    workingDirectory: directory,
    dataDirectory: join(directory, 'data'),
    ...options,
    config: {
      server: { port: 0 },
      ...options.config,
      plugins: { ...quiet, ...(options.config?.['plugins'] as object) },
    },
    overrides: { logger: recordingLogger(), plugins, ...options.overrides },
  })
}

test('plugins start in their order and stop in reverse, around a port that listens', async (context) => {
  const calls: string[] = []
  const noting = (name: string, parts: Parts = {}): MemoryPlugin =>
    plugin(name, { start: () => void calls.push(`start ${name}`), stop: () => void calls.push(`stop ${name}`) }, parts)
  const gateway = await gatewayOf(context, [noting('a', { order: { after: ['b'] } }), noting('b'), noting('c')])
  assert.deepEqual(calls, [])
  const { url } = await gateway.start()
  const response = await fetch(`${url}/health/live`)
  assert.deepEqual(await response.json(), { status: 'alive' })
  await Promise.all([gateway.stop(), gateway.stop()])
  await assert.rejects(fetch(`${url}/health/live`))
  assert.deepEqual(calls, ['start b', 'start a', 'start c', 'stop c', 'stop a', 'stop b'])
})

test('requests run without a port', async (context) => {
  const gateway = await gatewayOf(context, [])
  assert.equal((await gateway.start({ listen: false })).url, undefined)
  context.after(() => gateway.stop())
  const body = { model: 'test/echo', messages: [{ role: 'user', content: 'Hi' }] }
  const result = await gateway.run(
    { operation: 'generate', dialect: 'chat', body },
    { id: 'me' },
    new AbortController().signal,
  )
  assert.equal(JSON.parse(String(result.body)).choices[0].message.content, 'You said: Hi')
})

test('services, the run service too, reach plugins; what one provides reaches others', async (context) => {
  const seen: string[] = []
  const gateway = await gatewayOf(context, [
    plugin('user', ({ vault }) => (seen.push(String(vault)), {}), { requires: ['vault'] }),
    plugin(
      'keeper',
      ({ db, catalog, fetch, run, meter, tracer, clock }) => {
        for (const service of [db, catalog, fetch, run, meter, tracer, clock]) assert.ok(service)
        return { services: { vault: 'gold' } }
      },
      { provides: ['vault'] },
    ),
  ])
  context.after(() => gateway.stop())
  assert.deepEqual(seen, ['gold'])
  assert.equal(gateway.services.get('vault'), 'gold')
})

test('everything that is wrong with plugins and providers is reported together, and what was set up is stopped', async (context) => {
  const calls: string[] = []
  const failing = gatewayOf(
    context,
    [
      plugin('fine', { stop: () => void calls.push('stop fine') }),
      plugin('throwing', () => {
        throw new Error('bad option\nand a stack')
      }),
      plugin('odd', { onRequest: () => undefined } as Hooks),
      plugin('open', { authorize: () => undefined }, { failure: 'open' }),
      plugin('first', { routes: [{ method: 'GET', path: '/x/:id', scope: null, handle: () => ({}) as never }] }),
      plugin('second', { routes: [{ method: 'GET', path: '/x/:name', scope: null, handle: () => ({}) as never }] }),
    ],
    {
      overrides: {
        providers: [
          [
            {
              name: 'broken',
              api: 1,
              options: { type: 'object' },
              setup: () => {
                throw new Error('no key')
              },
            },
          ],
        ],
      },
    },
  )
  assert.deepEqual(lines(await problemsOf(failing)), [
    'providers.broken: setup failed: no key',
    'plugins.throwing: setup failed: bad option',
    'plugins.odd: setup returned "onRequest", which is no hook',
    'plugins.open.failure: "open" would let requests pass unchecked when authorize fails (Use failure = "closed".)',
    'plugins.second: has the route GET /x/:name, which the plugin "first" has too',
  ])
  assert.deepEqual(calls, ['stop fine'])
})

test('a cycle in the order is reported with its edges, and config can break it', async (context) => {
  const cyclic = [plugin('a', {}, { order: { before: ['b'] } }), plugin('b', {}, { order: { before: ['a'] } })]
  const [problem] = await problemsOf(gatewayOf(context, cyclic))
  assert.match(problem!.message, /cycle: "[ab]" before "[ab]", "[ab]" before "[ab]"/)
  const gateway = await gatewayOf(context, cyclic, { config: { plugins: { b: { order: { before: [] } } } } })
  context.after(() => gateway.stop())
  assert.deepEqual(
    gateway.plan.plugins.map(({ definition }) => definition.name),
    ['a', 'b'],
  )
})

test('a name in the order that no package has is a warning with the nearest spelling', async (context) => {
  const gateway = await gatewayOf(context, [plugin('a', {}, { order: { after: ['roter'] } })])
  context.after(() => gateway.stop())
  assert.deepEqual(gateway.plan.warnings, [
    'plugin "a" wants to run after "roter", which no installed package is called. Did you mean "router"?',
  ])
})

test('a missing service names who needs it and the plugin that is off and would provide it', async (context) => {
  const needing = plugin('a', {}, { requires: ['vault'] })
  const keeper = plugin('keeper', { services: { vault: 1 } }, { provides: ['vault'] })
  const problems = await problemsOf(gatewayOf(context, [needing, keeper], { config: { plugins: { keeper: off } } }))
  assert.deepEqual(lines(problems), [
    'plugins: services are missing: "vault" (required by "a") ("vault" is provided by the plugin "keeper": enable it with [plugins.keeper].)',
  ])
})

test('a start that fails stops everything, and nothing listens', async (context) => {
  const calls: string[] = []
  const gateway = await gatewayOf(context, [
    plugin('a', { start: () => void calls.push('start a'), stop: () => void calls.push('stop a') }),
    plugin('b', { start: () => Promise.reject(new Error('no')) }),
  ])
  assert.deepEqual(lines(await problemsOf(gateway.start())), ['plugins.b: start failed: no'])
  assert.deepEqual(calls, ['start a', 'stop a'])
})

test('a port that cannot be used stops everything', async (context) => {
  const first = await gatewayOf(context, [])
  context.after(() => first.stop())
  const port = Number(new URL((await first.start()).url!).port)
  const calls: string[] = []
  const second = await gatewayOf(context, [plugin('a', { stop: () => void calls.push('stop a') })], {
    config: { server: { port } },
  })
  const [problem] = await problemsOf(second.start())
  assert.equal(problem!.message, `port ${port} is in use`)
  assert.deepEqual(calls, ['stop a'])
})

test('a stop at any moment of the start leaves no port that listens', async (context) => {
  for (let turns = 0; turns < 12; turns++) {
    const gateway = await gatewayOf(context, [])
    const started = gateway.start().then(
      ({ url }) => url,
      () => undefined,
    )
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    await gateway.stop()
    const url = await started
    if (url !== undefined) await assert.rejects(fetch(`${url}/health/live`), `stopped after ${turns} turns`)
  }
})

test('prices and limits of the config reach the catalog', async (context) => {
  const gateway = await gatewayOf(context, [], {
    config: {
      models: {
        fast: {
          targets: ['test/echo'],
          aliases: ['quick'],
          context_length: 1000,
          prices: {
            input_per_million: 2.5,
            output_per_million: 10,
            cached_input_per_million: 0.25,
            per_request: 0.001,
          },
        },
      },
    },
  })
  context.after(() => gateway.stop())
  const [target] = gateway.pipeline.services.catalog.resolve('quick')
  assert.equal(target?.name, 'test/echo')
  assert.deepEqual(target?.info?.prices, { input: 2_500_000, output: 10_000_000, cachedInput: 250_000, request: 1000 })
  assert.equal(target?.info?.contextLength, 1000)
})

test('looking at a gateway opens no database', async (context) => {
  const gateway = await gatewayOf(context, [plugin('a', ({ db }) => (db ? {} : {}))], {
    purpose: 'inspect',
    config: { database: { url: 'postgres://nobody@127.0.0.1:1/none' } },
  })
  await gateway.stop()
})

test('mistakes that a schema sees and those that a setup sees are reported together', async (context) => {
  const calls: string[] = []
  const failing = gatewayOf(
    context,
    [
      plugin(
        'misspelt',
        {},
        { options: { type: 'object', properties: {}, additionalProperties: false }, provides: ['vault'] },
      ),
      plugin('needing', () => (calls.push('needing'), {}), { requires: ['vault'] }),
      plugin('throwing', () => {
        throw new Error('bad option')
      }),
      plugin('fine', { stop: () => void calls.push('stop fine') }),
    ],
    {
      config: {
        server: { port: 0, prot: 1 },
        plugins: { misspelt: { option: 1 }, unknown: {} },
        providers: { test: {}, open: { type: 'openai', api_key: 7 } },
      },
    },
  )
  assert.deepEqual(
    (await problemsOf(failing)).map(({ path, message }) => `${path}: ${message}`),
    [
      'plugins.unknown: no installed plugin is called "unknown"',
      'server.prot: is not a known key',
      'providers.open.api_key: must be a string',
      'plugins.misspelt.option: is not a known key',
      'plugins.throwing: setup failed: bad option',
    ],
  )
  assert.deepEqual(calls, ['stop fine'])
})

test('a stop while the embedded database is being created does not wait for it', async (context) => {
  const directory = directoryWith(context, { 'migrations/001-first.sql': 'create table one_of_ours (id int)' })
  const migrations = new URL(`file://${directory}/migrations/`)
  const using = (onProgress: (step: string) => void): Promise<Gateway> =>
    gatewayOf(context, [plugin('using', {}, { migrations })], { dataDirectory: join(directory, 'data'), onProgress })
  const creating = Promise.withResolvers<void>()
  const gateway = await using((step) => step.startsWith('Creating') && creating.resolve())
  const problems = problemsOf(gateway.start({ listen: false }))
  await creating.promise
  const before = performance.now()
  await gateway.stop()
  assert.ok(performance.now() - before < 5_000, 'the stop waited')
  assert.deepEqual(lines(await problems), ['database: the gateway was stopped while it started'])

  const again = await using(() => undefined)
  await again.start({ listen: false })
  assert.deepEqual(await (again.services.get('db') as Services['db']).query('select * from one_of_ours'), [])
  await again.stop()
})
