import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import * as fc from 'fast-check'
import { loadConfig } from '../../core/boot/config.ts'
import type { LoadedConfig } from '../../core/boot/config.ts'
import { defaultPlugins, onRequestPlugins } from '../../core/boot/selection.ts'
import { effectiveConfig, effectiveTree, formatEffectiveConfig } from '../../core/boot/effective-config.ts'
import { interpolate } from '../../core/boot/interpolation.ts'
import { StartupError } from '../../core/services/problems.ts'
import { directoryWith, lines, packageFiles, problemsOf, unwantedPlugins, workspaceFiles } from './boot-fixtures.ts'

type Environment = Record<string, string | undefined>

function load(context: TestContext, toml: string | undefined, environment: Environment = {}): Promise<LoadedConfig> {
  const directory = directoryWith(context, workspaceFiles(toml === undefined ? {} : { 'hadrian.toml': toml }))
  return loadConfig({ environment, workingDirectory: directory, core: join(directory, 'core') })
}

const nameOf = ({ plugins }: LoadedConfig): string[] => plugins.map(({ definition }) => definition.name)

test('without a file there are the default plugins and the providers of the environment', async (context) => {
  const loaded = await load(context, undefined, { GROQ_API_KEY: 'secret', PATH: '/bin' })
  assert.equal(loaded.file, undefined)
  assert.deepEqual(nameOf(loaded), [...defaultPlugins, ...onRequestPlugins])
  assert.deepEqual(
    loaded.providers.map(({ instance, definition, options }) => [instance, definition.name, options]),
    [
      ['groq', 'openai', { base_url: 'https://groq.test', api_key: 'secret' }],
      ['test', 'test', {}],
    ],
  )
  assert.deepEqual(loaded.config.server, {
    host: '127.0.0.1',
    port: 8080,
    body_limit_bytes: 33554432,
    allow_anonymous: false,
    trusted_proxies: [],
    shutdown_timeout_ms: 30000,
    keep_alive_interval_ms: 15000,
    metrics: false,
  })
})

test('a file without providers leaves them to the environment, a file with one has only its own', async (context) => {
  const without = await load(context, '[server]\nport = 9000\n')
  assert.deepEqual(Object.keys(without.config.providers), ['test'])
  const environment = { OPENAI_API_KEY: 'secret' }
  const withOne = await load(context, '[providers.local]\ntype = "openai"\napi_key = "x"\n', environment)
  assert.deepEqual(Object.keys(withOne.config.providers), ['local'])
})

test('plugins come in default order, then in the order of the file, and can be switched off', async (context) => {
  const loaded = await load(
    context,
    '[plugins.limiter]\nrequests_per_minute = 5\ntimeout_ms = 50\norder = { before = ["auth"] }\n' +
      '[plugins.response-healing]\nlocked = ["strict"]\nparams = { strict = true }\n[plugins.router]\nenabled = false\n',
  )
  assert.deepEqual(
    loaded.plugins.map(({ definition, origin }) => [definition.name, origin]),
    [
      ...unwantedPlugins.filter((name) => name !== 'router').map((name) => [name, 'default']),
      ['limiter', 'config[0]'],
      ['response-healing', 'config[1]'],
    ],
  )
  const limiter = loaded.plugins.find(({ definition }) => definition.name === 'limiter')!
  assert.deepEqual(limiter.options, { requests_per_minute: 5, mode: 'strict' })
  assert.deepEqual(limiter.order, { before: ['auth'], after: [] })
  assert.deepEqual(limiter.settings, {
    apply: 'always',
    params: {},
    locked: [],
    clientMayDisable: false,
    timeoutMs: 50,
    failure: 'closed',
  })
  assert.deepEqual(loaded.plugins.at(-1)!.settings.apply, 'on-request')
})

test('every mistake is reported at once, with its path and the nearest right spelling', async (context) => {
  const toml = `
[server]
prot = 80
port = "x"
trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33"]
[servr]
[fetch]
allow = ["10.0.0.0/8", "not a host"]
[routing]
default_model = "opnai/x"
[log]
level = "inof"
[providers.openai]
[providers.mine]
type = "opena"
[plugins.limter]
[plugins.limiter]
requests_per_minutes = 5
mode = "strct"
apply = "on-request"
[plugins.auth]
enabled = "no"
[models."gpt-4.1"]
targets = ["openai/gpt-4.1", "opnai/x", "bare"]
aliases = ["a"]
[models.b]
targets = ["openai/b"]
aliases = ["a"]
prices = { input_per_million = -1 }
`
  assert.deepEqual(lines(await problemsOf(load(context, toml))).toSorted(), [
    'fetch.allow[1]: "not a host" is neither a host name nor an address range such as 10.0.0.0/8',
    'log.level: must be one of "debug", "info", "warn", "error", "silent", not "inof" (Did you mean "info"?)',
    'models."gpt-4.1".targets[1]: there is no provider "opnai" (Did you mean "openai"?)',
    'models."gpt-4.1".targets[2]: "bare" names no provider (Write provider/model, or set routing.default_provider.)',
    'models.b.aliases[0]: "a" is a name of models."gpt-4.1" already',
    'models.b.prices.input_per_million: must be 0 or more, not -1',
    'models.b.prices.output_per_million: is missing',
    'plugins.auth.enabled: must be true or false, not "no"',
    'plugins.limiter.apply: this plugin has no params: it always runs, and clients cannot name it',
    'plugins.limiter.mode: must be one of "strict", "loose", not "strct" (Did you mean "strict"?)',
    'plugins.limiter.requests_per_minutes: is not a known key (Did you mean "requests_per_minute"?)',
    'plugins.limter: no installed plugin is called "limter" (Did you mean "limiter"?)',
    'providers.mine.type: no installed provider is called "opena" (Did you mean "openai"?)',
    'providers.openai.api_key: is missing',
    'routing.default_model: there is no provider "opnai" (Did you mean "openai"?)',
    'server.port: must be a whole number, not "x"',
    'server.prot: is not a known key (Did you mean "port"?)',
    'server.trusted_proxies[1]: "10.0.0.0/33" is no address and no CIDR range (Write for instance "10.0.0.0/8".)',
    'servr: is not a known key (Did you mean "server"?)',
  ])
})

test('a default provider must exist, and takes model names without a prefix', async (context) => {
  const file = (provider: string): string =>
    `[routing]\ndefault_provider = "${provider}"\ndefault_model = "llama"\n[models.m]\ntargets = ["meta/llama"]\n`
  assert.equal((await load(context, file('test'))).config.routing.default_model, 'llama')
  assert.deepEqual(lines(await problemsOf(load(context, file('tset')))), [
    'routing.default_provider: there is no provider "tset" (Did you mean "test"?)',
  ])
})

test('syntax errors name file, line and column', async (context) => {
  const [problem] = await problemsOf(load(context, '[server]\nport = = 1\n'))
  assert.match(problem!.path, /hadrian\.toml:2:8$/)
  assert.equal(problem!.message, 'invalid value')
})

test('a named file must exist', async (context) => {
  const directory = directoryWith(context, workspaceFiles())
  const options = { workingDirectory: directory, core: join(directory, 'core') }
  const [given] = await problemsOf(loadConfig({ ...options, environment: {}, configFile: 'other.toml' }))
  assert.equal(given!.path, join(directory, 'other.toml'))
  const [named] = await problemsOf(loadConfig({ ...options, environment: { HADRIAN_CONFIG: 'no.toml' } }))
  assert.equal(named!.hint, 'HADRIAN_CONFIG names it.')
})

test('references are replaced after parsing, and missing variables are mistakes', async (context) => {
  const toml = `
[server]
port = "\${GATEWAY_PORT:-9001}"
metrics = "\${METRICS}"
[providers.openai]
api_key = "\${KEY}"
base_url = "https://\${HOST_NAME}/v1?a=$\${literal}"
`
  const environment = { METRICS: 'true', KEY: 'a"\n[server]', HOST_NAME: 'example.test' }
  const loaded = await load(context, toml, environment)
  assert.equal(loaded.config.server.port, 9001)
  assert.equal(loaded.config.server.metrics, true)
  assert.deepEqual(loaded.providers[0]!.options, {
    api_key: 'a"\n[server]',
    base_url: 'https://example.test/v1?a=${literal}',
  })
  assert.deepEqual(lines(await problemsOf(load(context, toml, { METRICS: 'true', HOST_NAME: 'x' }))), [
    'providers.openai.api_key: refers to the environment variable KEY, which is not set (Set KEY, or write ${KEY:-default}.)',
  ])
})

test('only a whole reference becomes a number', async (context) => {
  const toml = '[server]\nport = "90${N}"\nbody_limit_bytes = "${N}"\n[routing]\ndefault_model = "test/${N}"\n'
  assert.deepEqual(lines(await problemsOf(load(context, toml, { N: 'x' }))), [
    'server.port: must be a whole number (it comes from N)',
    'server.body_limit_bytes: must be a whole number (it comes from N)',
  ])
})

test('the environment beats the file, and its mistakes name the variable', async (context) => {
  const environment = { PORT: '0', HOST: '0.0.0.0', DATABASE_URL: 'postgres://u:p@h/d', HADRIAN_LOG_LEVEL: 'debug' }
  const { config } = await load(context, '[server]\nport = "${UNSET}"\n', environment)
  assert.equal(config.server.port, 0)
  assert.equal(config.server.host, '0.0.0.0')
  assert.equal(config.database.url, 'postgres://u:p@h/d')
  assert.equal(config.log.level, 'debug')
  assert.deepEqual(lines(await problemsOf(load(context, undefined, { PORT: '70000' }))), [
    'PORT: must be 65535 or less, not 70000',
  ])
})

test('limits and patterns are said in plain words', async (context) => {
  const limits = {
    least: { type: 'string', minLength: 3 },
    filled: { type: 'string', minLength: 1 },
    most: { type: 'string', maxLength: 1 },
    some: { type: 'array', minItems: 2 },
    few: { type: 'array', maxItems: 1 },
    over: { type: 'number', exclusiveMinimum: 0 },
    under: { type: 'number', exclusiveMaximum: 1 },
    form: { type: 'string', pattern: '^a', description: 'Begins with a.' },
    named: { type: 'object', propertyNames: { pattern: '^a', description: 'Begins with a.' } },
  } as const
  const definition = {
    name: 'limited',
    api: 1,
    options: { type: 'object', properties: limits, additionalProperties: false },
    setup: () => ({}),
  } as const
  const wrong = {
    least: 'ab',
    filled: '',
    most: 'abc',
    some: [1],
    few: [1, 2],
    over: 0,
    under: 1,
    form: 'b',
    named: { b: 1 },
  }
  const directory = directoryWith(context, {})
  const problems = await problemsOf(
    loadConfig({
      environment: {},
      workingDirectory: directory,
      config: { providers: { test: {} } },
      plugins: [[definition, wrong]],
    }),
  )
  assert.deepEqual(lines(problems).toSorted(), [
    'plugins.limited.few: must have at most 1 entry',
    'plugins.limited.filled: must not be empty',
    'plugins.limited.form: must match ^a, not "b" (Begins with a.)',
    'plugins.limited.least: must have at least 3 characters, not "ab"',
    'plugins.limited.most: must have at most 1 character, not "abc"',
    'plugins.limited.named.b: must match ^a, not "b" (Begins with a.)',
    'plugins.limited.over: must be more than 0, not 0',
    'plugins.limited.some: must have at least 2 entries',
    'plugins.limited.under: must be less than 1, not 1',
  ])
})

test('a database must be a PostgreSQL one, and its URL is never repeated', async (context) => {
  const hint =
    '(Write it as postgresql://USER:PASSWORD@HOST:5432/NAME; percent-encode special characters of the password.)'
  for (const url of ['mysql://u:secret@h/d', 'secret', 'postgres://u:se%cret@h/%zz']) {
    const inFile = await problemsOf(load(context, `[database]\nurl = "${url}"\n`))
    assert.deepEqual(lines(inFile), [`database.url: is not a PostgreSQL URL ${hint}`])
    const inEnvironment = await problemsOf(load(context, undefined, { DATABASE_URL: url }))
    assert.deepEqual(lines(inEnvironment), [`DATABASE_URL: is not a PostgreSQL URL ${hint}`])
  }
  for (const url of ['postgresql:///d?host=/run/postgresql', 'postgres://u:p%40@h:5432/d'])
    assert.equal((await load(context, `[database]\nurl = "${url}"\n`)).config.database.url, url)
})

test('names that reach a prototype are refused and change nothing', async (context) => {
  const toml = '[plugins.__proto__]\npolluted = true\n[providers.constructor]\n[server]\ntoString = 1\n'
  assert.deepEqual(lines(await problemsOf(load(context, toml))), [
    'plugins.__proto__: cannot be used as a name',
    'providers.constructor: cannot be used as a name',
    'server.toString: is not a known key (Known keys: host, port, body_limit_bytes, allow_anonymous, trusted_proxies, shutdown_timeout_ms, keep_alive_interval_ms, metrics.)',
  ])
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

test('secrets are hidden in the effective config and in problems', async (context) => {
  const toml = `
[database]
url = "postgres://user:hunter2@host/db"
[providers.openai]
api_key = "hunter2"
base_url = "https://user:hunter2@host/v1?version=1&api-key=hunter2"
[plugins.limiter]
token = "hunter2"
mode = "\${LIMITER_SECRET}"
[plugins.response-healing.params]
`
  const loaded = await load(context, toml, { LIMITER_SECRET: 'loose', PORT: '81' })
  const values = effectiveConfig(loaded)
  const text = formatEffectiveConfig(values)
  assert.doesNotMatch(text, /hunter2|loose/)
  assert.match(text, /^port = 81 {2}# PORT$/m)
  assert.match(text, /^host = "127\.0\.0\.1" {2}# default$/m)
  assert.match(text, /^base_url = "https:\/\/user:\*\*\*@host\/v1\?version=1&api-key=\*\*\*" {2}# file$/m)
  assert.match(text, /^mode = "\*\*\*" {2}# LIMITER_SECRET$/m)
  assert.deepEqual(effectiveTree(values)['database'], { url: '***' })

  const wrong = await problemsOf(
    load(context, '[plugins.limiter]\ntoken = 1234567\nmode = "${MODE}"', { MODE: 'hunter2' }),
  )
  assert.deepEqual(lines(wrong), [
    'plugins.limiter.token: must be a string',
    'plugins.limiter.mode: must be one of "strict", "loose" (it comes from MODE)',
  ])
})

test('a plugin cannot take a key of the kernel, nor bring a schema that is none', async (context) => {
  const plugin = (name: string, options: string): Record<string, string | object> =>
    packageFiles(
      `plugins/${name}`,
      { kind: 'plugin', name, api: 1 },
      { code: `export default { name: '${name}', api: 1, setup: () => ({}), options: ${options} }` },
    )
  const directory = directoryWith(
    context,
    workspaceFiles({
      ...plugin('greedy', '{ type: "object", properties: { failure: { type: "string" } } }'),
      ...plugin('broken', '{ type: "object", properties: { a: { type: "strnig" } } }'),
      ...plugin(
        'referring',
        '{ type: "object", properties: { a: { $ref: "#/$defs/a" } }, $defs: { a: { type: "string" } } }',
      ),
    }),
  )
  const load = (plugins: object): Promise<LoadedConfig> =>
    loadConfig({
      environment: {},
      workingDirectory: directory,
      core: join(directory, 'core'),
      config: { plugins },
    })
  const problems = await problemsOf(load({ greedy: {}, broken: {} }))
  assert.equal(
    lines(problems)[0],
    'plugins.greedy: this plugin has an option called "failure", which is a key of the kernel',
  )
  assert.match(lines(problems)[1]!, /^plugins\.broken: the "options" schema of this plugin is not valid: /)
  assert.deepEqual(lines(await problemsOf(load({ referring: { a: 1 } }))), [
    'plugins.referring.a: must be a string, not 1',
  ])
  assert.equal((await load({ referring: { a: 'x' } })).plugins.at(-1)!.options['a'], 'x')
})

test('definitions in memory are packages like others, and replace installed ones', async (context) => {
  const directory = directoryWith(context, workspaceFiles())
  const definition = { name: 'limiter', api: 1 as const, options: { type: 'object' as const }, setup: () => ({}) }
  const loaded = await loadConfig({
    environment: { OPENAI_API_KEY: 'x' },
    workingDirectory: directory,
    core: join(directory, 'core'),
    config: { plugins: { auth: { enabled: false } } },
    plugins: [[definition, { timeout_ms: 7 }]],
    providers: [[{ ...definition, name: 'fake', setup: () => ({}) as never }, {}, 'one']],
  })
  assert.equal(loaded.plugins.find((plugin) => plugin.definition === definition)?.settings.timeoutMs, 7)
  assert.deepEqual(
    loaded.providers.map(({ instance }) => instance),
    ['one'],
  )
  assert.ok(!nameOf(loaded).includes('auth'))
})

test('interpolation leaves text without references alone', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!text.includes('${'))
      assert.equal(interpolate(text, {}).text, text)
    }),
  )
})

test('no mistake in a config is a crash: it gives problems, each with a path', async (context) => {
  const directory = directoryWith(context, workspaceFiles())
  const key = fc.oneof(
    fc.constantFrom('server', 'prot', 'port', 'providers', 'plugins', 'limiter', 'auth', 'models', 'targets', 'type'),
    fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', '', 'a.b', 'params', 'order', 'aliases'),
    fc.string({ maxLength: 6 }),
  )
  const leaf = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom('${X}', '${', '${Y:-1}', 'openai', '/', 'a/'),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.dictionary(key, fc.oneof({ maxDepth: 5 }, leaf, tie('tree'), fc.array(tie('tree'), { maxLength: 3 })), {
      maxKeys: 5,
    }),
  }))
  await fc.assert(
    fc.asyncProperty(tree, fc.boolean(), async (random, wrapped) => {
      const config = wrapped ? { plugins: { limiter: random }, models: random, routing: random } : random
      try {
        await loadConfig({
          environment: {},
          workingDirectory: directory,
          core: join(directory, 'core'),
          config: config,
        })
      } catch (error) {
        assert.ok(error instanceof StartupError, String(error))
        assert.ok(error.problems.length > 0)
        for (const { path, message } of error.problems) assert.ok(path !== '' && message !== '')
      }
    }),
    { numRuns: 60 },
  )
})
