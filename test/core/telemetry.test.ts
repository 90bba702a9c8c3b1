import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import * as fc from 'fast-check'
import { boundedLabel } from '../../core/services/telemetry-metrics.ts'
import { createTelemetry } from '../../core/services/telemetry-start.ts'

const run = promisify(execFile)
const startUrl = JSON.stringify(new URL('../../core/services/telemetry-start.ts', import.meta.url).href)
const errorsUrl = JSON.stringify(new URL('../../core/contract/errors.ts', import.meta.url).href)

/** Runs a program with `telemetry` made from the environment of its process, which is where the SDK reads it too. */
async function inProcess(environment: Record<string, string>, metrics: boolean, body: string) {
  const program = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({ load(url, context, next) { loaded.add(url); return next(url, context) } })
    const { createTelemetry } = await import(${startUrl})
    const { gatewayError } = await import(${errorsUrl})
    const telemetry = await createTelemetry({ environment: process.env, metrics: ${metrics}, serviceName: 'named-by-config', version: '9.8.7' })
    const packages = () => [...new Set([...loaded].map((url) => /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]))]
    ${body}
    await telemetry.stop()`
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module-typescript', '-e', program], {
    env: { PATH: process.env['PATH'], ...environment },
  })
  assert.equal(stderr, '')
  return stdout
}

/** An OTLP collector on loopback. */
async function collector(context: TestContext) {
  const received: { path: string; type: string; body: Buffer }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({
        path: request.url ?? '',
        type: request.headers['content-type'] ?? '',
        body: Buffer.concat(chunks),
      })
      const isJson = request.headers['content-type'] === 'application/json'
      response.end(isJson ? '{}' : '')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}

/** One exchange as the kernel reports it. */
const exchange = `
  const request = {
    operation: 'generate', dialect: 'chat', model: 'alias', stream: true, extra: {}, temperature: 0.5, maxOutputTokens: 99,
    stop: ['PROMPT-WORDS'], metadata: { note: 'PROMPT-WORDS' }, user: 'PROMPT-WORDS', n: 2,
    responseFormat: { type: 'json_object' },
    messages: [{ role: 'user', content: [{ type: 'text', text: 'PROMPT-WORDS sk-abcdefghijklmnop' }] }],
  }
  const usage = { inputTokens: 30, outputTokens: 12, cachedInputTokens: 5, costMicros: 250 }
  const server = telemetry.serverSpan({
    method: 'POST', route: '/api/v1/chat/completions',
    headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', authorization: 'Bearer SECRET' },
  })
  telemetry.exchangesOpen(1)
  const hook = telemetry.hookSpan(server, 'auth', 'authenticate')
  telemetry.within(hook, () => telemetry.tracer.startActiveSpan('own work', (span) => span.end()))
  telemetry.endHookSpan(hook)
  telemetry.recordHook('auth', 'authenticate', 2, false)
  const init = { operation: 'generate', provider: 'eu', providerType: 'openai', model: 'gpt-4o', stream: true, request }
  const failed = telemetry.attemptSpan(server, { ...init, number: 1 })
  const error = gatewayError('provider_error', 'Upstream said PROMPT-WORDS', { cause: new Error('sk-abcdefghijklmnop') })
  telemetry.endAttemptSpan(failed, { error })
  telemetry.recordAttempt({ ...init, outcome: 'failed', errorCode: 'provider_error', durationMs: 20 })
  const attempt = telemetry.attemptSpan(server, { ...init, number: 2 })
  const headers = telemetry.traceHeaders(attempt)
  telemetry.endAttemptSpan(attempt, {
    usage, finishReason: 'stop', responseModel: 'gpt-4o-2024', responseId: 'chatcmpl-1', firstEventMs: 125,
  })
  telemetry.recordAttempt({ ...init, outcome: 'completed', durationMs: 500, firstEventMs: 125, usage })
  telemetry.recordWarning('dropped_part')
  telemetry.recordExchange({
    operation: 'generate', dialect: 'chat', provider: 'eu', model: 'gpt-4o', outcome: 'completed', httpStatus: 200,
    durationMs: 600, firstEventMs: 130, streamed: true,
  })
  telemetry.exchangesOpen(-1)
  telemetry.endServerSpan(server, { status: 200 })`

interface OtlpAttribute {
  key: string
  value: { stringValue?: string; intValue?: number; doubleValue?: number; boolValue?: boolean; arrayValue?: unknown }
}
interface OtlpSpan {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  kind: number
  status: { code: number; message?: string }
  attributes: OtlpAttribute[]
}

function attributesOf(holder: { attributes: OtlpAttribute[] }) {
  return Object.fromEntries(holder.attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}

void test('unconfigured: nothing is traced or recorded, and no SDK is loaded', async () => {
  const environments: Record<string, string>[] = [
    {},
    { OTEL_SERVICE_NAME: 'x' },
    { OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' },
    { OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' },
  ]
  for (const environment of environments) {
    const out = await inProcess(
      environment,
      false,
      `${exchange}
      console.log(JSON.stringify({
        packages: packages().filter((name) => name?.startsWith('@opentelemetry')), spans: [server, hook, attempt].length,
        undefinedSpans: [server, hook, attempt].filter((span) => span === undefined).length, headers,
        tracing: telemetry.tracing, metering: telemetry.metering, prometheus: typeof telemetry.prometheus,
      }))`,
    )
    assert.deepEqual(JSON.parse(out), {
      packages: ['@opentelemetry/api'],
      spans: 3,
      undefinedSpans: 3,
      headers: {},
      tracing: false,
      metering: false,
      prometheus: 'undefined',
    })
  }
})

void test('metrics alone load neither sdk-node nor an HTTP exporter', async () => {
  const out = await inProcess({}, true, `${exchange}\nconsole.log(packages().join('\\n'))`)
  const packages = out.trim().split('\n')
  assert.ok(packages.includes('@opentelemetry/exporter-prometheus'))
  assert.ok(!packages.some((name) => /sdk-node|sdk-trace|otlp/.test(name)), out)
})

void test('spans go to the collector with parents, kinds and GenAI attributes, and without a word of the prompt', async (context) => {
  const { endpoint, received } = await collector(context)
  const out = await inProcess(
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/v1/traces`, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    false,
    `${exchange}\nconsole.log(JSON.stringify({ headers, metering: telemetry.metering }))`,
  )
  assert.deepEqual([...new Set(received.map(({ path }) => path))], ['/v1/traces'])
  const body = received.map((record) => record.body.toString()).join('\n')
  assert.doesNotMatch(body, /PROMPT-WORDS|sk-abc|SECRET/)

  const [{ resource, scopeSpans }] = JSON.parse(received[0]?.body.toString() ?? '').resourceSpans
  assert.equal(attributesOf(resource)['service.name'], 'named-by-config')
  assert.equal(attributesOf(resource)['service.version'], '9.8.7')
  assert.ok(!body.includes('command_args'))
  const spans = scopeSpans.flatMap((scope: { spans: OtlpSpan[] }) => scope.spans) as OtlpSpan[]
  const named = (name: string) => spans.filter((span) => span.name === name)
  assert.equal(spans.length, 5)

  const server = named('POST /api/v1/chat/completions')[0] as OtlpSpan
  assert.equal(server.kind, 2)
  assert.equal(server.traceId, '0af7651916cd43dd8448eb211c80319c')
  assert.equal(server.parentSpanId, 'b7ad6b7169203331')
  assert.equal(attributesOf(server)['http.response.status_code'], 200)

  const hook = named('authenticate auth')[0] as OtlpSpan
  assert.equal(hook.parentSpanId, server.spanId)
  assert.equal(named('own work')[0]?.parentSpanId, hook.spanId)

  const [failed, attempt] = named('chat gpt-4o') as [OtlpSpan, OtlpSpan]
  assert.equal(failed.status.code, 2)
  assert.equal(attributesOf(failed)['error.type'], 'provider_error')
  assert.equal(attempt.kind, 3)
  assert.equal(attempt.parentSpanId, server.spanId)
  const { 'gen_ai.response.finish_reasons': reasons, ...attributes } = attributesOf(attempt)
  assert.deepEqual(reasons, { values: [{ stringValue: 'stop' }] })
  assert.deepEqual(attributes, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4o',
    'hadrian.provider': 'eu',
    'hadrian.attempt': 2,
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 99,
    'gen_ai.request.temperature': 0.5,
    'gen_ai.request.choice.count': 2,
    'gen_ai.output.type': 'json',
    'gen_ai.response.model': 'gpt-4o-2024',
    'gen_ai.response.id': 'chatcmpl-1',
    'gen_ai.response.time_to_first_chunk': 0.125,
    'gen_ai.usage.input_tokens': 30,
    'gen_ai.usage.output_tokens': 12,
    'gen_ai.usage.cache_read.input_tokens': 5,
    'hadrian.cost.micros': 250,
  })
  const { headers, metering } = JSON.parse(out)
  assert.equal(headers.traceparent, `00-${attempt.traceId}-${attempt.spanId}-01`)
  assert.ok(!('authorization' in headers))
  assert.equal(metering, false)
})

void test('traces, metrics to the collector and /metrics work together, in protobuf too', async (context) => {
  for (const [protocol, type] of [
    ['http/json', 'application/json'],
    ['', 'application/x-protobuf'],
  ] as const) {
    const { endpoint, received } = await collector(context)
    const out = await inProcess(
      { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: protocol, OTEL_SERVICE_NAME: 'edge' },
      true,
      `${exchange}\nconsole.log(await telemetry.prometheus())`,
    )
    assert.deepEqual([...new Set(received.map((record) => record.path))].toSorted(), ['/v1/metrics', '/v1/traces'])
    for (const record of received) assert.equal(record.type, type)
    const pushed = received.find(({ path }) => path === '/v1/metrics')?.body.toString('latin1') ?? ''
    assert.ok(pushed.includes('gen_ai.client.token.usage'))
    assert.ok(pushed.includes('edge'))
    assert.match(out, /^gen_ai_client_token_usage_count\{/m)
    assert.doesNotMatch(out + pushed, /PROMPT-WORDS|sk-abc|SECRET/)
  }
})

void test('metrics to the collector alone', async (context) => {
  const { endpoint, received } = await collector(context)
  const out = await inProcess(
    { OTEL_METRICS_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${endpoint}/m` },
    false,
    `${exchange}\nconsole.log(telemetry.tracing, server === undefined)`,
  )
  assert.equal(out.trim(), 'false true')
  assert.deepEqual([...new Set(received.map(({ path }) => path))], ['/m'])
})

void test('the text for Prometheus has durations in seconds, tokens by type and cost', async () => {
  const telemetry = await createTelemetry({ environment: {}, metrics: true, serviceName: 'hadrian', version: '1' })
  const attempt = { operation: 'generate', provider: 'eu', providerType: 'openai', model: 'gpt-4o' } as const
  const usage = { inputTokens: 30, outputTokens: 12, costMicros: 250 }
  telemetry.exchangesOpen(1)
  telemetry.exchangesOpen(1)
  telemetry.exchangesOpen(-1)
  telemetry.recordAttempt({ ...attempt, outcome: 'completed', durationMs: 1500, firstEventMs: 250, usage })
  telemetry.recordAttempt({ ...attempt, outcome: 'failed', errorCode: 'provider_timeout', durationMs: 10 })
  telemetry.recordHook('auth', 'authenticate', 2, true)
  telemetry.recordWarning('dropped_part')
  telemetry.recordRetry('eu')
  telemetry.recordFallback('us')
  telemetry.recordHedge('us', 'completed')
  telemetry.recordExchange({
    operation: 'generate',
    dialect: 'responses',
    outcome: 'refused',
    httpStatus: 429,
    errorCode: 'rate_limit_exceeded',
    durationMs: 3,
    streamed: false,
  })
  const lines = new Set((await telemetry.prometheus?.())?.split('\n'))
  const call =
    'gen_ai_operation_name="chat",gen_ai_provider_name="openai",hadrian_provider="eu",gen_ai_request_model="gpt-4o"'
  for (const line of [
    '# TYPE gen_ai_client_operation_duration histogram',
    `gen_ai_client_operation_duration_sum{${call},hadrian_outcome="completed"} 1.5`,
    `gen_ai_client_operation_duration_count{${call},hadrian_outcome="failed",error_type="provider_timeout"} 1`,
    `gen_ai_client_operation_duration_bucket{${call},hadrian_outcome="completed",le="1.28"} 0`,
    `gen_ai_client_operation_duration_bucket{${call},hadrian_outcome="completed",le="2.56"} 1`,
    `gen_ai_client_operation_time_to_first_chunk_sum{${call}} 0.25`,
    `gen_ai_client_token_usage_sum{${call},gen_ai_token_type="input"} 30`,
    `gen_ai_client_token_usage_sum{${call},gen_ai_token_type="output"} 12`,
    `hadrian_cost_micros_total{${call}} 250`,
    'hadrian_exchanges_open 1',
    'hadrian_plugin_duration_sum{hadrian_plugin="auth",hadrian_hook="authenticate",hadrian_outcome="failed"} 0.002',
    'hadrian_warnings_total{hadrian_warning="dropped_part"} 1',
    'hadrian_retries_total{hadrian_provider="eu"} 1',
    'hadrian_fallbacks_total{hadrian_provider="us"} 1',
    'hadrian_hedges_total{hadrian_provider="us",hadrian_outcome="completed"} 1',
    'hadrian_exchange_duration_count{gen_ai_operation_name="chat",hadrian_dialect="responses",hadrian_outcome="refused",http_response_status_code="429",hadrian_streamed="false",error_type="rate_limit_exceeded"} 1',
  ]) {
    assert.ok(lines.has(line), `${line}\n${[...lines].join('\n')}`)
  }
  assert.ok(![...lines].some((line) => line.startsWith('target_info')))
  await telemetry.stop()
})

void test('plugins make metrics of their own on the same page', async () => {
  const telemetry = await createTelemetry({ environment: {}, metrics: true, serviceName: 'hadrian', version: '1' })
  telemetry.meter.createCounter('mine.things').add(3, { kind: 'a' })
  assert.match((await telemetry.prometheus?.()) ?? '', /^mine_things_total\{kind="a"\} 3$/m)
  await telemetry.stop()
})

void test('invented model names do not make series without end', async () => {
  const telemetry = await createTelemetry({ environment: {}, metrics: true, serviceName: 'hadrian', version: '1' })
  for (let i = 0; i < 300; i++) {
    telemetry.recordAttempt({
      operation: 'generate',
      provider: 'openai',
      model: `invented-${i}`,
      outcome: 'failed',
      errorCode: 'provider_error',
      durationMs: 1,
    })
  }
  telemetry.recordAttempt({
    operation: 'generate',
    provider: 'openai',
    model: 'real',
    outcome: 'completed',
    durationMs: 1,
  })
  const text = (await telemetry.prometheus?.()) ?? ''
  assert.equal(text.match(/^gen_ai_client_operation_duration_count/gm)?.length, 52)
  assert.match(text, /gen_ai_request_model="real"/)
  await telemetry.stop()
})

void test('a bounded label never has more values than it may, and proven ones win', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.boolean())), fc.nat(5), fc.nat(5), (calls, limit, provisional) => {
      const label = boundedLabel(limit, provisional)
      const shown = new Set(calls.map(([value, proven]) => label(value, proven)))
      const provenValues = new Set(calls.filter(([, proven]) => proven).map(([value]) => value))
      // A guest that proves itself later frees its place, so at most `limit` guests more have ever been shown.
      assert.ok(shown.size <= 2 * limit + provisional + 1)
      for (const value of [...provenValues].slice(0, limit)) assert.equal(label(value, false), value)
    }),
  )
})
