/** Canaries: what must stay secret is nowhere to be found afterwards, in nothing that the gateway writes. */

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import { inspect } from 'node:util'
import { Client } from 'pg'
import { createGateway } from '../../core/index.ts'
import { startPostgres } from '../postgres-server.ts'
import { eventStream, failure, openUpstream, streamed, whole } from './scripted-upstream.ts'
import type { Answer, Json } from './scripted-upstream.ts'
import { serveProcess } from './served-process.ts'
import { leavingPost } from './stream-client.ts'
import { chatBody, chatRecords, record } from './wire-answers.ts'

const upstreamKey = 'canary-upstream-key-8f3a91'
const longKey = 'canary-bootstrap-key-of-32-characters-91ab'
const wrongKey = 'canary-wrong-key-77c1d0'
const prompt = 'canary-prompt-5d20be'
const answer = 'canary-answer-c4419e'

/** What an upstream may do with a call; many of them repeat what they were sent. */
const behaviours: readonly Answer[] = [
  whole(chatBody({ text: answer })),
  streamed(chatRecords({ text: `${answer} and more` })),
  streamed(chatRecords({ text: answer }).slice(0, 2), { ending: 'cut' }),
  ...[400, 401, 403, 404, 422, 429, 500, 503].map((status) =>
    failure(status, {
      message: `Incorrect API key provided: ${upstreamKey}, in Authorization: Bearer ${upstreamKey}, for "${prompt}"`,
      code: 'invalid_api_key',
      param: prompt,
    }),
  ),
  { status: 500, headers: { 'content-type': 'text/html' }, body: [`<html>${upstreamKey} ${prompt}</html>`] },
  { status: 500, headers: eventStream, body: [`data: ${upstreamKey} ${prompt}\n\n`] },
  { headers: { 'content-type': 'application/json' }, body: [`{"error":"${upstreamKey} ${prompt}`] },
  streamed([record({ error: { message: `${upstreamKey} ${prompt}`, code: 'x' } })]),
  streamed([...chatRecords().slice(0, 2), record({ error: { message: `${upstreamKey} ${prompt}`, code: 'x' } })]),
  streamed([`data: ${upstreamKey} ${prompt}\n\n`]),
]

it('is in no log, no error, no span, no metric and no row', { timeout: 60_000 }, async (context) => {
  const postgres = await startPostgres()
  context.after(() => postgres.stop())
  const database = await postgres.createDatabase()
  const upstream = await openUpstream()
  context.after(() => upstream.close())
  const collector = await openCollector()
  context.after(() => collector.close())
  const served = await serveProcess(
    context,
    `[server]
metrics = true
[log]
level = "debug"
[routing]
retries_per_target = 0
[providers.native]
type = "openai"
base_url = "${upstream.url}/native/v1"
dialects = ["chat", "responses"]
api_key = "\${CANARY_KEY}"
[providers.anthropic]
base_url = "${upstream.url}/anthropic"
api_key = "\${CANARY_KEY}"
[plugins.target-health]
breaker = { enabled = false }
`,
    {
      CANARY_KEY: upstreamKey,
      DATABASE_URL: database,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '200',
      OTEL_METRIC_EXPORT_TIMEOUT: '100',
    },
  )
  const key = await firstKey(served.stdout)
  const shownToClients: string[] = []
  const post = async (path: string, body: unknown, bearer = key): Promise<void> => {
    const response = await fetch(served.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    shownToClients.push(`${JSON.stringify([...response.headers])}${await response.text()}`)
  }

  const messages = [{ role: 'user', content: prompt }]
  for (const model of ['native/m', 'anthropic/claude-sonnet-4-5'])
    for (const stream of [false, true])
      for (const behaviour of behaviours) {
        upstream.answer(behaviour, behaviour)
        await post('/v1/chat/completions', { model, messages, stream })
        await post('/v1/responses', { model, input: prompt, instructions: prompt, stream })
      }
  for (const body of [
    { model: 'native/m', messages, temperature: prompt },
    { model: 'native/m', messages, plugins: [{ id: prompt }] },
    { model: 'native/m', messages: [{ role: prompt, content: prompt }] },
    `{"model":"native/m","messages":[{"role":"user","content":"${prompt}"`,
    `"${prompt}"`,
  ]) {
    await post('/v1/chat/completions', body)
    await post('/v1/responses', body)
  }
  await post('/v1/chat/completions', { model: 'native/m', messages }, wrongKey)
  await post('/v1/chat/completions', { model: 'native/m', messages }, `gw_live_${wrongKey}`)
  await fetch(`${served.url}/v1/models?key=${wrongKey}`, { headers: { 'x-api-key': wrongKey, cookie: wrongKey } })
  upstream.answer({ body: [], silent: true })
  const count = upstream.calls.length
  const leaving = leavingPost(`${served.url}/v1/chat/completions`, { model: 'native/m', messages, user: prompt }, key)
  await upstream.received(count + 1)
  leaving.leave()

  const metrics = await (await fetch(`${served.url}/metrics`)).text()
  served.child.kill('SIGTERM')
  assert.equal(await served.exit, 0)
  const rows = await allRows(database)

  const places = { log: served.stderr(), spans: collector.text(), metrics, rows }
  for (const [place, text] of Object.entries(places)) {
    assert.ok(text.length > 1000, `there is nothing in the ${place}`)
    for (const secret of [upstreamKey, wrongKey, prompt, answer, key]) {
      const at = text.indexOf(secret)
      assert.equal(at, -1, `${secret} is in the ${place}: ${text.slice(Math.max(0, at - 300), at + 60)}`)
    }
  }
  for (const text of shownToClients)
    for (const secret of [upstreamKey, wrongKey, key]) assert.ok(!text.includes(secret), `${secret} was shown: ${text}`)
  assert.equal(served.stdout().split(key).length, 3, 'the first key stands in its own line and in the example')
})

it('shows no credential in the error of a config with a mistake', async () => {
  const failed = createGateway({
    environment: {},
    config: {
      providers: { native: { type: 'openai', api_key: upstreamKey } },
      plugins: { auth: { bootstrap_key: longKey }, budget: { limit: 1 } },
    },
  })
  await assert.rejects(failed, (error) => {
    const shown = inspect(error, { depth: Infinity, showHidden: true })
    assert.match(shown, /plugins\.budget\.limit/)
    for (const secret of [upstreamKey, longKey]) assert.ok(!shown.includes(secret), secret)
    return true
  })
})

async function firstKey(stdout: () => string): Promise<string> {
  for (;;) {
    const key = /gw_live_\S+/.exec(stdout())?.[0]
    if (key !== undefined && stdout().includes('curl')) return key
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Takes what OpenTelemetry exports, as it comes. */
async function openCollector(): Promise<{ readonly url: string; readonly text: () => string; close(): void }> {
  let text = ''
  const server = createServer((request, response) => {
    request.on('data', (piece: Buffer) => {
      text += piece.toString('latin1')
    })
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, text: () => text, close }
}

/** Every row of every table, as JSON. */
async function allRows(url: string): Promise<string> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
       where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`,
    )
    const texts: string[] = []
    for (const { name } of tables)
      texts.push(JSON.stringify((await client.query<Json>(`select to_jsonb(each) as row from ${name} as each`)).rows))
    return texts.join('\n')
  } finally {
    await client.end()
  }
}
