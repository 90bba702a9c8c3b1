/** Where sockets matter: upstreams that are silent, cut, gone or down, behind a whole gateway. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { FakeClock } from '../../core/testing/index.ts'
import { startGateway } from '../e2e/gateway.ts'
import type { RunningGateway } from '../e2e/gateway.ts'
import { failure, streamed } from '../e2e/scripted-upstream.ts'
import { chatRecords } from '../e2e/wire-answers.ts'

const path = '/v1/chat/completions'
const hello = (more: JsonObject = {}): JsonObject => ({
  model: 'native/m',
  messages: [{ role: 'user', content: 'Hello' }],
  ...more,
})

function start(options: JsonObject, more: { clock?: FakeClock; config?: JsonObject } = {}): Promise<RunningGateway> {
  return startGateway({
    config: {
      ...more.config,
      plugins: { 'target-health': { breaker: { failures: 2, open_seconds: 10 }, ...options } },
    },
    overrides: { ...(more.clock && { clock: more.clock }) },
  })
}

async function codeOf(response: Response): Promise<unknown> {
  const { error } = (await response.json()) as { error: JsonObject }
  return error['code']
}

describe('an upstream on a socket', { timeout: 30_000 }, () => {
  it('that keeps silent opens its breaker', async () => {
    const clock = new FakeClock()
    await using running = await start({}, { clock, config: { timeouts: { first_byte_ms: 1000 } } })
    for (let call = 1; call <= 2; call++) {
      running.upstream.answer({ body: [], silent: true })
      const response = running.post(path, hello())
      await running.upstream.received(call)
      await clock.advance(1000)
      assert.equal(await codeOf(await response), 'provider_timeout')
    }
    const refused = await running.post(path, hello())
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.get('retry-after'), '10')
    assert.equal(await codeOf(refused), 'provider_unavailable')
    assert.equal(running.upstream.calls.length, 2)
    await clock.advance(10_000)
    assert.equal((await running.post(path, hello())).status, 200)
  })

  it('that cuts its streams opens its breaker, and another target answers', async () => {
    await using running = await start({}, { config: { models: { m: { targets: ['native/m', 'chat-only/m'] } } } })
    for (let call = 0; call < 2; call++) {
      running.upstream.answer(streamed(chatRecords().slice(0, 2), { ending: 'cut' }))
      const response = await running.post(path, hello({ stream: true }))
      assert.equal(response.status, 200)
      assert.match(await response.text(), /"error"/)
    }
    await running.ended(2)
    assert.equal((await running.post(path, hello())).status, 503)
    const response = await running.post(path, hello({ model: 'm' }))
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('x-provider'), 'chat-only')
  })

  it('that is not there opens its breaker', async () => {
    await using running = await start(
      {},
      { config: { providers: { gone: { type: 'openai', base_url: 'http://127.0.0.1:1/v1', api_key: 'k' } } } },
    )
    for (let call = 0; call < 2; call++)
      assert.equal((await running.post(path, hello({ model: 'gone/m' }))).status, 502)
    assert.equal((await running.post(path, hello({ model: 'gone/m' }))).status, 503)
  })

  it('that sends nonsense opens its breaker', async () => {
    await using running = await start({})
    for (let call = 0; call < 2; call++) {
      running.upstream.answer({ headers: { 'content-type': 'application/json' }, body: ['{"choices": [{'] })
      assert.equal((await running.post(path, hello())).status, 502)
    }
    assert.equal((await running.post(path, hello())).status, 503)
  })

  it('that says 429 is left alone for as long as it says', async () => {
    const clock = new FakeClock()
    await using running = await start({}, { clock })
    running.upstream.answer(failure(429, {}, { 'retry-after': '30' }))
    assert.equal((await running.post(path, hello())).status, 429)
    const refused = await running.post(path, hello())
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.get('retry-after'), '30')
    await clock.advance(30_000)
    assert.equal((await running.post(path, hello())).status, 200)
  })

  it('has its limit of calls, streams counted until their end, also where the client leaves', async () => {
    await using running = await start({ limits: { native: { concurrent: 1, queue: 0 } } })
    const records = chatRecords()
    running.upstream.answer(streamed(records.slice(0, 2), { ending: 'stall' }))
    const controller = new AbortController()
    const stream = await running.post(path, hello({ stream: true }), { signal: controller.signal })
    assert.equal(stream.status, 200)
    assert.equal((await running.post(path, hello())).status, 503)
    controller.abort()
    await running.ended(2)
    assert.equal((await running.post(path, hello())).status, 200)
  })
})

describe('a check that lists models, over a socket', { timeout: 30_000 }, () => {
  it('sees an upstream that is gone', async () => {
    const clock = new FakeClock()
    await using running = await start(
      {
        breaker: { failures: 1000, minimum_calls: 1000 },
        checks: {
          native: { interval_seconds: 10, failures: 1, when_failing: 'open' },
          gone: { interval_seconds: 10, failures: 1, when_failing: 'open' },
        },
      },
      {
        clock,
        config: { providers: { gone: { type: 'openai', base_url: 'http://127.0.0.1:1/v1', api_key: 'k' } } },
      },
    )
    let response: Response
    do {
      await clock.advance(500)
      response = await running.post(path, hello({ model: 'gone/m' }))
    } while (response.status === 502)
    const { error } = (await response.json()) as { error: { details: JsonObject } }
    assert.equal(response.status, 503)
    assert.equal(error.details['reason'], 'health_check')
    assert.equal((await running.post(path, hello())).status, 200)
  })
})
