/** Upstreams that die and lie: a clean refusal before the first event, a typed error after it, and never a hang. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { checkStream } from '../open-responses.ts'
import { bodies, firstRecords, pairs, paths, text, wholes, wires } from './dialect-pairs.ts'
import type { ClientDialect } from './dialect-pairs.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { compressed, eventStream, failure, streamed, whole } from './scripted-upstream.ts'
import type { Answer, Json } from './scripted-upstream.ts'
import { chunks, readerOf, saidIn } from './stream-client.ts'
import { chatBody, chatChunk, chatRecords, record } from './wire-answers.ts'

let running: RunningGateway

before(async () => {
  running = await startGateway()
})
after(() => running.close())

function ask(dialect: ClientDialect, model: string, more: Json = {}): Promise<Response> {
  return running.post(paths[dialect], { model, stream: true, ...bodies[dialect], ...more })
}

async function errorOf(response: Response): Promise<Json> {
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
  return ((await response.json()) as { error: Json }).error
}

/** The last words of a stream that failed: a typed error, and no end mark. */
function checkFailed(dialect: ClientDialect, body: string): Json {
  assert.ok(!body.includes('[DONE]'), `[DONE] after a failure: ${body.slice(-300)}`)
  if (dialect === 'responses') {
    const final = checkStream(body)
    assert.equal(final['status'], 'failed')
    return final['error'] as Json
  }
  const error = chunks(body).at(-1)?.['error'] as Json | undefined
  assert.ok(error, `no error event at the end: ${body.slice(-300)}`)
  assert.equal(typeof error['request_id'], 'string')
  return error
}

describe('an upstream that dies', { timeout: 20_000 }, () => {
  const endings: readonly Answer['ending'][] = ['cut', 'end']
  for (const { dialect, model, wire, name } of pairs)
    for (const ending of endings) {
      it(`in the middle of a stream (${ending}): ${name}`, async () => {
        running.upstream.answer(streamed(firstRecords(wires[wire]()), { ending }))
        const response = await ask(dialect, model)
        assert.equal(response.status, 200)
        const body = await readerOf(response).rest()
        assert.equal(saidIn(body), 'Grüße, ')
        const error = checkFailed(dialect, body)
        assert.match(String(error['message']), /Upstream provider returned error/)
        if (dialect === 'chat') {
          assert.equal(error['code'], 'provider_error')
          assert.equal(error['type'], 'server_error')
          assert.equal(error['request_id'], response.headers.get('x-request-id'))
        }
      })

      it(`before the first event (${ending}): ${name}`, async () => {
        running.upstream.answer(streamed([': wait\n\n'], { ending }))
        const response = await ask(dialect, model)
        assert.equal(response.status, 502)
        assert.equal((await errorOf(response))['code'], 'provider_error')
      })
    }

  for (const { dialect, model, wire, name } of pairs)
    it(`in the middle of a body: ${name}`, async () => {
      const body = JSON.stringify(wholes[wire]())
      running.upstream.answer({
        headers: { 'content-type': 'application/json' },
        body: [body.slice(0, body.length >> 1)],
        ending: 'cut',
      })
      const response = await ask(dialect, model, { stream: false })
      assert.equal(response.status, 502)
      assert.equal((await errorOf(response))['code'], 'provider_error')
    })

  it('settles as failed, with what was received', async () => {
    const before = running.outcomes.length
    running.upstream.answer(streamed(firstRecords(chatRecords()), { ending: 'cut' }))
    await readerOf(await ask('chat', 'native/m')).rest()
    const outcome = (await running.ended(before + 1)).at(-1)
    assert.equal(outcome?.status, 'failed')
    assert.equal(outcome.usage?.estimated, true)
    assert.ok(outcome.usage.outputTokens > 0)
  })

  it('is replaced by the next model if nothing has gone out', async () => {
    running.upstream.answer(streamed([': wait\n\n'], { ending: 'cut' }))
    const response = await ask('chat', 'native/m', { models: ['chat-only/other'] })
    assert.equal(response.headers.get('x-provider'), 'chat-only')
    assert.equal(response.headers.get('x-hadrian-attempts'), '2')
    assert.equal(saidIn(await response.text()), text)
  })
})

describe('an upstream that lies', { timeout: 20_000 }, () => {
  const error = { message: 'out of order', type: 'server_error', code: 'broken' }
  const errorRecords = {
    chat: record({ error }),
    responses: record({ type: 'error', message: error.message, code: 'broken', param: null }, 'error'),
    messages: record({ type: 'error', error: { type: 'overloaded_error', message: 'out of order' } }, 'error'),
  }

  for (const { dialect, model, wire, name } of pairs) {
    it(`about the type of its error: ${name}`, async () => {
      running.upstream.answer({ status: 500, headers: eventStream, body: [errorRecords[wire]] })
      const response = await ask(dialect, model)
      assert.equal(response.status, 502)
      assert.equal((await errorOf(response))['code'], 'provider_error')
    })

    it(`with an error as the first event of a good stream: ${name}`, async () => {
      running.upstream.answer(streamed([errorRecords[wire]]))
      const response = await ask(dialect, model)
      assert.ok(response.status >= 500, String(response.status))
      assert.match(String((await errorOf(response))['message']), /out of order/)
    })

    it(`with an error inside a stream: ${name}`, async () => {
      running.upstream.answer(streamed([...firstRecords(wires[wire]()), errorRecords[wire]]))
      const body = await readerOf(await ask(dialect, model)).rest()
      assert.equal(saidIn(body), 'Grüße, ')
      assert.match(String(checkFailed(dialect, body)['message']), /out of order/)
    })

    it(`with garbage inside a stream: ${name}`, async () => {
      const records = wires[wire]()
      const begin = firstRecords(records)
      running.upstream.answer(streamed([...begin, 'data: {"garb\n\n', ...records.slice(begin.length)]))
      const body = await readerOf(await ask(dialect, model)).rest()
      assert.ok(!body.includes('garb'), 'the garbage went out')
      if (body.includes('[DONE]')) assert.equal(saidIn(body), text)
      else checkFailed(dialect, body)
    })

    it(`with a page of HTML: ${name}`, async () => {
      const page = { headers: { 'content-type': 'text/html' }, body: ['<html><body>Bad gateway</body></html>'] }
      for (const stream of [true, false])
        for (const status of [200, 502]) {
          running.upstream.answer({ ...page, status })
          const response = await ask(dialect, model, { stream })
          assert.equal(response.status, 502)
          const shown = await errorOf(response)
          assert.equal(shown['code'], 'provider_error')
          assert.ok(!String(shown['message']).includes('<html'), 'HTML in the message')
        }
    })

    it(`with a whole answer where a stream was asked for, and the other way round: ${name}`, async () => {
      running.upstream.answer(whole(wholes[wire]()), streamed(wires[wire]()))
      const streamedBody = await readerOf(await ask(dialect, model)).rest()
      assert.equal(saidIn(streamedBody), text)
      assert.match(streamedBody, /data: \[DONE\]\n\n$/)
      const response = await ask(dialect, model, { stream: false })
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
      assert.ok((await response.text()).includes(text))
    })
  }

  it('with a compressed answer nobody asked for', async () => {
    running.upstream.answer(compressed(chatBody()))
    const response = await ask('chat', 'native/m', { stream: false })
    const body = await response.text()
    assert.ok(response.status === 200 ? body.includes(text) : response.status === 502, body)
    assert.doesNotMatch(running.upstream.last().headers['accept-encoding'] ?? '', /gzip/)
  })

  it('with a record without end', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 'x')
    running.upstream.answer(streamed(['data: ', ...Array.from({ length: 40 }, () => megabyte)]))
    const response = await ask('chat', 'native/m')
    assert.equal(response.status, 502)
    assert.equal((await errorOf(response))['code'], 'provider_error')
    await running.upstream.last().closed
    assert.ok(!running.upstream.last().finished(), 'it was read to its end')
  })

  it('with a finish reason that OpenAI does not have', async () => {
    const records = [chatChunk({ content: 'Hi' }), chatChunk({}, { finish_reason: 'eos_token' })]
    const known = new Set(['stop', 'length', 'tool_calls', 'content_filter', 'function_call'])
    running.upstream.answer(streamed([...records.map((each) => record(each)), record('[DONE]')]))
    const reasons = chunks(await readerOf(await ask('chat', 'native/m')).rest())
      .flatMap((chunk) => chunk['choices'] as { finish_reason: string | null }[])
      .map((choice) => choice.finish_reason)
      .filter((reason) => reason !== null)
    assert.equal(reasons.length, 1)
    for (const reason of reasons) assert.ok(known.has(reason), reason)
    const strange = chatBody()
    ;(strange['choices'] as Json[])[0]!['finish_reason'] = 'eos_token'
    running.upstream.answer(whole(strange))
    const answer = (await (await ask('chat', 'native/m', { stream: false })).json()) as { choices: Json[] }
    assert.ok(known.has(String(answer.choices[0]?.['finish_reason'])), String(answer.choices[0]?.['finish_reason']))
  })

  it('with nothing at all', async () => {
    for (const stream of [true, false])
      for (const type of ['text/event-stream', 'application/json', '']) {
        running.upstream.answer({ headers: type === '' ? {} : { 'content-type': type }, body: [] })
        const response = await ask('chat', 'native/m', { stream })
        assert.equal(response.status, 502, `${type} ${stream}`)
        await errorOf(response)
      }
  })
})

describe('a refusal of an upstream', () => {
  it('passes on how long to wait', async () => {
    running.upstream.answer(failure(429, {}, { 'retry-after': '17' }))
    const response = await ask('responses', 'anthropic/claude-sonnet-4-5')
    assert.equal(response.status, 429)
    assert.equal(response.headers.get('retry-after'), '17')
    assert.equal((await errorOf(response))['type'], 'rate_limit_error')
  })
})
