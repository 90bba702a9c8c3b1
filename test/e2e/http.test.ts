/** The HTTP shell: the shape of every failure, the headers of every answer, and the endpoints around model calls. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { finished } from 'node:stream/promises'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { checkStream } from '../open-responses.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { failure, streamed } from './scripted-upstream.ts'
import type { Json } from './scripted-upstream.ts'
import { chunks, rawPost, sendRaw } from './stream-client.ts'
import { chatRecords } from './wire-answers.ts'

const bodyLimitBytes = 100_000
const authorization = 'Bearer key-full'
const json = { 'content-type': 'application/json', authorization }
const chat = { model: 'native/gpt-upstream', messages: [{ role: 'user', content: 'Hello' }] }
const responses = { model: 'native/gpt-upstream', input: 'Hello' }
const modelPaths = ['/chat/completions', '/responses', '/completions', '/embeddings'].flatMap((path) => [
  `/api/v1${path}`,
  `/v1${path}`,
])

let running: RunningGateway

before(async () => {
  running = await startGateway({
    config: {
      server: { body_limit_bytes: bodyLimitBytes },
      models: { 'native/gpt-upstream': { prices: { input_per_million: 1, output_per_million: 2 } } },
    },
  })
})
after(() => running.close())

/** Checks that an answer is an error in the one shape, and returns what stands under `error`. */
async function checkError(response: Response, status: number, code: string): Promise<Json> {
  const text = await response.text()
  assert.equal(response.status, status, text)
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
  const body = JSON.parse(text) as { error: Json }
  assert.deepEqual(Object.keys(body), ['error'])
  checkShape(body.error, status, code)
  assert.equal(body.error['request_id'], response.headers.get('x-request-id'))
  return body.error
}

const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
}

function checkShape(error: Json, status: number, code: string): void {
  assert.equal(error['code'], code)
  assert.equal(error['type'], types[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error'))
  assert.equal(typeof error['message'], 'string')
  assert.ok(error['param'] === null || typeof error['param'] === 'string')
  assert.equal(typeof error['request_id'], 'string')
}

describe('a failure has the one shape', () => {
  it('where there is no such path', async () => {
    for (const path of ['/', '/nowhere', '/v1', '/v1/', '/api/v1/chat', '/v1/chat/completions/x', '/admin', '/metrics'])
      for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'PROPFIND'])
        await checkError(await fetch(running.url + path, { method }), 404, 'not_found')
  })

  it('where the method is another', async () => {
    for (const path of modelPaths)
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        const response = await fetch(running.url + path, { method, headers: { authorization } })
        assert.equal(response.headers.get('allow'), 'POST')
        await checkError(response, 405, 'method_not_allowed')
      }
    for (const path of ['/v1/models', '/v1/models/native/x', '/health', '/health/live', '/openapi.json', '/api/docs']) {
      const response = await fetch(running.url + path, { method: 'POST', headers: json, body: '{}' })
      assert.deepEqual(response.headers.get('allow')?.split(', ').toSorted(), ['GET', 'HEAD'])
      await checkError(response, 405, 'method_not_allowed')
    }
  })

  it('where a model is not known', async () => {
    const error = await checkError(
      await fetch(`${running.url}/v1/models/native/x`, { headers: json }),
      404,
      'not_found',
    )
    assert.match(String(error['message']), /native\/x/)
  })

  for (const path of modelPaths) {
    const post = (body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(running.url + path, { method: 'POST', headers: { ...json, ...headers }, body: body as string })

    it(`where the body is too large: ${path}`, async () => {
      const error = await checkError(await post(`"${'x'.repeat(bodyLimitBytes)}"`), 413, 'request_too_large')
      assert.deepEqual(error['details'], { limit_bytes: bodyLimitBytes })
      const { socket, closed } = await sendRaw(
        running.url,
        `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
      )
      const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
      for (let sent = 0; sent <= bodyLimitBytes; sent += 0x4000) socket.write(chunk)
      assert.match(await closed, /^HTTP\/1\.1 413 [\s\S]*"request_too_large"/)
    })

    it(`where the body is of another type: ${path}`, async () => {
      for (const type of [
        'text/plain',
        'multipart/form-data; boundary=x',
        'application/x-www-form-urlencoded',
        'json',
        '',
      ])
        await checkError(await post('{}', { 'content-type': type }), 415, 'unsupported_media_type')
      await checkError(await post('{}', { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type')
    })

    it(`where the body is no JSON: ${path}`, async () => {
      const cases: readonly (readonly [string, number])[] = [
        ['{"model": }', 10],
        ['{"model": "x",}', 14],
        ['{"model": "x"', 13],
        ['{"model": "x" "y"}', 14],
        ["{'model': 1}", 1],
        ['nothing', 1],
        ['{"a": 01}', 7],
        ['{} {}', 3],
        ['{"a":"\n"}', 6],
      ]
      for (const [body, position] of cases) {
        const error = await checkError(await post(body), 400, 'invalid_json')
        assert.deepEqual(error['details'], { position }, body)
      }
      await checkError(await post(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])), 400, 'invalid_json')
    })

    it(`where the body is not what the endpoint takes: ${path}`, async () => {
      for (const body of ['{}', '', '[]', 'null', '7', '"x"', '{"model":7}', '{"model":""}', '{"stream":"yes"}']) {
        const error = await checkError(await post(body), 400, 'invalid_request_error')
        assert.ok(Array.isArray((error['details'] as Json)['errors']), body)
      }
      const empty = await fetch(running.url + path, { method: 'POST', headers: { authorization } })
      await checkError(empty, 400, 'invalid_request_error')
    })

    it(`where the key is missing or wrong: ${path}`, async () => {
      const body = JSON.stringify(chat)
      const send = (headers: Record<string, string>): Promise<Response> =>
        fetch(running.url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })
      const missing = await send({})
      assert.equal(missing.headers.get('www-authenticate'), 'Bearer')
      await checkError(missing, 401, 'missing_credentials')
      await checkError(await send({ authorization: 'Bearer x' }), 401, 'invalid_api_key')
      await checkError(await send({ authorization: 'Bearer key-no-chat' }), 403, 'insufficient_scope')
    })
  }

  it('where the path cannot be decoded', async () => {
    for (const path of ['/%', '/%ff', '/v1/models/%E0%A4%A', '/v1/%zz', '/api/docs/%c0%ae%c0%ae']) {
      const { socket, closed } = await sendRaw(
        running.url,
        `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\nconnection: close\r\n\r\n`,
      )
      const answer = await closed
      socket.destroy()
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, path)
      const error = (JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as { error: Json }).error
      assert.equal(error['type'], 'invalid_request_error')
    }
  })

  it('where the bytes are no HTTP', async () => {
    const cases: Readonly<Record<string, RegExp>> = {
      'garbage\r\n\r\n': /^HTTP\/1\.1 400 /,
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03': /^HTTP\/1\.1 400 /,
      'GET / HTTP/9.9\r\n\r\n': /^HTTP\/1\.1 400 /,
      'POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n':
        /^HTTP\/1\.1 400 /,
      'GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n': /^HTTP\/1\.1 400 /,
      [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`]: /^HTTP\/1\.1 431 /,
      'GET / HTTP/1.1\r\n\r\n': /^HTTP\/1\.1 400 /,
      'GET / HTTP/1.1\r\nhost: x\r\nexpect: the-impossible\r\n\r\n': /^HTTP\/1\.1 404 /,
      'CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n': /^HTTP\/1\.1 400 /,
    }
    for (const [bytes, status] of Object.entries(cases)) {
      const { socket, closed } = await sendRaw(running.url, Buffer.from(bytes, 'latin1'))
      socket.end()
      const answer = await closed
      assert.match(answer, status, bytes.slice(0, 100))
      assert.match(answer, /content-type: application\/json/i, bytes.slice(0, 100))
      const error = (JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as { error: Json }).error
      assert.equal(error['type'], 'invalid_request_error')
      assert.equal(typeof error['request_id'], 'string')
    }
  })

  it('where the target is no URL', async () => {
    const { closed } = await sendRaw(running.url, 'GET http://[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    assert.match(await closed, /^HTTP\/1\.1 400 [\s\S]*"invalid_request_error"/)
  })

  it('and closes the connection of a client that does not', { timeout: 10_000 }, async () => {
    for (const bytes of ['CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n', 'garbage\r\n\r\n']) {
      const { hostname, port } = new URL(running.url)
      const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
      socket.on('error', () => undefined)
      const ended = once(socket.resume(), 'end')
      socket.write(bytes)
      await ended
      // Only a connection that is gone refuses what comes, instead of taking it in for ever.
      while (!socket.destroyed) {
        socket.write('x')
        await setTimeout(20)
      }
    }
  })

  it('and survives that a client resets its connection at once', async () => {
    const failures: unknown[] = []
    const onFailure = (error: unknown): void => void failures.push(error)
    process.on('uncaughtException', onFailure)
    try {
      for (let round = 0; round < 20; round++) {
        const { socket } = await sendRaw(running.url, 'CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n')
        socket.resetAndDestroy()
        assert.equal((await fetch(`${running.url}/health/live`)).status, 200)
      }
    } finally {
      process.off('uncaughtException', onFailure)
    }
    assert.deepEqual(failures, [])
  })

  it('where a request takes too long to come in', async () => {
    const socket = new Duplex({
      read() {},
      write: (piece: Buffer, _, done) => done(void written.push(piece.toString())),
    })
    const written: string[] = []
    running.gateway.app.clientError(Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
    await finished(socket, { readable: false })
    assert.match(written.join(''), /^HTTP\/1\.1 408 [\s\S]*"invalid_request_error"/)
  })

  it('and is never written into an answer that is going out', async () => {
    running.upstream.answer(streamed(chatRecords().slice(0, 2), { ending: 'stall' }))
    const { socket, closed } = await sendRaw(running.url, rawPost('/v1/chat/completions', { ...chat, stream: true }))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.write('garbage\r\n\r\n')
    assert.equal((await closed).split('HTTP/1.1').length, 2)
    await running.upstream.last().closed
  })

  it('where the field has to wait for a later version', async () => {
    for (const field of ['previous_response_id', 'prompt', 'conversation', 'background']) {
      const value = field === 'background' ? true : field === 'prompt' ? { id: 'p' } : 'x'
      const error = await checkError(
        await running.post('/v1/responses', { ...responses, [field]: value }),
        400,
        'unsupported',
      )
      assert.equal(error['param'], field)
    }
  })
})

describe('headers', () => {
  it('echo a fit request id, and replace any other', async () => {
    for (const path of ['/health/live', '/nowhere', '/v1/models']) {
      const send = (id: string): Promise<Response> =>
        fetch(running.url + path, { headers: { authorization, 'x-request-id': id } })
      for (const id of ['abc-123', 'a:b/c@d=+.', 'x'.repeat(128)])
        assert.equal((await send(id)).headers.get('x-request-id'), id)
      for (const id of ['x'.repeat(129), 'a b', 'a"b', '<x>', 'é']) {
        const shown = (await send(id)).headers.get('x-request-id')
        assert.match(shown ?? '', /^[0-9a-f-]{36}$/)
      }
    }
    const given = await running.post('/v1/chat/completions', chat, { headers: { 'x-request-id': 'mine' } })
    assert.equal(given.headers.get('x-request-id'), 'mine')
    const failed = await running.post('/v1/chat/completions', {}, { headers: { 'x-request-id': 'mine' } })
    assert.equal((await checkError(failed, 400, 'invalid_request_error'))['request_id'], 'mine')
  })

  it('of a model call name who answered, how long it took and what it used', async () => {
    for (const [path, body] of [
      ['/v1/chat/completions', chat],
      ['/v1/responses', responses],
    ] as const)
      for (const stream of [false, true]) {
        const response = await running.post(path, { ...body, stream })
        await response.text()
        const { headers } = response
        assert.equal(headers.get('x-provider'), 'native')
        assert.equal(headers.get('x-model'), 'gpt-upstream')
        assert.equal(headers.get('x-hadrian-attempts'), '1')
        assert.match(headers.get('server-timing') ?? '', /^gateway;dur=\d+\.\d\d, upstream;dur=\d+\.\d\d$/)
        assert.equal(headers.get('x-input-tokens'), stream ? null : '7')
        assert.equal(headers.get('x-output-tokens'), stream ? null : '5')
        assert.equal(headers.get('x-cost-micros'), stream ? null : '17')
      }
  })

  it('count the attempts of a fallback', async () => {
    running.upstream.answer(failure(500))
    const response = await running.post('/v1/responses', { ...responses, models: ['chat-only/other'] })
    assert.equal(response.headers.get('x-hadrian-attempts'), '2')
    assert.equal(response.headers.get('x-provider'), 'chat-only')
    assert.equal(response.headers.get('x-model'), 'other')
  })
})

describe('usage', () => {
  it('has the cost, streamed or not, in both dialects', async () => {
    const whole = (await (await running.post('/v1/chat/completions', chat)).json()) as { usage: Json }
    assert.equal(whole.usage['cost'], 0.000_017)
    const asking = { ...chat, stream: true, stream_options: { include_usage: true } }
    const last = chunks(await (await running.post('/v1/chat/completions', asking)).text()).at(-1)!
    assert.equal((last['usage'] as Json)['cost'], 0.000_017)
    const response = (await (await running.post('/v1/responses', responses)).json()) as { usage: Json }
    assert.equal(response.usage['cost'], 0.000_017)
    const final = checkStream(await (await running.post('/v1/responses', { ...responses, stream: true })).text())
    assert.equal((final['usage'] as Json)['cost'], 0.000_017)
  })
})

describe('hadrian_metadata', () => {
  const headers = { 'x-hadrian-metadata': 'enabled' }

  function check(metadata: unknown, model: string): void {
    const { requested, targets, attempts, pipeline, warnings, timings } = metadata as Json
    assert.deepEqual(requested, [model])
    assert.deepEqual(targets, [model])
    assert.equal((attempts as Json[]).length, 1)
    assert.equal((attempts as Json[])[0]?.['outcome'], 'completed')
    assert.ok((pipeline as Json[]).some(({ hook, plugin }) => hook === 'settle' && plugin === 'test-outcomes'))
    assert.ok(Array.isArray(warnings))
    assert.equal(typeof (timings as Json)['total_ms'], 'number')
  }

  for (const model of [
    'native/gpt-upstream',
    'chat-only/m',
    'responses-only/m',
    'anthropic/claude-sonnet-4-5',
    'test/echo',
  ])
    it(`is there if it was asked for, in both dialects, streamed or not: ${model}`, async () => {
      const ask = async (path: string, body: Json): Promise<string> =>
        (await running.post(path, { ...body, model }, { headers })).text()
      check((JSON.parse(await ask('/v1/chat/completions', chat)) as Json)['hadrian_metadata'], model)
      const chat2 = chunks(await ask('/v1/chat/completions', { ...chat, stream: true }))
      check(chat2.find((chunk) => 'hadrian_metadata' in chunk)?.['hadrian_metadata'], model)
      check((JSON.parse(await ask('/v1/responses', responses)) as Json)['hadrian_metadata'], model)
      const final = checkStream(await ask('/v1/responses', { ...responses, stream: true }))
      check(final['hadrian_metadata'], model)
      assert.ok(
        !(await (await running.post('/v1/responses', { ...responses, model })).text()).includes('hadrian_metadata'),
      )
    })

  it('names what was lost in translation', async () => {
    const body = { ...chat, model: 'anthropic/claude-sonnet-4-5', seed: 7 }
    const answer = (await (await running.post('/v1/chat/completions', body, { headers })).json()) as Json
    const { warnings } = answer['hadrian_metadata'] as { warnings: Json[] }
    assert.ok(
      warnings.some(({ param }) => param === 'seed'),
      JSON.stringify(warnings),
    )
  })
})

describe('the endpoints around', () => {
  it('tell that the gateway is well', async () => {
    const health = await fetch(`${running.url}/health`)
    const body = (await health.json()) as Json
    assert.equal(health.status, 200)
    assert.equal(body['status'], 'healthy')
    assert.deepEqual(Object.keys(body['subsystems'] as Json), ['database'])
    for (const path of ['/health/live', '/health/ready']) assert.equal((await fetch(running.url + path)).status, 200)
  })

  it('describe the API', async () => {
    const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as Json
    assert.match(String(document['openapi']), /^3\./)
    for (const path of ['/api/v1/chat/completions', '/api/v1/responses', '/api/v1/models', '/health'])
      assert.ok((document['paths'] as Json)[path], path)
    const page = await fetch(`${running.url}/api/docs`)
    assert.equal(page.status, 200)
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    const html = await page.text()
    for (const [, asset] of html.matchAll(/(?:src|href)="(\/api\/docs\/[^"]+)"/g)) {
      const file = await fetch(running.url + (asset ?? ''))
      assert.equal(file.status, 200)
      assert.ok((await file.bytes()).length > 0)
    }
    await checkError(await fetch(`${running.url}/api/docs/package.json`), 404, 'not_found')
    await checkError(await fetch(`${running.url}/api/docs/..%2f..%2fpackage.json`), 404, 'not_found')
  })

  it('answer HEAD as GET, without the body', async () => {
    for (const path of ['/health', '/health/live', '/openapi.json', '/v1/models', '/api/docs']) {
      const head = await fetch(running.url + path, { method: 'HEAD', headers: { authorization } })
      const get = await fetch(running.url + path, { headers: { authorization } })
      assert.equal(head.status, get.status, path)
      assert.equal(head.headers.get('content-length'), get.headers.get('content-length'), path)
      assert.equal(await head.text(), '')
      await get.arrayBuffer()
    }
    assert.equal((await fetch(`${running.url}/nowhere`, { method: 'HEAD' })).status, 404)
  })

  it('serve metrics where they are enabled', async () => {
    await using measured = await startGateway({ config: { server: { metrics: true } } })
    await (await measured.post('/v1/chat/completions', { ...chat, stream: true })).text()
    const metrics = await fetch(`${measured.url}/metrics`)
    assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    const text = await metrics.text()
    assert.match(text, /^gen_ai_client_operation_duration_count\{[^}]*\} 1$/m)
    assert.match(text, /^hadrian_exchange_duration_count\{[^}]*\} 1$/m)
    assert.match(text, /^hadrian_exchanges_open(\{[^}]*\})? 0$/m)
  })
})

describe('a connection', () => {
  it('is kept for the next request, after errors too', async () => {
    const { socket, closed } = await sendRaw(running.url, rawPost('/v1/chat/completions', '{"broken'))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.write(rawPost('/v1/chat/completions', chat, { connection: 'close' }))
    const answers = (await closed).match(/HTTP\/1\.1 \d+/g)
    assert.deepEqual(answers, ['HTTP/1.1 400', 'HTTP/1.1 200'])
  })

  it('carries pipelined requests in order', async () => {
    const { closed } = await sendRaw(
      running.url,
      rawPost('/v1/chat/completions', { ...chat, model: 'test/slow-20' }) +
        rawPost('/v1/chat/completions', '{', { connection: 'close' }),
    )
    assert.deepEqual((await closed).match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  it('answers a client of HTTP/1.0', async () => {
    const text = JSON.stringify({ ...chat, stream: true })
    running.upstream.answer(streamed(chatRecords()))
    const { closed } = await sendRaw(
      running.url,
      `POST /v1/chat/completions HTTP/1.0\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    )
    const answer = await closed
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.match(answer, /data: \[DONE\]\n\n$/)
  })
})
