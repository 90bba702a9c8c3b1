import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gatewayError } from '../../core/contract/errors.ts'
import type { GatewayError } from '../../core/contract/errors.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import { decodeError as anthropicError } from '../../providers/anthropic/errors.ts'
import { decodeError as openaiError } from '../../providers/openai/errors.ts'
import { passing } from './hook-plugin.ts'

type Retryable = GatewayError['retryable']

/** What an upstream answers, whether another target is tried then, and the status for a client where none is left. */
type Case = readonly [what: string, status: number, body: unknown, retryable: Retryable, shown: number]

const openai = (message: string, code: string | null = null, type = 'invalid_request_error'): unknown => ({
  error: { message, type, code, param: null },
})
const anthropic = (type: string, message: string): unknown => ({ type: 'error', error: { type, message } })

const openaiCases: readonly Case[] = [
  ['a wrong parameter', 400, openai('temperature must be at most 2'), false, 400],
  ['a context overflow by its code', 400, openai('too many', 'context_length_exceeded'), true, 400],
  ['a context overflow by its words', 400, openai("This model's maximum context length is 8192 tokens"), true, 400],
  ['a moderation refusal by its code', 400, openai('no', 'content_policy_violation'), true, 400],
  ['the content filter of Azure', 400, openai('The response was filtered', 'content_filter'), true, 400],
  ['bad credentials of the operator', 401, openai('Incorrect API key provided', 'invalid_api_key'), true, 502],
  ['an unpaid bill', 402, openai('Insufficient credits'), true, 502],
  ['a forbidden region', 403, openai('Country not supported'), true, 502],
  ['a prompt that its moderation flagged', 403, openai('Your chosen model requires moderation: flagged'), true, 403],
  ['an unknown model', 404, openai('The model does not exist', 'model_not_found'), true, 404],
  ['a method that it does not know', 405, openai('Method not allowed'), false, 405],
  ['a timeout of its own', 408, openai('Request timeout'), 'same', 502],
  ['a conflict', 409, openai('Conflict'), 'same', 409],
  ['a body too large', 413, openai('Payload Too Large'), false, 413],
  ['a request too large for its limit of tokens', 413, openai('Request too large for model'), true, 413],
  ['a field of a wrong type', 422, { detail: [{ msg: 'field required' }] }, false, 422],
  ['an overflow that validation found', 422, openai('Input is too long for requested model'), true, 422],
  ['too early', 425, '', 'same', 425],
  ['a rate limit', 429, openai('Rate limit reached', 'rate_limit_exceeded', 'requests'), 'same', 429],
  ['a spent quota', 429, openai('You exceeded your current quota', 'insufficient_quota'), 'same', 429],
  ['a defect', 500, openai('The server had an error', null, 'server_error'), 'same', 502],
  ['something not built', 501, '', true, 502],
  ['a bad gateway', 502, '<html><title>Bad gateway</title></html>', 'same', 502],
  ['overload', 503, openai('The engine is overloaded'), 'same', 502],
  ['a gateway timeout', 504, '', 'same', 502],
  ['an unknown failure', 520, '', true, 502],
  ['overload by another name', 529, openai('overloaded'), 'same', 502],
  ['a redirect', 302, '', true, 502],
]

const anthropicCases: readonly Case[] = [
  ['a wrong parameter', 400, anthropic('invalid_request_error', 'max_tokens: must be at least 1'), false, 400],
  ['a context overflow', 400, anthropic('invalid_request_error', 'prompt is too long: 210000 tokens'), true, 400],
  [
    'an overflow with its output',
    400,
    anthropic('invalid_request_error', 'input length and `max_tokens` exceed context limit: 1 + 2 > 3'),
    true,
    400,
  ],
  ['a refusal', 400, anthropic('invalid_request_error', 'Output blocked by content filtering policy'), true, 400],
  ['an unpaid bill', 400, anthropic('invalid_request_error', 'Your credit balance is too low'), true, 502],
  ['bad credentials of the operator', 401, anthropic('authentication_error', 'invalid x-api-key'), true, 502],
  ['a forbidden resource', 403, anthropic('permission_error', 'not allowed'), true, 502],
  ['an unknown model', 404, anthropic('not_found_error', 'model: claude-x'), true, 404],
  ['a body too large', 413, anthropic('request_too_large', 'Request exceeds the maximum size'), false, 413],
  ['a rate limit', 429, anthropic('rate_limit_error', 'slow down'), 'same', 429],
  ['a defect', 500, anthropic('api_error', 'Internal server error'), 'same', 502],
  ['a gateway timeout', 504, anthropic('timeout_error', 'timed out'), 'same', 502],
  ['overload', 529, anthropic('overloaded_error', 'Overloaded'), 'same', 502],
]

/** Sends a request to a target that fails so, with another one behind it, and alone. */
async function check(error: () => Error, retryable: Retryable, shown: number): Promise<void> {
  const provider = fakeProvider(({ target }) => {
    if (target.model === 'bad') throw error()
    return textEvents('fine')
  })
  await using gateway = await harness({ provider, config: { routing: { default_provider: 'fake' } } })
  const first = await gateway.send({ model: 'fake/bad', models: ['fake/good'] })
  assert.equal(first.status, retryable === false ? shown : 200)
  assert.equal(first.headers['x-model'], retryable === false ? undefined : 'good')
  const alone = await passing(gateway.clock, gateway.send({ model: 'fake/bad' }), 100)
  assert.equal(alone.status, shown)
  assert.equal(alone.outcome.attempts.length, retryable === 'same' ? 2 : 1)
}

describe('a failure before the first event', () => {
  for (const [name, decode, cases] of [
    ['openai', openaiError, openaiCases],
    ['anthropic', anthropicError, anthropicCases],
  ] as const)
    for (const [what, status, body, retryable, shown] of cases)
      it(`of ${name}, ${what} (${status}): ${retryable === false ? 'ends the call' : 'lets another target answer'}`, async () => {
        const error = decode('up', status, {}, body)
        assert.deepEqual([error.code, error.retryable, error.status], ['provider_error', retryable, shown])
        await check(() => decode('up', status, {}, body), retryable, shown)
      })

  it('by a defect of a provider lets another target answer', () => check(() => new TypeError('oh'), true, 500))

  for (const timeout of ['first_byte', 'total'] as const)
    it(`by a timeout (${timeout}) lets another target answer`, async () => {
      const provider = fakeProvider(async function* ({ target, signal }) {
        if (target.model === 'bad')
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
        yield* textEvents('fine')
      })
      const timeouts = { first_byte_ms: timeout === 'total' ? 9_000 : 500, total_ms: timeout === 'total' ? 500 : 9_000 }
      await using gateway = await harness({ provider, config: { timeouts } })
      const body = { model: 'fake/bad', models: ['fake/good'] }
      const { status, headers, outcome } = await passing(gateway.clock, gateway.send(body), 100)
      assert.deepEqual([status, headers['x-model']], [200, 'good'])
      assert.equal(outcome.attempts[0]?.error?.code, 'provider_timeout')
      assert.equal(outcome.attempts[0]?.error?.details?.['timeout'], timeout)
    })

  it('moves on for the responses dialect and for streams too, and says who answered', async () => {
    const provider = fakeProvider(({ target }) => {
      if (target.model === 'bad') throw gatewayError('provider_error', 'no', { retryable: true })
      return textEvents('fine').filter(({ type }) => type !== 'start')
    })
    await using gateway = await harness({ provider })
    const metadata = { 'x-hadrian-metadata': 'enabled' }
    const sent = { model: 'fake/bad', models: ['fake/bad', 'fake/good'] }
    const { headers, body } = await gateway.send(sent, { dialect: 'responses', headers: metadata })
    assert.equal(body['model'], 'good')
    assert.deepEqual([headers['x-model'], headers['x-provider'], headers['x-hadrian-attempts']], ['good', 'fake', '2'])
    const { attempts } = body['hadrian_metadata'] as { attempts: { target: string; outcome: string }[] }
    assert.deepEqual(
      attempts.map(({ target, outcome }) => `${target} ${outcome}`),
      ['fake/bad failed', 'fake/good completed'],
    )
    const { headers: streamed, records } = await gateway.stream(sent)
    assert.deepEqual([streamed['x-model'], streamed['x-hadrian-attempts']], ['good', '2'])
    const { data } = (await records.next()).value!
    assert.equal((data as { model: string }).model, 'good')
    for await (const _ of records) continue
  })
})
