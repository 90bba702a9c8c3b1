import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { answerOf } from '../../core/contract/answer.ts'
import type { JsonObject, StreamEvent, WireRequest } from '../../core/contract/provider.ts'
import { isGatewayError } from '../../core/contract/errors.ts'
import { chat } from '../../core/dialects/chat.ts'
import openai from '../../providers/openai/index.ts'
import { instanceOf, recorded } from './openai-instance.ts'
import type { Recorded } from './openai-instance.ts'

const upstream = await instanceOf({ api_key: 'sk-secret' })
const wireOf = (dialect: string): WireRequest => ({ method: 'POST', path: '/', headers: {}, dialect })

function decodeStream(chunks: readonly unknown[], dialect = 'chat'): readonly StreamEvent[] {
  const decoder = upstream.decoder(wireOf(dialect))
  const events = chunks.flatMap((chunk) =>
    decoder.push({ data: typeof chunk === 'string' ? chunk : JSON.stringify(chunk) }),
  )
  return [...events, ...decoder.end()]
}

const decodeBody = (body: unknown, dialect = 'chat') => upstream.decode(body, wireOf(dialect))
const answerOfStream = (...chunks: readonly unknown[]) => answerOf(decodeStream(chunks))

function chunk(delta: JsonObject | null | undefined, finish: string | null = null, more: JsonObject = {}): JsonObject {
  const choice = { index: 0, ...(delta !== undefined && { delta }), finish_reason: finish }
  return { id: 'chatcmpl-1', created: 1, model: 'm', choices: [choice], ...more }
}

const calls = (...list: readonly JsonObject[]) => chunk({ tool_calls: list })
const partsOf = (...chunks: readonly unknown[]) => answerOfStream(...chunks).choices[0]?.content

/** What the recording holds, in the shape of a whole message. */
function messageOf({ body, chunks = [] }: Recorded): Record<string, any> {
  if (body) return body.choices[0].message
  const deltas = chunks.map(({ choices }) => choices[0]?.delta ?? {})
  const join = (field: string) => deltas.map((delta) => delta[field] ?? '').join('')
  const pieces = deltas.flatMap((delta) => delta.tool_calls ?? [])
  const [first] = pieces
  const input = pieces.map((piece) => piece.function.arguments).join('')
  const call = first && { id: first.id, type: 'function', function: { name: first.function.name, arguments: input } }
  return { content: join('content'), reasoning: join('reasoning'), ...(call && { tool_calls: [call] }) }
}

describe('recorded answers', () => {
  const body = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
  const context = { exchangeId: 'x', request: chat.decode(body), body, model: 'm', created: 1 }
  const names = [
    'openai/chat_completion_success',
    'openai/chat_completion_streaming',
    'openai/tool_call_success',
    'openai/tool_call_streaming',
    'openai/reasoning_success',
    'ollama/chat_completion_success',
    'ollama/chat_completion_streaming',
    'ollama/tool_call_success',
    'openrouter/chat_completion_streaming',
  ]
  for (const name of names) {
    test(`come back out: ${name}`, () => {
      const recording = recorded(name)
      const events = recording.chunks ? decodeStream([...recording.chunks, '[DONE]']) : decodeBody(recording.body)
      const answer = answerOf(events)
      const written = chat.encode(answer, { usage: answer.usage }, context) as Record<string, any>
      const expected = messageOf(recording)
      const { message, finish_reason: finish } = written['choices'][0]
      assert.equal(message.content ?? '', expected['content'] ?? '')
      assert.equal(message.reasoning ?? '', expected['reasoning'] ?? '')
      const expectedCalls = expected['tool_calls']?.map(({ index: _, ...call }: Record<string, unknown>) => call)
      assert.deepEqual(message.tool_calls, expectedCalls)
      const last = recording.body ?? recording.chunks?.findLast(({ choices }) => choices[0]?.finish_reason)
      assert.equal(finish, last.choices[0].finish_reason)
      assert.equal(written['id'], last.id)
      assert.equal(written['model'], last.model)
      assert.equal(written['created'], recording.body?.created ?? recording.chunks?.[0]?.created)
      const usage = recording.body?.usage ?? recording.chunks?.find((one) => one.usage)?.usage
      const { cost: _, cost_details: __, is_byok: ___, ...counts } = written['usage'] ?? {}
      const { cost: ____, cost_details: _____, is_byok: ______, ...recordedCounts } = usage ?? {}
      assert.deepEqual(counts, recordedCounts)
    })

    test(`mean the same whole and streamed: ${name}`, () => {
      const recording = recorded(name)
      if (!recording.body) return
      const { choices, usage, ...head } = recording.body
      const [choice] = choices
      const asDelta = {
        ...head,
        choices: [{ ...choice, message: undefined, delta: choice.message, finish_reason: null }],
      }
      const finish = { ...head, choices: [{ index: 0, delta: {}, finish_reason: choice.finish_reason }] }
      const streamed = answerOfStream(asDelta, finish, { ...head, choices: [], usage }, '[DONE]')
      assert.deepEqual(streamed, { ...answerOf(decodeBody(recording.body)) })
    })
  }

  test('of completions and embeddings', () => {
    const { body } = recorded('openai/completion_success')
    const completion = answerOf(decodeBody(body, 'completions'))
    assert.deepEqual(completion.choices[0]?.content, [{ type: 'text', text: body.choices[0].text }])
    assert.equal(completion.usage?.outputTokens, 21)
    const embedding = recorded('openai/embedding_success').body
    const events = decodeBody(embedding, 'embeddings')
    const { usage, ...value } = embedding
    assert.deepEqual(
      events.find((event) => event.type === 'part'),
      { type: 'part', part: { type: 'native', dialect: 'embeddings', value } },
    )
    assert.equal(answerOf(events).usage?.inputTokens, usage.prompt_tokens)
  })

  test('of the model list', async () => {
    const models = upstream.models()
    assert.ok(models && 'read' in models)
    const { body } = recorded('openai/models_list')
    const [first] = models.read(body)
    const { id, created, owned_by: ownedBy } = body.data[0]
    assert.deepEqual(first, { id, created, ownedBy })
    assert.deepEqual(
      models.read({
        data: [
          {
            id: 'a/b',
            name: 'B',
            context_length: 8192,
            top_provider: { max_completion_tokens: 1024 },
            architecture: { input_modalities: ['text'], output_modalities: ['text'] },
            supported_parameters: ['tools'],
            pricing: { prompt: '0.0000025', completion: '0.00001', request: '0.005', input_cache_read: '-1' },
          },
          { name: 'no id' },
        ],
      }),
      [
        {
          id: 'a/b',
          name: 'B',
          contextLength: 8192,
          maxOutputTokens: 1024,
          inputModalities: ['text'],
          outputModalities: ['text'],
          supportedParameters: ['tools'],
          prices: { input: 2_500_000, output: 10_000_000, request: 5000 },
        },
      ],
    )
  })
})

describe('the lies of compatible servers', () => {
  const call = (id: string, name: string, input: string) => ({ type: 'tool_call', id, name, arguments: input })
  const piece = (fields: JsonObject, inner: JsonObject) => ({ ...fields, function: inner })

  test('parallel tool calls interleave by index', () => {
    assert.deepEqual(
      partsOf(
        calls(piece({ index: 0, id: 'a', type: 'function' }, { name: 'f', arguments: '' })),
        calls(piece({ index: 1, id: 'b', type: 'function' }, { name: 'g', arguments: '' })),
        calls(piece({ index: 0 }, { arguments: '{"x"' }), piece({ index: 1 }, { arguments: '{}' })),
        calls(piece({ index: 0 }, { arguments: ':1}' })),
      ),
      [call('a', 'f', '{"x":1}'), call('b', 'g', '{}')],
    )
  })

  test('no index, or -1: calls begin where an id says so', () => {
    for (const index of [{}, { index: -1 }, { index: null }]) {
      assert.deepEqual(
        partsOf(
          calls(piece({ ...index, id: 'a' }, { name: 'f', arguments: '{' })),
          calls(piece(index, { arguments: '}' })),
          calls(piece({ ...index, id: 'b' }, { name: 'f', arguments: '{}' })),
        ),
        [call('a', 'f', '{}'), call('b', 'f', '{}')],
      )
    }
  })

  test('index 0 for every whole call', () => {
    assert.deepEqual(
      partsOf(
        calls(piece({ index: 0, id: 'a' }, { name: 'f', arguments: '{}' })),
        calls(piece({ index: 0, id: 'b' }, { name: 'f', arguments: '[]' })),
      ),
      [call('a', 'f', '{}'), call('b', 'f', '[]')],
    )
  })

  test('id and name repeated with every piece', () => {
    assert.deepEqual(
      partsOf(
        calls(piece({ index: 0, id: 'a' }, { name: 'f', arguments: '{' })),
        calls(piece({ index: 0, id: 'a' }, { name: 'f', arguments: '}' })),
      ),
      [call('a', 'f', '{}')],
    )
  })

  test('no ids at all, arguments as an object, null arguments', () => {
    const parts = partsOf(
      calls(piece({}, { name: 'f', arguments: { x: 1 } }), piece({}, { name: 'g', arguments: null })),
    )
    assert.deepEqual(parts, [call('call_chatcmpl1_0_0', 'f', '{"x":1}'), call('call_chatcmpl1_0_1', 'g', '')])
  })

  test('a name that comes after the id, or never', () => {
    const events = decodeStream([
      calls(piece({ index: 0, id: 'a' }, { arguments: '{' })),
      calls(piece({ index: 0 }, { name: 'f', arguments: '}' })),
      calls(piece({ index: 1, id: 'b' }, { arguments: '{}' })),
      '[DONE]',
    ])
    const first = events.filter((event) => event.type === 'tool_call')
    assert.deepEqual(
      first.map(({ id, name, arguments: input }) => [id, name, input]),
      [
        ['a', 'f', '{}'],
        ['b', '', '{}'],
      ],
    )
  })

  test('function_call and custom calls', () => {
    assert.deepEqual(
      partsOf(chunk({ function_call: { name: 'f', arguments: '{' } }), chunk({ function_call: { arguments: '}' } })),
      [call('call_chatcmpl1_0_0', 'f', '{}')],
    )
    assert.deepEqual(
      partsOf(
        calls({ index: 0, id: 'c', type: 'custom', custom: { name: 'm', input: '1' } }),
        calls({ index: 0, custom: { input: '+1' } }),
      ),
      [{ ...call('c', 'm', '1+1'), custom: true }],
    )
  })

  test('[DONE] without a finish reason is a stop; an end without either is a cut', () => {
    assert.equal(answerOfStream(chunk({ content: 'x' }), '[DONE]').choices[0]?.finishReason, 'stop')
    const withCall = calls(piece({ index: 0, id: 'a' }, { name: 'f', arguments: '' }))
    assert.equal(answerOfStream(withCall, '[DONE]').choices[0]?.finishReason, 'tool_calls')
    assert.equal(answerOfStream(chunk({ content: 'x' })).choices[0]?.finishReason, undefined)
    assert.equal(answerOfStream(chunk({}, 'length')).choices[0]?.finishReason, 'length')
  })

  test('finish reasons of their own become one of five, once', () => {
    const finish = (word: string) => {
      const events = decodeStream([chunk({}, word), chunk({}, word), '[DONE]'])
      return events.filter((event) => event.type === 'finish').map(({ reason, raw }) => [reason, raw])
    }
    assert.deepEqual(finish('eos'), [['stop', 'eos']])
    assert.deepEqual(finish('MAX_TOKENS'), [['length', 'MAX_TOKENS']])
    assert.deepEqual(finish('SAFETY'), [['content_filter', 'SAFETY']])
    assert.deepEqual(finish('function_call'), [['tool_calls', 'function_call']])
    assert.deepEqual(finish('constructor'), [['stop', 'constructor']])
  })

  test('reasoning in either field, or both, or as thinking parts', () => {
    const thought = [{ type: 'reasoning', text: 'ab' }]
    for (const field of ['reasoning', 'reasoning_content']) {
      assert.deepEqual(partsOf(chunk({ [field]: 'a' }), chunk({ [field]: 'b', content: null })), thought)
    }
    assert.deepEqual(partsOf(chunk({ reasoning: 'ab', reasoning_content: 'ab' })), thought)
    const thinking = { type: 'thinking', thinking: [{ type: 'text', text: 'ab' }] }
    const text = { type: 'text', text: 'c' }
    assert.deepEqual(partsOf(chunk({ content: [thinking, text] })), [...thought, text])
  })

  test('reasoning details add up, with their signatures', () => {
    const detail = (fields: JsonObject) => chunk({ reasoning: fields['text'] ?? null, reasoning_details: [fields] })
    assert.deepEqual(
      partsOf(
        detail({ type: 'reasoning.text', text: 'a', format: 'anthropic-claude-v1', index: 0 }),
        detail({ type: 'reasoning.text', text: 'b', format: 'anthropic-claude-v1', index: 0 }),
        detail({ type: 'reasoning.text', signature: 's', format: 'anthropic-claude-v1', index: 0 }),
        detail({ type: 'reasoning.encrypted', data: 'e1', id: 'r1', index: 0 }),
        detail({ type: 'reasoning.encrypted', data: 'e2', id: 'r2', index: 0 }),
      ),
      [
        { type: 'reasoning', text: 'ab', signature: 's', format: 'anthropic-claude-v1' },
        { type: 'reasoning', encrypted: 'e1', id: 'r1' },
        { type: 'reasoning', encrypted: 'e2', id: 'r2' },
      ],
    )
  })

  test('entries of a whole message are never joined', () => {
    const details = [
      { type: 'reasoning.text', text: 'a', signature: 's' },
      { type: 'reasoning.text', text: 'b', signature: 't' },
    ]
    const events = decodeBody({ choices: [{ message: { content: 'x', reasoning: 'ab', reasoning_details: details } }] })
    assert.deepEqual(answerOf(events).choices[0]?.content, [
      { type: 'reasoning', text: 'a', signature: 's' },
      { type: 'reasoning', text: 'b', signature: 't' },
      { type: 'text', text: 'x' },
    ])
  })

  test('missing, null and odd shapes are no failure', () => {
    const odd = [
      chunk(undefined),
      chunk(null),
      { choices: null },
      { choices: [null, 1] },
      {},
      'no json',
      '[]',
      chunk({ content: 1, tool_calls: {}, reasoning_details: 'x', images: [{}], annotations: null }),
    ]
    const answer = answerOfStream(...odd, chunk({ content: 'x' }, 'stop'), '[DONE]', chunk({ content: 'late' }))
    assert.deepEqual(answer.choices[0]?.content, [{ type: 'text', text: 'x' }])
    assert.equal(answer.error, undefined)
  })

  test("Azure's first chunk has no id", () => {
    const first = { id: '', model: '', created: 0, choices: [], prompt_filter_results: [] }
    assert.equal(answerOfStream(first, chunk({ content: 'x' })).id, 'chatcmpl-1')
  })

  test('errors inside the stream end it', () => {
    const error = { error: { message: 'Overloaded', code: 503 } }
    const events = decodeStream([chunk({ content: 'x' }), error, chunk({ content: 'y' }), '[DONE]'])
    const last = events.at(-1)
    assert.ok(last?.type === 'error')
    assert.deepEqual([last.error.status, last.error.retryable], [502, 'same'])
    assert.equal(last.error.details?.['upstream_status'], 503)
    assert.deepEqual(
      events.map(({ type }) => type),
      ['start', 'text', 'error'],
    )
  })

  test('images, citations and speech arrive as parts', () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }
    const citation = { type: 'url_citation', url_citation: { url: 'https://a.example' } }
    assert.deepEqual(
      partsOf(
        chunk({ images: [image], annotations: [citation], audio: { id: 'a', data: 'AA', transcript: 'H' } }),
        chunk({ audio: { data: 'BB', transcript: 'i' } }, 'stop'),
      ),
      [
        { type: 'native', dialect: 'chat', value: citation },
        { type: 'media', kind: 'image', mediaType: 'image/png', data: 'AA' },
        {
          type: 'native',
          dialect: 'chat',
          value: { type: 'audio', audio: { id: 'a', data: 'AABB', transcript: 'Hi' } },
        },
      ],
    )
  })

  test('an answer without choices is refused', () => {
    for (const body of [{}, 'text', null, { choices: [] }, { error: { message: 'no', code: 429 } }]) {
      assert.throws(() => decodeBody(body), isGatewayError)
    }
  })
})

describe('usage', () => {
  const usageOf = (usage: unknown, more: JsonObject = {}) => {
    const { native: _, ...counts } = answerOfStream(chunk({}, 'stop', { usage, ...more })).usage ?? {
      native: undefined,
    }
    return counts
  }

  test('is read in every spelling', () => {
    assert.deepEqual(
      usageOf({
        prompt_tokens: 10,
        completion_tokens: 5,
        prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 1 },
        completion_tokens_details: { reasoning_tokens: 3, audio_tokens: 1 },
        cost: 0.0000278,
      }),
      {
        inputTokens: 10,
        outputTokens: 5,
        cachedInputTokens: 4,
        cacheWriteTokens: 2,
        audioInputTokens: 1,
        reasoningTokens: 3,
        audioOutputTokens: 1,
        reportedCostMicros: 28,
      },
    )
    assert.deepEqual(usageOf({ prompt_tokens: 9, completion_tokens: 1, prompt_cache_hit_tokens: 8 }), {
      inputTokens: 9,
      outputTokens: 1,
      cachedInputTokens: 8,
    })
    assert.deepEqual(usageOf(null, { x_groq: { usage: { prompt_tokens: 1, completion_tokens: 2 } } }), {
      inputTokens: 1,
      outputTokens: 2,
    })
    assert.deepEqual(usageOf({ prompt_tokens: null }), {})
  })

  test('counts reasoning that the server left out of the completion', () => {
    const details = { completion_tokens_details: { reasoning_tokens: 20 } }
    const apart = usageOf({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 35, ...details })
    assert.deepEqual(apart, { inputTokens: 10, outputTokens: 25, reasoningTokens: 20 })
  })
})

describe('errors', () => {
  const errorOf = (status: number, body: unknown, headers = {}) => upstream.decodeError(status, headers, body)

  test('keep the status of the caller and hide that of the operator', () => {
    const bad = recorded('openai/bad_request')
    const invalid = errorOf(bad.status, bad.body)
    assert.deepEqual([invalid.status, invalid.code, invalid.retryable], [400, 'provider_error', false])
    assert.equal(invalid.message, 'Upstream provider returned error: Invalid model specified')
    assert.equal(invalid.details?.['upstream_code'], 'invalid_model')
    const limited = recorded('openai/rate_limit')
    const rate = errorOf(limited.status, limited.body, limited.headers)
    assert.deepEqual([rate.status, rate.retryable, rate.headers], [429, 'same', { 'Retry-After': '1' }])
    const failed = recorded('openai/server_error')
    assert.equal(errorOf(failed.status, failed.body).status, 502)
    const refused = errorOf(401, { error: { message: 'Incorrect API key provided: sk-secret' } })
    assert.equal(refused.status, 502)
    assert.doesNotMatch(refused.message, /sk-/)
  })

  test('let another model try what this one could not hold or would not say', () => {
    const overflow = { error: { message: 'too long', code: 'context_length_exceeded' } }
    assert.equal(errorOf(400, overflow).retryable, true)
    assert.equal(errorOf(400, { error: { message: "This model's maximum context length is 8" } }).retryable, true)
    assert.equal(errorOf(400, { error: { message: 'x', code: 'content_policy_violation' } }).retryable, true)
    assert.equal(errorOf(400, { error: { message: 'bad temperature' } }).retryable, false)
  })

  test('find the message wherever it is', () => {
    const messageOf = (body: unknown) => errorOf(500, body).message.replace('Upstream provider returned error: ', '')
    assert.equal(messageOf({ error: 'model not found' }), 'model not found')
    assert.equal(messageOf({ detail: [{ msg: 'a' }, { msg: 'b' }] }), 'a; b')
    assert.equal(messageOf([{ error: { message: 'in a list', code: 400 } }]), 'in a list')
    assert.equal(messageOf('<html><head><title>502 Bad Gateway</title></head></html>'), '502 Bad Gateway')
    assert.equal(messageOf('<html></html>'), 'HTTP 500 without a message')
    for (const empty of ['', undefined, null, {}, 7]) assert.equal(messageOf(empty), 'HTTP 500 without a message')
    assert.equal(messageOf('x'.repeat(9999)).length, 500)
  })
})

describe('an instance', () => {
  test('sends its credentials and headers', async () => {
    const azure = await instanceOf({
      base_url: 'https://x.openai.azure.com/openai/v1/',
      api_key: 'k',
      api_key_header: 'api-key',
      headers: { 'X-Team': 'a' },
      query: { 'api-version': 'preview' },
    })
    const wire = azure.authorize(wireOf('chat'))
    assert.deepEqual(wire.headers, { 'x-team': 'a', 'api-key': 'k' })
    assert.equal(azure.baseUrl, 'https://x.openai.azure.com/openai/v1')
    assert.equal(azure.capabilities.dialects.responses, '/responses?api-version=preview')
    const own = await instanceOf({ api_key: 'sk', organization: 'o', project: 'p' })
    const { headers } = own.authorize(wireOf('chat'))
    assert.deepEqual(headers, { authorization: 'Bearer sk', 'openai-organization': 'o', 'openai-project': 'p' })
    const local = await instanceOf({ base_url: 'http://127.0.0.1:1/v1' })
    assert.deepEqual(local.authorize(wireOf('chat')).headers, {})
  })

  test('has the APIs its host has', async () => {
    assert.deepEqual(Object.keys(upstream.capabilities.dialects), ['chat', 'responses', 'completions', 'embeddings'])
    const local = await instanceOf({ base_url: 'http://127.0.0.1:1/v1' })
    assert.deepEqual(Object.keys(local.capabilities.dialects), ['chat', 'completions', 'embeddings'])
    const only = await instanceOf({ dialects: ['embeddings'] })
    assert.deepEqual(only.capabilities.operations, ['embeddings'])
  })

  test('is made for every known upstream whose key is in the environment', async () => {
    for (const { instance, environment, options } of openai.defaults ?? []) {
      const filled = Object.values(environment).map((name) => [name, name === 'ollama_host' ? 'localhost' : 'key'])
      const made = await instanceOf({ ...options, ...Object.fromEntries(filled) }, instance)
      assert.match(made.baseUrl, /^https?:\/\/[^/]+(\/\w+)*$/)
      assert.ok(made.capabilities.dialects.chat)
    }
  })
})
