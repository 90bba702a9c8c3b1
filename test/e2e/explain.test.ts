/** Explanations over HTTP and on the command line: with limits of a whole gateway, none of which they use up. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Ajv } from 'ajv'
import type { Database, JsonObject } from '../../core/contract/plugin.ts'
import { schemaLibrary } from '../../core/services/schema-library.ts'
import { runCommand, runShell, startCommand } from '../core/cli-process.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { withoutDatabase } from './served-process.ts'

type Json = Record<string, any>

const prices = { input_per_million: 1000, output_per_million: 1000 }
const chat = { model: 'smart', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 50 }

let running: RunningGateway
before(async () => {
  running = await startGateway({
    isComplete: true,
    config: {
      models: { smart: { prices, targets: ['native/large', 'chat-only/large'] } },
      plugins: {
        budget: { limits: [{ period: 'total', limit_usd: 5 }] },
        'rate-limit': {
          requests_per_day: 20,
          concurrent_requests: 3,
          models: { smart: { tokens_per_day: 90_000 } },
        },
      },
    },
  })
})
after(() => running.close())

async function explained(body: JsonObject, path = '/api/v1/explain'): Promise<Json> {
  const response = await running.post(path, body)
  assert.equal(response.status, 200)
  return (await response.json()) as Json
}

describe('POST /api/v1/explain', () => {
  it('shows limits and what is left of them, and uses up none of it', async () => {
    const first = await explained(chat)
    assert.deepEqual(first['plugins']['rate-limit'], {
      limits: [
        { scope: 'key', limit: 'requests_per_day', allowed: 20, remaining: 20 },
        { scope: 'key', limit: 'concurrent_requests', allowed: 3, remaining: 3 },
        { scope: 'model smart', limit: 'tokens_per_day', allowed: 90_000, remaining: 90_000 },
      ],
    })
    assert.deepEqual(first['plugins']['budget'], {
      accounts: [
        {
          scope: 'gateway',
          scope_id: 'gateway',
          period: 'total',
          limit_usd: 5,
          overage_usd: 0,
          spent_usd: 0,
          remaining_usd: 5,
          resets_at: null,
        },
      ],
    })
    for (let count = 0; count < 100; count++) await explained(chat)
    const last = await explained(chat)
    // Which target is the first is drawn by lot.
    for (const { plugins } of [first, last])
      plugins['target-health'].targets.sort((a: Json, b: Json) => (a['target'] < b['target'] ? -1 : 1))
    assert.deepEqual(last['plugins'], first['plugins'])
    assert.deepEqual(running.upstream.calls, [])
    assert.deepEqual(running.outcomes, [])
  })

  it('shows what a call has used, which is the only one in the usage log', async () => {
    const { length: before } = running.outcomes
    assert.equal((await running.post('/api/v1/chat/completions', chat)).status, 200)
    const outcome = (await running.ended(before + 1)).at(-1)!
    const { usage } = outcome
    assert.ok(usage?.costMicros)
    const { plugins } = await explained(chat)
    const [requests, slots, tokens] = plugins['rate-limit'].limits
    assert.deepEqual([requests.remaining, slots.remaining], [19, 3])
    assert.equal(tokens.remaining, 90_000 - usage.inputTokens - usage.outputTokens)
    const [account] = plugins.budget.accounts
    assert.equal(account.spent_usd, usage.costMicros / 1e6)
    assert.equal(account.remaining_usd, (5e6 - usage.costMicros) / 1e6)
    for (let count = 0; count < 10; count++) await explained(chat)
    assert.deepEqual((await explained(chat))['plugins'].budget, plugins.budget)

    const database = running.gateway.services.get('db') as Database
    const rows = (): Promise<unknown[]> => database.query('select id from usage_log_exchanges')
    // Rows are written in batches, in their order.
    for (let tries = 0; (await rows()).length === 0 && tries < 200; tries++) await pause(50)
    assert.equal((await rows()).length, 1)
  })

  it('has the form of its schema, for both dialects and on both paths', async () => {
    const validate = new Ajv({ strict: false, allErrors: true }).compile({
      $ref: '#/definitions/Explanation',
      definitions: schemaLibrary(),
    })
    const response = { model: 'smart', input: 'Hello', plugins: [{ id: 'response-healing' }] }
    for (const [body, dialect, path] of [
      [chat, 'chat', '/api/v1/explain'],
      [response, 'responses', '/v1/explain'],
      [{ model: 'native/large', input: 'Hello' }, 'embeddings', '/v1/explain?dialect=embeddings'],
    ] as const) {
      const explanation = await explained(body, path)
      assert.ok(validate(explanation), JSON.stringify(validate.errors))
      assert.equal(explanation['dialect'], dialect)
    }
    const { targets, plugins, request_plugins: brought, pipeline } = await explained(response)
    assert.deepEqual(targets.toSorted(), ['chat-only/large', 'native/large'])
    assert.match(plugins.router.ordered_by, /^balance /)
    assert.equal(plugins['target-health'].targets[0].state, 'healthy')
    assert.deepEqual(brought, [{ id: 'response-healing', reason: 'requested' }])
    assert.ok(pipeline.some(({ plugin }: Json) => plugin === 'response-healing'))
  })

  it('refuses with the status and the error of the call', async () => {
    const statusOf = async (path: string, body: unknown, headers = {}): Promise<[number, unknown]> => {
      const response = await running.post(path, body, { headers })
      return [response.status, ((await response.json()) as Json)['error'].code]
    }
    for (const body of [
      { ...chat, model: 'nowhere/none' },
      { ...chat, temperature: 'hot' },
      { ...chat, model: '' },
    ])
      assert.deepEqual(
        await statusOf('/api/v1/explain', body),
        await statusOf('/api/v1/chat/completions', body),
        JSON.stringify(body),
      )
    assert.deepEqual(await statusOf('/api/v1/explain', chat, { authorization: 'Bearer gw_live_none' }), [
      401,
      'invalid_api_key',
    ])
    assert.deepEqual(await statusOf('/api/v1/explain', { model: 'smart' }), [400, 'invalid_request_error'])
    assert.equal((await fetch(`${running.url}/api/v1/explain`)).status, 405)
  })

  it('needs the scope of chat', async () => {
    await using small = await startGateway()
    const post = (key: string): Promise<Response> =>
      small.post(
        '/api/v1/explain',
        { model: 'native/large', messages: chat.messages },
        {
          headers: { authorization: `Bearer ${key}` },
        },
      )
    assert.equal((await post('key-full')).status, 200)
    assert.equal((await post('key-no-chat')).status, 403)
    const denied = await post('key-one-model')
    assert.deepEqual([denied.status, ((await denied.json()) as Json)['error'].code], [403, 'model_not_allowed'])
    assert.deepEqual(small.upstream.calls, [])
  })
})

const siteConfig = `[providers.test]
[models.smart]
targets = ["test/echo", "test/other"]
[models."test/echo"]
max_output_tokens = 100
[models."test/echo".prices]
input_per_million = 1000000
output_per_million = 2000000
${withoutDatabase}`

describe('hadrian explain', () => {
  const siteOf = (context: TestContext): string => {
    const directory = mkdtempSync(join(tmpdir(), 'hadrian-explain-'))
    context.after(() => rmSync(directory, { recursive: true, force: true }))
    writeFileSync(join(directory, 'hadrian.toml'), siteConfig)
    writeFileSync(join(directory, 'request.json'), JSON.stringify({ model: 'smart', messages: chat.messages }))
    return directory
  }

  it('works without a running gateway, and starts nothing', async (context) => {
    const directory = siteOf(context)
    const { code, stdout, stderr } = await runCommand(context, ['explain', 'request.json'], { directory })
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^smart: about \d+ input tokens \(chat\)$/m)
    assert.match(stdout, /^ {2}TARGET +FOR +INPUT \$ +AT MOST \$ +NOT SENT$/m)
    assert.match(stdout, /^ {2}test\/echo +smart +\d+\.000000 +\d{3}\.000000$/m)
    assert.match(stdout, /^ {2}test\/other +smart +\? +\?$/m)
  })

  it('reads standard input, and prints JSON', async (context) => {
    const directory = siteOf(context)
    const launcher = join(import.meta.dirname, '..', '..', 'core', 'launch.js')
    const line = `cd ${directory} && HADRIAN_DATA_DIR=data ${process.execPath} ${launcher} explain - --json < request.json`
    const { targets, object } = JSON.parse(await runShell(line)) as Json
    assert.deepEqual([object, targets], ['explanation', ['test/echo', 'test/other']])
  })

  it('asks the gateway that runs', async (context) => {
    const directory = siteOf(context)
    const server = startCommand(context, ['serve'], { directory, environment: { PORT: '0' } })
    await server.output(/listens on/)
    // Only the running gateway knows the name from here on.
    writeFileSync(join(directory, 'hadrian.toml'), siteConfig.replace('models.smart', 'models.clever'))
    const asked = await runCommand(context, ['explain', 'request.json', '--json'], { directory })
    assert.equal(asked.code, 0, asked.stderr)
    assert.deepEqual((JSON.parse(asked.stdout) as Json)['targets'], ['test/echo', 'test/other'])
    server.child.kill('SIGTERM')
    await server.finished
    const alone = await runCommand(context, ['explain', 'request.json'], { directory })
    assert.deepEqual([alone.code, alone.stdout], [1, ''])
    assert.match(alone.stderr, /^The request would be refused: 400 routing_error: /)
    assert.match(alone.stderr, /^ {2}smart +unknown model$/m)
  })

  it('says what is wrong with its input', async (context) => {
    const directory = siteOf(context)
    writeFileSync(join(directory, 'broken.json'), '{"model":')
    for (const [words, message] of [
      [['explain', 'none.json'], /none\.json.*cannot be read/],
      [['explain', 'broken.json'], /broken\.json.*is not valid JSON/],
      [['explain', 'request.json', '--dialect', 'smoke'], /must be one of chat, responses/],
    ] as const) {
      const { code, stderr } = await runCommand(context, words, { directory })
      assert.equal(code, 1)
      assert.match(stderr, message)
    }
    assert.equal((await runCommand(context, ['explain'], { directory })).code, 2)
  })
})
