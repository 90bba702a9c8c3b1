/** The README's way through the admin API, as it stands there: its blocks are pasted into a shell, one after the other. */

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import OpenAI, { APIError } from 'openai'
import { errorCodes } from '../../core/contract/errors.ts'
import { directoryWith } from '../core/boot-fixtures.ts'
import { runCommand } from '../core/cli-process.ts'
import { serveProcess } from './served-process.ts'
import { Shell } from './shell.ts'

type Json = Record<string, unknown>

const root = join(import.meta.dirname, '..', '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const [, walk = ''] = /\n## Who may call, how much, and for how much money\n([^]+?)\n## /.exec(readme) ?? []

/** The blocks of the walk in a language; the empty one is of what an answer looks like. */
function blocks(language: string): string[] {
  const fences = [...walk.matchAll(/^```(\w*)\n([^]*?)\n```$/gm)]
  return fences.filter(([, name]) => name === language).map(([, , block]) => block!)
}

/** Answers of an admin API are a line each. */
function answersOf(stdout: string): Json[] {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Json)
}

const all = (status: number, count: number): number[] => Array.from({ length: count }, () => status)

test('the walk of the README does what it says', { timeout: 120_000 }, async (context) => {
  const [
    prelude = '',
    price = '',
    owners = '',
    call = '',
    usage = '',
    rotation = '',
    spent = '',
    reload = '',
    ...rest
  ] = blocks('sh')
  assert.deepEqual([reload !== '', rest], [true, []], 'a block was added or left out: say here what it does')

  const served = await serveProcess(context, '')
  const [firstKey = ''] = /gw_live_\S+/.exec(await served.printed(/gw_live_\S+/)) ?? []
  await using shell = new Shell(directoryWith(context, {}))
  /** Address and key are the reader's own; all else is as it stands. */
  const paste = (block: string) =>
    shell.paste(
      block
        .replaceAll('http://127.0.0.1:8080', served.url)
        .replace('HADRIAN_API_KEY=gw_live_...', `HADRIAN_API_KEY=${firstKey}`),
    )
  /** Waits for what the gateway writes a moment after the call: ten seconds are long enough for it. */
  const once = async (path: string, isThere: (answer: Json) => boolean): Promise<void> => {
    for (let tries = 0; tries < 500; tries++) {
      const [answer] = answersOf((await paste(`api "${path}"`)).stdout)
      if (isThere(answer!)) return
      await setTimeout(20)
    }
    assert.fail(`${path} never has it`)
  }
  let client = new OpenAI({ apiKey: firstKey })

  await context.test('a price takes effect at once', async () => {
    assert.deepEqual((await paste(prelude)).statuses, [])
    const { stdout, statuses } = await paste(price)
    assert.deepEqual(statuses, [201, 200])
    const [set, effective] = answersOf(stdout)
    assert.equal(effective!['source'], 'admin')
    assert.deepEqual(effective!['origin'], { id: set!['id'] })
  })

  await context.test('an organization, a project and a key of it are made', async () => {
    assert.deepEqual((await paste(owners)).statuses, all(201, 3))
    assert.match(await shell.value('project'), /^[\da-f-]{36}$/)
    assert.match(await shell.value('key_id'), /^[\da-f-]{36}$/)
    const apiKey = await shell.value('key')
    assert.match(apiKey, /^gw_live_[\w-]{43}$/)
    client = new OpenAI({ apiKey, baseURL: `${served.url}/api/v1` })
  })

  await context.test('a call says what it costs and what is left, as the README shows it', async () => {
    const { stdout, statuses } = await paste(call)
    assert.deepEqual(statuses, [200, 200])
    const [shown = ''] = blocks('')
    const headers = stdout.replace(/(?<name>x-ratelimit-reset: )6[0-3]/, '$<name>63')
    for (const header of shown.split('\n'))
      assert.ok(headers.includes(`\r\n${header}\r\n`), `no ${header} in ${headers}`)
    const [answer, key] = answersOf(stdout)
    assert.equal((answer!['usage'] as Json)['cost'], 0.000066)
    const names = (key!['owners'] as Json[]).map(({ type, name }) => [type, name])
    assert.deepEqual(names, [
      ['project', 'search'],
      ['organization', 'Acme'],
    ])
    assert.doesNotMatch(stdout, /x-budget/)
  })

  await context.test('streams say it too, to the official client', async () => {
    const stream = await client.chat.completions.create({
      model: 'test/echo',
      messages: [{ role: 'user', content: 'Hello' }],
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = await Array.fromAsync(stream)
    const { usage: billed } = chunks.at(-1) as unknown as { usage: Json }
    assert.equal(billed['cost'], 0.000066)
  })

  await context.test('usage, budgets, limits, CSV and forecast show both calls', async () => {
    await once('/admin/v1/usage?project=$project', (sum) => sum['request_count'] === 2)
    await once('/admin/v1/budgets/project/$project', ({ data }) => (data as Json[])[0]?.['spent_usd'] === 0.000132)
    const { stdout, statuses } = await paste(usage)
    assert.deepEqual(statuses, all(200, 8))
    const [sum, byKey, byDate, logs, budgets, limits, forecast] = answersOf(stdout)
    assert.deepEqual([sum!['cost_micros'], sum!['total_tokens']], [132, 12])
    const [key] = byKey!['data'] as Json[]
    assert.deepEqual([key!['principal_name'], key!['cost_micros']], ['search-web', 132])
    assert.equal((byDate!['data'] as Json[]).at(-1)!['output_tokens'], 8)
    assert.deepEqual(
      (logs!['data'] as Json[]).map(({ outcome, cost_micros: cost, streamed }) => [outcome, cost, streamed]),
      [
        ['completed', 66, true],
        ['completed', 66, false],
      ],
    )
    const [budget] = budgets!['data'] as Json[]
    assert.deepEqual([budget!['limit_usd'], budget!['spent_usd']], [20, 0.000132])
    const used = (limits!['data'] as Json[]).map(({ limit, allowed }) => [limit, allowed])
    assert.deepEqual(Object.fromEntries(used), { requests_per_minute: 60, concurrent_requests: 4 })
    assert.deepEqual([forecast!['current_spend'], forecast!['budget']], [0.000132, 500])
    assert.match(String(forecast!['reason']), /at least 2 whole days/)
    const [head, ...rows] = (await shell.paste('cat usage.csv')).stdout.trim().split(/\r?\n/)
    assert.match(head!, /^id,started_at,principal_id,/)
    assert.equal(rows.length, 2)
  })

  await context.test('a key that is rotated goes on, and so does the new one', async () => {
    const { stdout, statuses } = await paste(rotation)
    assert.deepEqual(statuses, [201, 200])
    const [{ id, key: apiKey }] = answersOf(stdout) as [Json]
    assert.equal(id, await shell.value('key_id'))
    const models = await client.withOptions({ apiKey: String(apiKey) }).models.list()
    assert.ok(models.data.some((model) => model.id === 'test/echo'))
  })

  await context.test('a budget that is spent refuses, and SDKs do not try again', async () => {
    const { stdout, statuses } = await paste(spent)
    assert.deepEqual(statuses, [200, 402])
    const { code, details } = answersOf(stdout)[1]!['error'] as { code: string; details: Json }
    assert.equal(code, 'budget_exceeded')
    assert.deepEqual([details['scope'], details['scope_id']], ['project', await shell.value('project')])
    assert.match(String(details['resets_at']), /T00:00:00\.000Z$/)
    const asked = client.chat.completions.create({ model: 'test/echo', messages: [{ role: 'user', content: 'Hello' }] })
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof APIError)
      assert.deepEqual([error.status, error.code], [402, 'budget_exceeded'])
      return true
    })
    await once('/admin/v1/usage?project=$project', (sum) => sum['request_count'] === 5)
    const [sum] = answersOf((await paste('api "/admin/v1/usage?project=$project"')).stdout)
    assert.deepEqual([sum!['completed_count'], sum!['refused_count']], [3, 2])
  })

  await context.test('the config is read again', async () => {
    const { stdout, statuses } = await paste(reload)
    assert.deepEqual([statuses, answersOf(stdout)[0]!['reloaded']], [[200], true])
  })

  await context.test('the log names no secret, and has no line that is not JSON', async () => {
    const log = served.stderr()
    for (const line of log.trimEnd().split('\n')) assert.doesNotThrow(() => JSON.parse(line) as unknown, line)
    assert.doesNotMatch(log, /gw_live_[\w-]{20}/)
    assert.doesNotMatch(log, /"level":"(warn|error)"/)
  })
})

test('the config of the walk is valid', async (context) => {
  const [config = ''] = blocks('toml')
  const directory = directoryWith(context, {
    'hadrian.toml': `${config}\n[providers.local]\ntype = "openai"\nbase_url = "http://127.0.0.1:11434/v1"\n`,
  })
  const environment = { HADRIAN_ADMIN_KEY: 'a'.repeat(32), CI_KEY: 'b'.repeat(32) }
  const { code, stdout, stderr } = await runCommand(context, ['check'], { directory, environment })
  assert.deepEqual([code, stderr], [0, ''], stdout)
})

test('every error code that a bundled plugin throws is in the table', () => {
  const sources = globSync('plugins/*/*.ts', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'))
  const thrown = sources.flatMap((text) =>
    [...text.matchAll(/[gG]atewayError\(\s*'([a-z_]+)'/g)].map(([, code]) => code!),
  )
  assert.ok(thrown.includes('budget_unavailable'))
  assert.deepEqual(
    [...new Set(thrown)].filter((code) => !Object.hasOwn(errorCodes, code)),
    [],
  )
})
