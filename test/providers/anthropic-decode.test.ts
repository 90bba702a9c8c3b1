import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import * as fc from 'fast-check'

import { type Answer, answerOf, isGatewayError, type JsonObject, type StreamEvent } from '@hadrian/core/provider'

import { anthropicProvider, bodyOf, recording, recordingNames, recordsOf, stream, wire } from './anthropic-upstream.ts'

const provider = await anthropicProvider()

/** Arguments as values: the API formats streamed JSON its own way. */
function comparable(answer: Answer): unknown {
  return {
    ...answer,
    choices: answer.choices.map((choice) => ({
      ...choice,
      content: choice.content.map((part) =>
        part.type === 'tool_call' ? { ...part, arguments: JSON.parse(part.arguments) as unknown } : part,
      ),
    })),
  }
}

function message(content: readonly JsonObject[], fields: JsonObject = {}): JsonObject {
  return {
    type: 'message',
    id: 'msg_1',
    model: 'claude-sonnet-4-5',
    role: 'assistant',
    stop_reason: 'end_turn',
    usage: { input_tokens: 3, output_tokens: 5 },
    ...fields,
    content,
  }
}

const thinking = { type: 'thinking', thinking: 'Hm, let me see.', signature: 'c2lnbmF0dXJl' }
const redacted = { type: 'redacted_thinking', data: 'ZW5jcnlwdGVk' }
const search = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'x' } }
const found = { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [{ type: 'web_search_result' }] }
const webCitation = {
  type: 'web_search_result_location',
  url: 'https://example.com',
  title: 'Example',
  cited_text: 'quoted',
}
const pageCitation = { type: 'page_location', cited_text: 'p', document_index: 0, start_page_number: 1 }

describe('anthropic decoder', () => {
  for (const name of recordingNames()) {
    const { response } = recording(name)
    if (response.status !== 200) continue
    it(`reads ${name} alike streamed and whole`, () => {
      const body = response.body ?? bodyOf(response.chunks!)
      const whole = answerOf(provider.decode(body, wire))
      const streamed = answerOf(stream(provider, response.chunks ?? recordsOf(body)))
      assert.deepEqual(comparable(streamed), comparable(whole))
      assert.equal(whole.choices[0]?.rawFinishReason, body['stop_reason'])
      assert.equal(whole.usage?.inputTokens, (body['usage'] as JsonObject)['input_tokens'])
    })
  }

  it('keeps the order of thinking, text, calls and native blocks, and cites with offsets', () => {
    const body = message([
      thinking,
      redacted,
      search,
      found,
      { type: 'text', text: 'Once. ' },
      { type: 'text', text: 'Cited.', citations: [webCitation, pageCitation] },
      { type: 'tool_use', id: 'toolu_1', name: 'a', input: { x: [1, 2] } },
      { type: 'tool_use', id: 'toolu_2', name: 'b', input: {} },
    ])
    const whole = answerOf(provider.decode(body, wire))
    assert.deepEqual(answerOf(stream(provider, recordsOf(body))), whole)
    assert.deepEqual(whole.choices[0]?.content, [
      { type: 'reasoning', text: 'Hm, let me see.', signature: 'c2lnbmF0dXJl', format: 'anthropic-claude-v1' },
      { type: 'reasoning', encrypted: 'ZW5jcnlwdGVk', format: 'anthropic-claude-v1' },
      { type: 'native', dialect: 'anthropic-messages', value: search },
      { type: 'native', dialect: 'anthropic-messages', value: found },
      { type: 'text', text: 'Once. ' },
      { type: 'text', text: 'Cited.' },
      {
        type: 'native',
        dialect: 'chat',
        value: {
          type: 'url_citation',
          url_citation: {
            url: 'https://example.com',
            title: 'Example',
            content: 'quoted',
            start_index: 6,
            end_index: 12,
          },
        },
      },
      { type: 'native', dialect: 'anthropic-citation', value: pageCitation },
      { type: 'tool_call', id: 'toolu_1', name: 'a', arguments: '{"x":[1,2]}' },
      { type: 'tool_call', id: 'toolu_2', name: 'b', arguments: '{}' },
    ])
  })

  it('gives a signature whole, also where it comes in pieces', () => {
    const events = stream(provider, [
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'abc' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'def' } },
      { type: 'content_block_stop', index: 0 },
    ])
    assert.deepEqual(events, [{ type: 'reasoning', block: 0, signature: 'abcdef', format: 'anthropic-claude-v1' }])
  })

  const reasons = {
    end_turn: 'stop',
    stop_sequence: 'stop',
    pause_turn: 'stop',
    max_tokens: 'length',
    model_context_window_exceeded: 'length',
    tool_use: 'tool_calls',
    refusal: 'content_filter',
    something_new: 'stop',
    constructor: 'stop',
  }
  for (const [raw, reason] of Object.entries(reasons)) {
    it(`maps the stop reason ${raw} to ${reason}`, () => {
      const body = message([{ type: 'tool_use', id: 't', name: 'n', input: {} }], { stop_reason: raw })
      for (const events of [provider.decode(body, wire), stream(provider, recordsOf(body))]) {
        assert.deepEqual(events.at(-1), { type: 'finish', reason, raw })
      }
    })
  }

  it('tells cache writes for an hour from others', () => {
    const written = { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 }
    const counts = { input_tokens: 1, cache_creation_input_tokens: 30, cache_creation: written, output_tokens: 2 }
    const records = [
      { type: 'message_start', message: { id: 'm', usage: counts } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } },
      { type: 'message_stop' },
    ]
    const { native: _, ...usage } = answerOf(stream(provider, records)).usage ?? { native: undefined }
    const expected = { inputTokens: 31, cachedInputTokens: 0, cacheWriteTokens: 30, cacheWrite1hTokens: 20 }
    assert.deepEqual(usage, { ...expected, outputTokens: 5 })
  })

  it('adds cache reads and writes to the input, and merges the counts of both records', () => {
    const records = [
      {
        type: 'message_start',
        message: {
          id: 'm',
          usage: { input_tokens: 10, cache_read_input_tokens: 200, cache_creation_input_tokens: 30, output_tokens: 1 },
        },
      },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn' },
        usage: { output_tokens: 50, input_tokens: null, server_tool_use: { web_search_requests: 1 } },
      },
      { type: 'message_stop' },
    ]
    const { usage } = answerOf(stream(provider, records))
    assert.deepEqual(usage, {
      inputTokens: 240,
      outputTokens: 50,
      cachedInputTokens: 200,
      cacheWriteTokens: 30,
      webSearches: 1,
      native: {
        input_tokens: 10,
        cache_read_input_tokens: 200,
        cache_creation_input_tokens: 30,
        output_tokens: 50,
        server_tool_use: { web_search_requests: 1 },
      },
    })
  })

  it('gives the input of the forced tool of structured output as text', () => {
    const forced = { ...wire, body: { tool_choice: { type: 'tool', name: 'structured_output' } } }
    const body = message([{ type: 'tool_use', id: 't', name: 'structured_output', input: { a: 1 } }], {
      stop_reason: 'tool_use',
    })
    const whole = answerOf(provider.decode(body, forced))
    assert.deepEqual(whole.choices[0], {
      index: 0,
      content: [{ type: 'text', text: '{"a":1}' }],
      finishReason: 'stop',
      rawFinishReason: 'tool_use',
    })
    assert.deepEqual(answerOf(stream(provider, recordsOf(body), forced)), whole)
    assert.equal(answerOf(provider.decode(body, wire)).choices[0]?.content[0]?.type, 'tool_call')
  })

  it('ends with a typed error when the stream fails, and says nothing after it', () => {
    const events = stream(provider, [
      { type: 'message_start', message: { id: 'm', model: 'x' } },
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      { type: 'message_stop' },
    ])
    const last = events.at(-1)
    assert.ok(last?.type === 'error' && isGatewayError(last.error))
    assert.equal(last.error.status, 502)
    assert.equal(last.error.retryable, 'same')
    assert.deepEqual(last.error.details, {
      provider: 'anthropic',
      upstream_status: 529,
      upstream_code: 'overloaded_error',
    })
  })

  it('gives no finish for a stream that was cut, one for a stream that only lacks its last record', () => {
    const records = recordsOf(message([{ type: 'text', text: 'Hello' }]))
    assert.equal(stream(provider, records.slice(0, -2)).at(-1)?.type, 'text')
    assert.equal(stream(provider, records.slice(0, -1)).at(-1)?.type, 'finish')
  })

  it('refuses a body that is no message', () => {
    for (const body of [null, 'text', {}, { content: 'x' }, []]) {
      assert.throws(() => provider.decode(body, wire), { code: 'provider_error', status: 502 })
    }
    assert.throws(() => provider.decode({ type: 'error', error: { type: 'rate_limit_error', message: 'x' } }, wire), {
      code: 'provider_error',
      status: 429,
    })
  })

  it('never throws, whatever the records are', () => {
    const types = fc.constantFrom(
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
      'ping',
      'error',
      'new_thing',
    )
    const block = fc.record(
      {
        type: fc.constantFrom('text', 'thinking', 'redacted_thinking', 'tool_use', 'server_tool_use', 'new', 7),
        text: fc.jsonValue(),
        partial_json: fc.jsonValue(),
        thinking: fc.jsonValue(),
        signature: fc.jsonValue(),
        citation: fc.jsonValue(),
        citations: fc.jsonValue(),
        id: fc.jsonValue(),
        stop_reason: fc.jsonValue(),
        usage: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const value = fc.oneof(fc.jsonValue(), block)
    const records = fc.array(
      fc.record(
        {
          type: types,
          index: fc.oneof(fc.constantFrom(0, 1, '0'), fc.jsonValue()),
          message: value,
          content_block: value,
          delta: value,
          usage: value,
          error: value,
        },
        { requiredKeys: ['type'] },
      ),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(records, fc.string(), (values, garbage) => {
        const decoder = provider.decoder(wire)
        const events: StreamEvent[] = [...decoder.push({ data: garbage })]
        for (const value of values) events.push(...decoder.push({ data: JSON.stringify(value) }))
        events.push(...decoder.end())
        answerOf(events)
        assert.ok(events.filter((event) => event.type === 'finish' || event.type === 'error').length <= 1)
      }),
    )
  })
})

const error = (type: string, text: string) => ({ type: 'error', error: { type, message: text } })

describe('anthropic errors', () => {
  it('reads the recorded refusals', () => {
    const missing = recording('bad_request').response
    const notFound = provider.decodeError(missing.status, missing.headers, missing.body)
    assert.equal(notFound.status, 404)
    assert.match(notFound.message, /model: invalid-model-that-does-not-exist/)
    assert.equal(notFound.retryable, true)
    const unauthorized = recording('unauthorized').response
    const refused = provider.decodeError(unauthorized.status, unauthorized.headers, unauthorized.body)
    assert.equal(refused.status, 502)
    assert.equal(refused.details?.['upstream_code'], 'authentication_error')
  })

  it('lets another model try what is too long for this one, and not what is wrong in itself', () => {
    const tooLong = provider.decodeError(400, {}, error('invalid_request_error', 'prompt is too long: 205000 tokens'))
    assert.deepEqual([tooLong.status, tooLong.retryable], [400, true])
    const exceeding = error('invalid_request_error', 'input length and `max_tokens` exceed context limit: 1 + 2 > 3')
    assert.equal(provider.decodeError(400, {}, exceeding).retryable, true)
    const wrong = provider.decodeError(400, {}, error('invalid_request_error', 'messages: bad'))
    assert.deepEqual([wrong.status, wrong.retryable], [400, false])
  })

  it('blames the operator for an unpaid bill', () => {
    const unpaid = error('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.')
    const refused = provider.decodeError(400, {}, unpaid)
    assert.deepEqual([refused.status, refused.retryable], [502, true])
  })

  it('passes Retry-After on, and takes an overload for temporary', () => {
    const limited = provider.decodeError(429, { 'retry-after': '7' }, error('rate_limit_error', 'slow down'))
    assert.deepEqual([limited.status, limited.headers], [429, { 'Retry-After': '7' }])
    assert.equal(provider.decodeError(529, {}, error('overloaded_error', 'Overloaded')).retryable, 'same')
  })

  it('survives bodies of proxies', () => {
    for (const body of ['<html>bad gateway</html>', '', undefined, null, [], { error: 'x' }, { message: 7 }]) {
      const failure = provider.decodeError(503, {}, body)
      assert.equal(failure.status, 502)
      assert.match(failure.message, /HTTP 503/)
    }
  })
})
