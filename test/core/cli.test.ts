import assert from 'node:assert/strict'
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { controlSocketPath } from '../../core/boot/control-socket.ts'
import { directoryWith, packageFiles, unwantedPlugins, withoutDefaultsToml } from './boot-fixtures.ts'
import { runCommand, runNode, runShell, startCommand } from './cli-process.ts'
import type { Running } from './cli-process.ts'

/** Stands in for the plugin that keeps API keys: the same routes and the same service, over a file. */
const keyring = `
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gatewayError, jsonReply } from '@hadrian/core/plugin'
const file = join(process.env.HADRIAN_DATA_DIR, 'keys.json')
const read = () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [])
const write = (keys) => { mkdirSync(process.env.HADRIAN_DATA_DIR, { recursive: true }); writeFileSync(file, JSON.stringify(keys)) }
const create = (fields) => {
  const keys = read()
  const key = { id: 'key-' + (keys.length + 1), key_prefix: 'gw_live_' + keys.length, created_at: '2030-01-02T03:04:05Z', ...fields }
  write([...keys, key])
  return { ...key, key: 'gw_live_secret' + keys.length }
}
export default {
  name: 'keyring', api: 1, options: { type: 'object' }, provides: ['bootstrap-key'],
  setup: () => ({
    services: { 'bootstrap-key': { createFirstKey: async () => (read().length === 0 ? create({ name: 'first' }).key : undefined) } },
    authenticate(call) {
      if (call.headers.authorization?.startsWith('Bearer gw_live_')) call.identify({ id: 'key' })
    },
    routes: [
      { method: 'GET', path: '/admin/v1/api-keys', scope: 'admin', handle: ({ query }) => jsonReply({
        data: read().filter((key) => (!query.owner_id || key.owner?.project_id === query.owner_id) && (query.revoked !== 'false' || !key.revoked_at)),
        pagination: {},
      }) },
      { method: 'POST', path: '/admin/v1/api-keys', scope: 'admin', handle: async (call) => jsonReply(create(await call.body()), { status: 201 }) },
      { method: 'GET', path: '/admin/v1/api-keys/:id', scope: 'admin', handle: (call) => {
        const key = read().find(({ id }) => id === call.params.id)
        if (!key) throw gatewayError('not_found', 'No such key')
        return jsonReply(key)
      } },
      { method: 'POST', path: '/admin/v1/api-keys/:id/rotate', scope: 'admin', handle: async (call, principal) => {
        const key = read().find(({ id }) => id === call.params.id)
        if (!key) throw gatewayError('not_found', 'No such key')
        const rotation = await call.body()
        const previous_keys = [{ valid_until: '2030-01-04T05:06:07Z' }]
        return jsonReply({ ...key, rotation, caller: principal, previous_keys, key: 'gw_live_rotated' }, { status: 201 })
      } },
      { method: 'DELETE', path: '/admin/v1/api-keys/:id', scope: 'admin', handle: (call) => {
        const keys = read()
        const key = keys.find(({ id }) => id === call.params.id)
        if (!key) throw gatewayError('not_found', 'No such key')
        key.revoked_at = '2030-01-03T00:00:00Z'
        write(keys)
        return jsonReply(key)
      } },
    ],
  }),
}`

/** A directory whose gateway has the key ring and the test provider, and no other plugin. */
function site(context: TestContext, toml = ''): string {
  return directoryWith(context, {
    'hadrian.toml': `${toml}${withoutDefaultsToml}[plugins.response-healing]\nenabled = false\n[plugins.keyring]\n[packages]\npaths = ["keyring"]\n`,
    ...packageFiles('keyring', { kind: 'plugin', name: 'keyring', api: 1 }, { code: keyring }),
  })
}

async function served(context: TestContext, directory: string): Promise<Running & { readonly url: string }> {
  const running = startCommand(context, ['serve'], { directory, environment: { PORT: '0' } })
  const [, url] = await running.output(/listens on (\S+)/)
  return { ...running, url: url! }
}

test('help, version and mistakes of the command line', async (context) => {
  const directory = directoryWith(context, {})
  const [help, serveHelp, version, unknown, option, missing, wordless] = await Promise.all([
    runCommand(context, ['--help'], { directory }),
    runCommand(context, ['keys', '--help'], { directory }),
    runCommand(context, ['--version'], { directory }),
    runCommand(context, ['chekc'], { directory }),
    runCommand(context, ['plan', '--confg', 'x'], { directory }),
    runCommand(context, ['keys', 'revoke'], { directory }),
    runCommand(context, ['keys'], { directory }),
  ])
  assert.equal(help.code, 0)
  for (const command of ['serve', 'check', 'plan', 'plugins', 'config', 'keys'])
    assert.match(help.stdout, new RegExp(`^  ${command} +\\S`, 'm'))
  assert.equal(serveHelp.code, 0)
  assert.match(serveHelp.stdout, /^Usage: hadrian keys create \[options\]$/m)
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  assert.deepEqual(unknown, {
    code: 2,
    signal: null,
    stdout: '',
    stderr: 'hadrian: unknown command "chekc". Did you mean "check"?\nRun "hadrian --help" for usage.\n',
  })
  assert.equal(option.code, 2)
  assert.equal(
    option.stderr,
    'hadrian: unknown option "--confg". Did you mean "--config"?\nRun "hadrian plan --help" for usage.\n',
  )
  assert.equal(missing.code, 2)
  assert.equal(missing.stderr, 'hadrian: "keys revoke" needs the id of a key\nRun "hadrian keys --help" for usage.\n')
  assert.equal(wordless.code, 2)
  assert.match(wordless.stderr, /^hadrian: "keys" needs one of these words: create, list, show, rotate, revoke\n/)
})

test('a config with many mistakes is reported as a list without a stack trace', async (context) => {
  const directory = directoryWith(context, {
    'hadrian.toml': `${withoutDefaultsToml}[server]\nprot = 1\nhost = ""\n[providers.test]\n[providers.mine]\ntype = "tset"\n[log]\nlevel = "\${LEVEL}"\n`,
  })
  for (const command of ['check', 'plan', 'serve', 'config'])
    assert.deepEqual(await runCommand(context, [command], { directory }), {
      code: 1,
      signal: null,
      stdout: '',
      stderr: `log.level: refers to the environment variable LEVEL, which is not set
    Set LEVEL, or write \${LEVEL:-default}.
providers.mine.type: no installed provider is called "tset"
    Did you mean "test"?
server.prot: is not a known key
    Did you mean "port"?
server.host: must not be empty
4 problems.
`,
    })
})

test('a syntax error names its place', async (context) => {
  const directory = directoryWith(context, { 'other.toml': 'a = 1\nb = [\n' })
  const { code, stderr } = await runCommand(context, ['check', '--config', 'other.toml'], { directory })
  assert.equal(code, 1)
  assert.match(stderr, /other\.toml:\d+:\d+: \S.+\n$/)
})

test('check, plan, plugins and config look without opening or making anything', async (context) => {
  const directory = site(context)
  const [check, plan, plugins, options, config] = await Promise.all([
    runCommand(context, ['check'], { directory }),
    runCommand(context, ['plan'], { directory }),
    runCommand(context, ['plugins'], { directory }),
    runCommand(context, ['plugins', 'response-healing'], { directory }),
    runCommand(context, ['config'], { directory, environment: { DATABASE_URL: 'postgres://u:hunter2@nowhere/x' } }),
  ])
  assert.equal(check.stderr, '')
  assert.equal(check.stdout, `${realpathSync(directory)}/hadrian.toml: OK. Plugins: keyring. Providers: test.\n`)
  assert.equal(
    plan.stdout,
    `HOOK          #  PLUGIN    WHY
authenticate  1  keyring   config[${unwantedPlugins.length + 1}]
dispatch      1  (kernel)  calls providers
`,
  )
  assert.match(plugins.stdout, /^keyring +plugin +on +1\.2\.3 +path: \S+keyring/m)
  assert.match(plugins.stdout, /^auth +plugin +off +\S+ +bundled/m)
  assert.match(options.stdout, /^response-healing \S+ \(plugin, bundled\)$/m)
  assert.match(config.stdout, /^url = "\*\*\*" {2}# DATABASE_URL$/m)
  assert.doesNotMatch(config.stdout, /hunter2/)
  assert.equal(existsSync(join(directory, 'data')), false)
})

test('check and plan warn of names in the order of the config that no package has', async (context) => {
  const directory = directoryWith(context, {
    'hadrian.toml': '[plugins.blocklist]\nwords = ["x"]\norder = { after = ["rooter"] }\n[providers.test]\n',
  })
  for (const command of ['check', 'plan']) {
    const { code, stderr } = await runCommand(context, [command], { directory })
    assert.equal(code, 0)
    assert.equal(
      stderr,
      'Warning: plugin "blocklist" wants to run after "rooter", which no installed package is called. Did you mean "router"?\n',
    )
  }
})

test('serve prints the first key once, with a command that works', async (context) => {
  const directory = site(context)
  const first = await served(context, directory)
  const [, curl] = await first.output(/Try it:\n\n([\s\S]+?)\n\n/)
  const answer = await runShell(curl!)
  assert.equal(JSON.parse(answer).choices[0].message.content, 'You said: Hello')
  first.child.kill('SIGTERM')
  const { code, signal, stderr, stdout } = await first.finished
  assert.deepEqual([code, signal], [0, null])
  assert.doesNotMatch(stderr, /gw_live_/)
  assert.match(stdout, /gw_live_secret0/)

  const second = await served(context, directory)
  second.child.kill('SIGINT')
  assert.doesNotMatch((await second.finished).stdout, /gw_live_/)
})

test('keys work on a running gateway and on a stopped one', async (context) => {
  const directory = site(context)
  const keys = (...words: string[]): ReturnType<typeof runCommand> =>
    runCommand(context, ['keys', ...words], { directory })
  const created = await keys('create', '--name', 'stopped', '--scope', 'chat', '--scope', 'models', '--model', 'test/*')
  assert.deepEqual([created.code, created.stdout], [0, 'gw_live_secret0\n'])

  const running = await served(context, directory)
  const socket = join(directory, 'data', 'control.sock')
  assert.equal(statSync(socket).mode & 0o777, 0o600)
  assert.equal(statSync(join(directory, 'data')).mode & 0o777, 0o700)
  assert.equal((await keys('create', '--name', 'running', '--expires', '2040-01-01')).stdout, 'gw_live_secret1\n')
  const revoked = await keys('revoke', 'key-1')
  assert.deepEqual([revoked.code, revoked.stderr], [0, 'Revoked key key-1.\n'])
  const unknown = await keys('revoke', 'key-9')
  assert.deepEqual([unknown.code, unknown.stderr], [1, 'There is no key "key-9". "hadrian keys list" shows them.\n'])
  assert.equal(
    (await keys('list')).stdout,
    `ID     NAME     KEY        CREATED           LAST USED  STATE
key-1  stopped  gw_live_0  2030-01-02 03:04             revoked
key-2  running  gw_live_1  2030-01-02 03:04             until 2040-01-01 00:00
`,
  )
  assert.deepEqual(
    JSON.parse((await keys('list', '--json')).stdout).map((key: { allowed_models?: unknown; scopes?: unknown }) => [
      key.allowed_models,
      key.scopes,
    ]),
    [
      [['test/*'], ['chat', 'models']],
      [undefined, undefined],
    ],
  )
  const denied = await fetch(`${running.url}/admin/v1/api-keys`, { headers: { authorization: 'Bearer gw_live_1' } })
  assert.equal(denied.status, 403)
  await denied.body?.cancel()
})

test('keys have owners, limits and addresses, and are shown and rotated', async (context) => {
  const directory = site(context)
  await served(context, directory)
  const keys = (...words: string[]): ReturnType<typeof runCommand> =>
    runCommand(context, ['keys', ...words], { directory })
  const full = '--owner project:p-1 --ip 10.0.0.0/8 --ip ::1 --budget monthly=100 --budget daily=2.5'.split(' ')
  full.push('--limit', 'requests_per_minute=60', '--limit', 'tokens_per_day=1000000')
  assert.equal((await keys('create', '--name', 'web', ...full)).stdout, 'gw_live_secret1\n')
  await keys('create', '--name', 'other')
  const [shown] = JSON.parse((await keys('list', '--owner', 'project:p-1', '--active', '--json')).stdout) as object[]
  const expected = {
    id: 'key-2',
    key_prefix: 'gw_live_1',
    created_at: '2030-01-02T03:04:05Z',
    name: 'web',
    owner: { type: 'project', project_id: 'p-1' },
    ip_allowlist: ['10.0.0.0/8', '::1'],
    budgets: [
      { period: 'monthly', limit_usd: 100 },
      { period: 'daily', limit_usd: 2.5 },
    ],
    rate_limits: { requests_per_minute: 60, tokens_per_day: 1_000_000 },
  }
  assert.deepEqual(shown, expected)
  assert.deepEqual(JSON.parse((await keys('show', 'key-2', '--json')).stdout), expected)
  assert.match((await keys('show', 'key-2')).stdout, /^owner +project:p-1$/m)
  const rotated = await keys('rotate', 'key-2', '--grace', '2h')
  assert.deepEqual(rotated, {
    code: 0,
    signal: null,
    stdout: 'gw_live_rotated\n',
    stderr:
      'Rotated key key-2. The key of until now works until 2030-01-04 05:06. The new one cannot be shown again:\n',
  })
  const { rotation, caller } = JSON.parse((await keys('rotate', 'key-2', '--grace', '90s', '--json')).stdout) as {
    rotation: object
    caller: { scopes: string[] }
  }
  assert.deepEqual(rotation, { grace_period_seconds: 90 })
  assert.deepEqual(caller.scopes.toSorted(), ['admin', 'chat', 'completions', 'embeddings', 'models'])
  for (const verb of ['show', 'rotate']) assert.match((await keys(verb, 'key-9')).stderr, /^There is no key "key-9"/)
  const mistakes: [string[], RegExp][] = [
    [['create', '--owner', 'p-1'], /"p-1" is no owner: write for instance project:ID/],
    [['create', '--budget', 'monthly'], /"monthly" is no budget: write for instance monthly=100/],
    [['create', '--limit', 'rpm:60'], /"rpm:60" is no limit: write for instance requests_per_minute=60/],
    [['rotate', 'key-2', '--grace', 'soon'], /"soon" is no length of time: write for instance 30m, 24h or 7d/],
    [['rotate'], /"keys rotate" needs the id of a key/],
    [['rotat', 'key-2'], /unknown command "keys rotat". Did you mean "rotate"\?/],
  ]
  for (const [words, message] of mistakes) {
    const { code, stderr } = await keys(...words)
    assert.equal(code, 2)
    assert.match(stderr, message)
  }
})

test('one gateway per data directory; it stops when its launcher is killed', { timeout: 30_000 }, async (context) => {
  const directory = site(context)
  const running = await served(context, directory)
  const second = await runCommand(context, ['serve'], { directory, environment: { PORT: '0' } })
  assert.equal(second.code, 1)
  assert.match(second.stderr, /a gateway with this data directory is running already/)
  running.child.kill('SIGKILL')
  await running.finished
  // Nobody is left to stop the gateway under the killed launcher but itself.
  await until(async () => !(await answers(running.url)))
  const again = await served(context, directory)
  assert.ok(await answers(again.url))
})

test('a socket file that nobody listens on is replaced', async (context) => {
  const directory = site(context)
  const path = join(directory, 'data', 'control.sock')
  const running = await served(context, directory)
  running.child.kill('SIGTERM')
  await running.finished
  assert.equal(existsSync(path), false)
  // A process that is killed leaves its socket file behind: made here by a child that exits without closing.
  await runNode(
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  )
  assert.equal(existsSync(path), true)
  const again = await served(context, directory)
  assert.ok(await answers(again.url))
})

test('a port in use is a problem that says what to do', async (context) => {
  const other = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  context.after(() => other.close())
  const { port } = other.address() as { port: number }
  const { code, stderr } = await runCommand(context, ['serve'], {
    directory: site(context),
    environment: { PORT: String(port) },
  })
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^server: port ${port} is in use\n    Stop what listens there`))
})

test('SIGTERM lets an open stream end, and takes no new work', async (context) => {
  const running = await served(context, site(context))
  const body = { model: 'test/pace-50', stream: true, messages: [{ role: 'user', content: 'one two three four' }] }
  const response = await fetch(`${running.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer gw_live_x', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let streamed = (await reader.read()).value ?? ''
  running.child.kill('SIGTERM')
  await running.output(/Stopping/)
  assert.equal(await answers(running.url), false)
  for (let next = await reader.read(); !next.done; next = await reader.read()) streamed += next.value
  assert.match(streamed, /data: \[DONE\]\n\n$/)
  assert.equal((await running.finished).code, 0)
})

test('what does not end within the shutdown timeout is aborted, and the gateway still ends with 0', async (context) => {
  const running = await served(context, site(context, '[server]\nshutdown_timeout_ms = 50\n'))
  const response = fetch(`${running.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer gw_live_x', 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'test/pace-50+long-100000',
      stream: true,
      messages: [{ role: 'user', content: 'x' }],
    }),
  })
  const text = response.then((answer) => answer.text())
  await response
  running.child.kill('SIGTERM')
  assert.match(await text, /"code":"shutting_down"/)
  assert.equal((await running.finished).code, 0)
})

test('a second signal ends the gateway at once', { timeout: 30_000 }, async (context) => {
  const running = await served(context, site(context))
  const response = await fetch(`${running.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer gw_live_x', 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'test/pace-50+long-100000',
      stream: true,
      messages: [{ role: 'user', content: 'x' }],
    }),
  })
  // Signals in quick succession are one press of Ctrl-C that came by several ways.
  running.child.kill('SIGTERM')
  running.child.kill('SIGTERM')
  await running.output(/Stopping/)
  const again = setInterval(() => running.child.kill('SIGTERM'), 20)
  const { code } = await running.finished
  clearInterval(again)
  assert.equal(code, 143)
  await assert.rejects(response.text())
})

test('the launcher ends the way its child did', async (context) => {
  const directory = directoryWith(context, {
    'three.mjs': 'process.exit(3)',
    'killed.mjs': "process.kill(process.pid, 'SIGKILL')",
    'waits.mjs': "setInterval(() => {}, 1000); console.log('up')",
  })
  assert.equal((await runCommand(context, ['--run', 'three.mjs'], { directory })).code, 3)
  assert.equal((await runCommand(context, ['--run', 'killed.mjs'], { directory })).signal, 'SIGKILL')
  const waiting = startCommand(context, ['--run', 'waits.mjs'], { directory })
  await waiting.output(/up/)
  waiting.child.kill('SIGTERM')
  assert.equal((await waiting.finished).signal, 'SIGTERM')
})

test('the path of a control socket never gets too long for the system', () => {
  assert.equal(controlSocketPath('/data'), '/data/control.sock')
  const long = `/${'x'.repeat(200)}`
  const path = controlSocketPath(long)
  assert.ok(Buffer.byteLength(path) <= 103, path)
  assert.equal(controlSocketPath(long), path)
  assert.notEqual(controlSocketPath(`${long}y`), path)
})

test('a data directory with a long path has a control socket all the same', async (context) => {
  const directory = site(context)
  const environment = { PORT: '0', HADRIAN_DATA_DIR: join(directory, 'd'.repeat(120)) }
  const running = startCommand(context, ['serve'], { directory, environment })
  await running.output(/listens on/)
  const listed = await runCommand(context, ['keys', 'list', '--json'], { directory, environment })
  assert.equal(JSON.parse(listed.stdout).length, 1)
  assert.equal(existsSync(controlSocketPath(environment.HADRIAN_DATA_DIR)), true)
  running.child.kill('SIGTERM')
  assert.equal((await running.finished).code, 0)
  assert.equal(JSON.parse(readFileSync(join(environment.HADRIAN_DATA_DIR, 'keys.json'), 'utf8')).length, 1)
})

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/live`)
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

/** Looks again until it is so; the test's own timeout ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve))
}
