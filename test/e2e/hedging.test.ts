/** Second attempts beside slow ones, on real sockets: what is left must not stay open, and nobody hears two answers. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { FakeClock } from '../../core/testing/fake-clock.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { gate, streamed } from './scripted-upstream.ts'
import type { Answer, Json } from './scripted-upstream.ts'
import { readerOf, saidIn } from './stream-client.ts'
import { chatRecords } from './wire-answers.ts'

const hedgeAfterMs = 200
const silent: Answer = { body: [], silent: true }
const said = 'Grüße, 世界 🌍!'

let running: RunningGateway
let clock: FakeClock

before(async () => {
  clock = new FakeClock()
  running = await startGateway({ config: { routing: { hedge_after_ms: hedgeAfterMs } }, overrides: { clock } })
})
after(() => running.close())

/** Sends a call whose first attempt is given `first` and whose second `second`, and returns when both are under way. */
async function hedged(first: Answer, second: Answer): Promise<{ readonly response: Promise<Response> }> {
  const count = running.upstream.calls.length
  running.upstream.answer(first, second)
  const body: Json = {
    model: 'native/slow',
    models: ['chat-only/quick'],
    stream: true,
    messages: [{ role: 'user', content: 'Hello' }],
  }
  const response = running.post('/v1/chat/completions', body)
  await running.upstream.received(count + 1)
  await clock.advance(hedgeAfterMs)
  await running.upstream.received(count + 2)
  return { response }
}

describe('a hedge', { timeout: 10_000 }, () => {
  it('that answers first ends the call of the other at once', async () => {
    const count = running.outcomes.length
    const { response: answer } = await hedged(silent, streamed(chatRecords()))
    const response = await answer
    assert.equal(response.headers.get('x-provider'), 'chat-only')
    assert.equal(response.headers.get('x-hadrian-attempts'), '2')
    const answeredMs = performance.now()
    const closedMs = await running.upstream.calls.at(-2)!.closed
    assert.ok(closedMs - answeredMs < 50, `it was open for ${closedMs - answeredMs} ms`)
    const text = await readerOf(response).rest()
    assert.equal(saidIn(text), said)
    assert.equal(text.split('[DONE]').length, 2)
    const { status, attempts, usage } = (await running.ended(count + 1)).at(-1)!
    assert.equal(status, 'completed')
    assert.deepEqual(
      attempts.map(({ outcome, hedge }) => [outcome, hedge]),
      [
        ['aborted', undefined],
        ['completed', true],
      ],
    )
    assert.equal(usage?.inputTokens, attempts[0]!.usage!.inputTokens + attempts[1]!.usage!.inputTokens)
  })

  it('that is slower still is left itself', async () => {
    const begun = gate()
    const [head, ...rest] = chatRecords()
    const { response } = await hedged(streamed([begun.wait, head!, ...rest]), silent)
    begun.open()
    const answer = await response
    assert.equal(answer.headers.get('x-provider'), 'native')
    await running.upstream.last().closed
    assert.equal(saidIn(await readerOf(answer).rest()), said)
  })

  it('ends with both when the client goes', async () => {
    const count = running.upstream.calls.length
    const ended = running.outcomes.length
    const leaves = new AbortController()
    running.upstream.answer(silent, silent)
    const body = { model: 'native/slow', models: ['chat-only/quick'], messages: [{ role: 'user', content: 'Hello' }] }
    const response = running.post('/v1/chat/completions', body, { signal: leaves.signal }).catch(() => undefined)
    await running.upstream.received(count + 1)
    await clock.advance(hedgeAfterMs)
    await running.upstream.received(count + 2)
    leaves.abort()
    await response
    for (const call of running.upstream.calls.slice(-2)) await call.closed
    assert.equal((await running.ended(ended + 1)).at(-1)!.status, 'aborted')
  })
})
