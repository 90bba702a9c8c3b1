import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { answerOf } from '../../core/contract/answer.ts'
import type { Answer } from '../../core/contract/answer.ts'
import type { JsonObject, StreamEvent } from '../../core/contract/canonical.ts'
import { isGatewayError } from '../../core/contract/errors.ts'
import { responses } from '../../core/dialects/responses.ts'
import { decodeResponses, responsesDecoder } from '../../providers/openai/responses-decode.ts'
import { checkStream } from '../open-responses.ts'
import { decodeStream, output, recordsFor } from './openai-responses-records.ts'

interface Exchange {
  readonly response: { readonly body?: JsonObject; readonly chunks?: readonly JsonObject[] }
}

function recorded(name: string): Exchange {
  const url = new URL(`../fixtures/exchanges/openai/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Exchange
}

function contentOf(events: Iterable<StreamEvent>): Answer['choices'][number] | undefined {
  return answerOf(events).choices[0]
}

function withoutId(item: JsonObject): JsonObject {
  return { ...item, id: '' }
}

describe('recorded answers', () => {
  it('a whole answer', () => {
    const answer = answerOf(decodeResponses(recorded('responses_success').response.body))
    assert.equal(answer.model, 'gpt-4o-mini-2024-07-18')
    assert.equal(answer.created, 1_766_147_484)
    assert.equal(answer.choices[0]?.finishReason, 'stop')
    assert.deepEqual(answer.choices[0]?.content, [
      { type: 'text', text: '2  \n3  \n5  \n7  \n11  \n13  \n17  \n19  \n23  \n29  ' },
    ])
    const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = answer.usage ?? {}
    assert.deepEqual([inputTokens, outputTokens, cachedInputTokens, reasoningTokens], [24, 21, 0, 0])
  })

  for (const [name, finishReason] of [
    ['responses_streaming', 'stop'],
    ['responses_tool_call_streaming', 'tool_calls'],
  ] as const) {
    it(`${name}: streamed and whole are the same answer`, () => {
      const chunks = recorded(name).response.chunks ?? []
      const events = decodeStream(chunks)
      const answer = answerOf(events)
      assert.equal(answer.choices[0]?.finishReason, finishReason)
      assert.deepEqual(answer, answerOf(decodeResponses(chunks.at(-1)?.['response'])))
      assert.ok(events.length > 10, 'the deltas were passed on one by one')
    })

    it(`${name}: written again for a client, the stream has the same items`, () => {
      const chunks = recorded(name).response.chunks ?? []
      const body = { model: 'gpt-4o-mini', input: 'Hi' }
      const context = { exchangeId: 'ex', request: responses.decode(body), body, model: 'gpt-4o-mini', created: 1 }
      const writer = responses.writer(context)
      const text =
        decodeStream(chunks)
          .map((event) => writer.push(event))
          .join('') + writer.end({ usage: undefined })
      const upstream = chunks.at(-1)?.['response'] as JsonObject
      assert.deepEqual(
        (checkStream(text)['output'] as JsonObject[]).map(withoutId),
        (upstream['output'] as JsonObject[]).map(withoutId),
      )
    })
  }
})

const expected = [
  { type: 'reasoning', summary: 'First', id: 'rs_1', format: 'openai-responses-v1' },
  { type: 'reasoning', summary: 'Second', id: 'rs_1', format: 'openai-responses-v1' },
  { type: 'reasoning', text: 'raw', encrypted: 'gAAA', id: 'rs_1', format: 'openai-responses-v1' },
  { type: 'native', dialect: 'responses', value: output[1] },
  { type: 'text', text: 'Hello' },
  {
    type: 'native',
    dialect: 'responses',
    value: (output[2] as { content: JsonObject[][] }).content[0]?.['annotations' as never]?.[0],
  },
  { type: 'text', text: 'No', refusal: true },
  { type: 'tool_call', id: 'call_1', name: 'f', arguments: '{"a":1}' },
  { type: 'tool_call', id: 'call_2', name: 'g', arguments: 'ls', custom: true },
  { type: 'reasoning', encrypted: 'gAAB', id: 'rs_2', format: 'openai-responses-v1' },
]

describe('answers in canonical form', () => {
  it('every kind of item', () => {
    const choice = contentOf(decodeResponses({ output, status: 'completed' }))
    assert.deepEqual(choice?.content, expected)
    assert.equal(choice?.finishReason, 'tool_calls')
    assert.equal(choice?.logprobs?.length, 1)
  })

  it('whatever an upstream leaves out of its stream, everything comes exactly once', () => {
    const kinds = ['added', 'delta', 'done', 'part', 'annotation', 'item']
    fc.assert(
      fc.property(fc.subarray(output), fc.subarray(kinds), fc.boolean(), (items, sent, openNames) => {
        // Without its item an argument cannot be known to belong to a call.
        const sends = (kind: string) => sent.includes(kind)
        const whole = contentOf(decodeResponses({ output: items, status: 'completed' }))
        const streamed = contentOf(decodeStream(recordsFor(items, sends, openNames)))
        const order = (choice: typeof whole) => choice?.content.map((part) => JSON.stringify(part)).sort()
        assert.deepEqual(order(streamed), order(whole))
        assert.equal(streamed?.finishReason, whole?.finishReason)
        if (sent.length === kinds.length) assert.deepEqual(streamed, whole)
      }),
    )
  })

  it('deltas are passed on at once', () => {
    const decoder = responsesDecoder()
    const data = JSON.stringify({ type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'Hi' })
    assert.deepEqual(decoder.push({ event: 'response.output_text.delta', data }), [
      { type: 'text', text: 'Hi', block: 0 },
    ])
  })

  for (const [reason, finish] of [
    ['max_output_tokens', 'length'],
    ['content_filter', 'content_filter'],
  ] as const) {
    it(`incomplete by ${reason}`, () => {
      const response = { output: [], status: 'incomplete', incomplete_details: { reason } }
      const whole = contentOf(decodeResponses(response))
      assert.deepEqual([whole?.finishReason, whole?.rawFinishReason], [finish, reason])
      assert.deepEqual(contentOf(decodeStream([{ type: 'response.incomplete', response }])), whole)
    })
  }

  it('usage with cache, reasoning and a reported cost', () => {
    const usage = {
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 60, cache_write_tokens: 10 },
      output_tokens: 50,
      output_tokens_details: { reasoning_tokens: 30 },
      total_tokens: 150,
      cost: 0.0012,
    }
    assert.deepEqual(answerOf(decodeResponses({ output: [], usage })).usage, {
      inputTokens: 100,
      outputTokens: 50,
      cachedInputTokens: 60,
      cacheWriteTokens: 10,
      reasoningTokens: 30,
      reportedCostMicros: 1200,
      native: usage,
    })
  })

  it('usage with audio, and without counts that make no sense', () => {
    const usage = {
      input_tokens: 100,
      input_tokens_details: { audio_tokens: 40, cached_tokens: -1 },
      output_tokens: 50,
      output_tokens_details: { audio_tokens: 20 },
      cost: -1,
    }
    const { native: _, ...counts } = answerOf(decodeResponses({ output: [], usage })).usage ?? { native: undefined }
    assert.deepEqual(counts, { inputTokens: 100, outputTokens: 50, audioInputTokens: 40, audioOutputTokens: 20 })
  })

  it('failures', () => {
    const error = { code: 'rate_limit_exceeded', message: 'Slow down' }
    const nested = { type: 'error', error: { type: 'server_error', code: null, message: 'Oops', param: null } }
    const flat = { type: 'error', code: 'server_error', message: 'Oops', param: null }
    const failed = { type: 'response.failed', response: { status: 'failed', error } }
    const [event] = decodeStream([failed])
    assert.ok(event?.type === 'error')
    assert.equal(event.error.status, 429)
    assert.equal(event.error.retryable, 'same')
    for (const record of [nested, flat]) {
      const [oops] = decodeStream([record])
      assert.ok(oops?.type === 'error')
      assert.equal(oops.error.message, 'Upstream provider returned error: Oops')
      assert.deepEqual(oops.error.details, { provider: 'openai', upstream_status: 502, upstream_code: 'server_error' })
    }
    const refused = { output: [], status: 'failed', error }
    for (const body of [refused, { output: [], status: 'queued' }, {}, 'text', null]) {
      assert.throws(() => decodeResponses(body), isGatewayError)
    }
  })

  it('any record is read without a crash', () => {
    const types = recordsFor(output, () => true, true).map(({ type }) => String(type))
    const field = fc.constantFrom('output_index', 'item', 'delta', 'part', 'response', 'annotation', 'text', 'error')
    const record = fc.record({
      type: fc.constantFrom(...types, 'error', 'x'),
      fields: fc.dictionary(field, fc.jsonValue()),
    })
    fc.assert(
      fc.property(fc.array(record), fc.string(), (records, garbage) => {
        const decoder = responsesDecoder()
        decoder.push({ data: garbage })
        for (const { type, fields } of records) decoder.push({ data: JSON.stringify({ ...fields, type }) })
      }),
    )
  })
})
