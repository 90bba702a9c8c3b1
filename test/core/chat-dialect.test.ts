import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream'
import { answerOf } from '../../core/contract/answer.ts'
import type { JsonObject, StreamEvent, Usage } from '../../core/contract/canonical.ts'
import { errorBody, gatewayError, isGatewayError } from '../../core/contract/errors.ts'
import { chat } from '../../core/dialects/chat.ts'
import { completions } from '../../core/dialects/completions.ts'
import type { ReplyContext, ReplyEnd } from '../../core/dialects/dialect.ts'
import { embeddings } from '../../core/dialects/embeddings.ts'
import { accumulate, recordsOf } from './chat-client.ts'

const user = { role: 'user', content: 'Hi' }

function contextOf(fields: JsonObject = {}): ReplyContext {
  const body = { model: 'gpt', messages: [user], ...fields }
  return { exchangeId: 'x1', request: chat.decode(body), body, model: 'openai/gpt', created: 1_700_000_000 }
}

function stream(events: readonly StreamEvent[], end: ReplyEnd, context: ReplyContext): readonly unknown[] {
  const writer = chat.writer(context)
  return recordsOf(events.map((event) => writer.push(event)).join('') + writer.end(end))
}

function thrownBy(action: () => unknown) {
  try {
    action()
  } catch (error) {
    assert.ok(isGatewayError(error))
    return error
  }
  assert.fail('nothing was thrown')
}

const usage: Usage = { inputTokens: 10, outputTokens: 5, reasoningTokens: 2, costMicros: 1234 }

describe('reading a chat request', () => {
  test('takes data URLs apart and keeps the order of parts', () => {
    const { messages } = chat.decode({
      model: 'm',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AA\nAA', detail: 'low' } },
            { type: 'text', text: 'x', cache_control: { type: 'ephemeral' } },
            { type: 'input_audio', input_audio: { data: 'BB', format: 'mp3' } },
          ],
        },
      ],
    })
    assert.deepEqual(messages[0]?.content, [
      { type: 'media', kind: 'image', mediaType: 'image/png', data: 'AAAA', detail: 'low' },
      { type: 'text', text: 'x', cacheControl: { type: 'ephemeral' } },
      { type: 'media', kind: 'audio', data: 'BB', mediaType: 'audio/mpeg' },
    ])
  })

  test('restores reasoning before text and tool calls, signatures and all', () => {
    const { messages } = chat.decode({
      model: 'm',
      messages: [
        {
          role: 'assistant',
          content: 'Done',
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{' } }],
          reasoning_details: [
            { type: 'reasoning.text', text: 'A', signature: 's', id: null, format: 'anthropic-claude-v1', index: 0 },
            { type: 'reasoning.encrypted', data: 'e', id: 'r1', index: 1 },
          ],
        },
      ],
    })
    assert.deepEqual(messages[0]?.content, [
      { type: 'reasoning', text: 'A', signature: 's', format: 'anthropic-claude-v1', extra: { index: 0, id: null } },
      { type: 'reasoning', encrypted: 'e', id: 'r1', extra: { index: 1 } },
      { type: 'text', text: 'Done' },
      { type: 'tool_call', id: 'c', name: 'f', arguments: '{' },
    ])
  })

  test('joins the pieces of a streamed reasoning entry that a client collected without adding them up', () => {
    const details = [
      { type: 'reasoning.text', text: 'A', id: null, index: 0 },
      { type: 'reasoning.text', text: 'B', id: null, index: 0 },
      { type: 'reasoning.text', signature: 's', id: null, index: 0 },
    ]
    const { messages } = chat.decode({ model: 'm', messages: [{ role: 'assistant', reasoning_details: details }] })
    assert.deepEqual(messages[0]?.content, [
      { type: 'reasoning', text: 'AB', signature: 's', extra: { index: 0, id: null } },
    ])
  })

  test('pairs function calls of the older form with their results', () => {
    const call = (name: string) => ({ role: 'assistant', content: null, function_call: { name, arguments: '{}' } })
    const result = (name: string) => ({ role: 'function', name, content: name })
    const { messages } = chat.decode({
      model: 'm',
      messages: [call('a'), result('a'), call('b'), call('a'), result('a'), result('b')],
    })
    const ids = messages.flatMap(({ content }) =>
      content.map((part) =>
        part.type === 'tool_call' ? part.id : part.type === 'tool_result' ? part.toolCallId : part.type,
      ),
    )
    assert.deepEqual(
      ids,
      [0, 0, 1, 2, 2, 1].map((number) => `function_call_${number}`),
    )
  })

  test('prefers max_completion_tokens and remembers the other', () => {
    const request = chat.decode({ model: 'm', messages: [user], max_tokens: 5, max_completion_tokens: 7 })
    assert.equal(request.maxOutputTokens, 7)
    assert.deepEqual(request.extra, { max_tokens: 5 })
  })

  test('reads every spelling of reasoning', () => {
    const reasoning = (fields: JsonObject) => chat.decode({ model: 'm', messages: [user], ...fields }).reasoning
    assert.deepEqual(reasoning({ reasoning_effort: 'low' }), { effort: 'low' })
    assert.deepEqual(reasoning({ include_reasoning: false }), { exclude: true })
    assert.deepEqual(reasoning({ include_reasoning: true }), {})
    assert.deepEqual(reasoning({ reasoning: { max_tokens: 9, mode: 'pro' } }), { maxTokens: 9, extra: { mode: 'pro' } })
    assert.equal(reasoning({ reasoning: null }), undefined)
  })

  test('refuses contradictions and names the field', () => {
    const conflict = thrownBy(() =>
      chat.decode({ model: 'm', messages: [user], reasoning_effort: 'low', reasoning: { effort: 'high' } }),
    )
    assert.deepEqual(
      [conflict.status, conflict.code, conflict.param],
      [400, 'invalid_request_error', 'reasoning_effort'],
    )
    const both = thrownBy(() =>
      chat.decode({ model: 'm', messages: [user], reasoning: { effort: 'high', max_tokens: 1 } }),
    )
    assert.deepEqual([both.status, both.param], [400, 'reasoning.max_tokens'])
    for (const fields of [
      { reasoning: { enabled: false, effort: 'high' } },
      { reasoning: { enabled: false }, reasoning_effort: 'high' },
      { reasoning: { enabled: true, max_tokens: 0 } },
    ]) {
      const { param } = thrownBy(() => chat.decode({ model: 'm', messages: [user], ...fields }))
      assert.equal(param, 'reasoning.enabled')
    }
    assert.deepEqual((both.details as Record<string, any>)['errors'][0].path, 'reasoning.max_tokens')
  })

  test('never throws on shapes it does not know', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom('role', 'content', 'tool_calls', 'function_call', 'reasoning_details', 'audio', 'name'),
          fc.jsonValue(),
        ),
        fc.dictionary(
          fc.constantFrom('tools', 'tool_choice', 'stop', 'response_format', 'stream_options', 'functions', 'plugins'),
          fc.jsonValue(),
        ),
        (message, fields) => {
          const request = chat.decode({ ...fields, messages: [message] })
          assert.equal(request.messages.length, 1)
        },
      ),
    )
  })
})

describe('writing a chat answer', () => {
  test('streams in the shape of OpenAI', () => {
    const events: StreamEvent[] = [
      { type: 'start', id: 'chatcmpl-1', model: 'gpt-4o', created: 5, native: { system_fingerprint: 'fp', x: 1 } },
      { type: 'text', text: 'Hi' },
      { type: 'tool_call', index: 0, id: 'a', name: 'f', arguments: '{"x"' },
      { type: 'tool_call', index: 1, id: 'b', name: 'g' },
      { type: 'tool_call', index: 0, arguments: ':1}' },
      { type: 'finish', reason: 'tool_calls', raw: 'tool_use' },
    ]
    const head = {
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 5,
      model: 'gpt-4o',
      system_fingerprint: 'fp',
    }
    const chunk = (delta: JsonObject) => ({
      ...head,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
    })
    assert.deepEqual(stream(events, { usage }, contextOf()), [
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'Hi' }),
      chunk({ tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] }),
      chunk({ tool_calls: [{ index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }),
      {
        ...head,
        choices: [
          {
            index: 0,
            delta: {},
            logprobs: null,
            finish_reason: 'tool_calls',
            native_finish_reason: 'tool_use',
          },
        ],
      },
      '[DONE]',
    ])
  })

  test('sends usage only if asked, with the cost in dollars', () => {
    const events: StreamEvent[] = [
      { type: 'text', text: 'Hi' },
      { type: 'finish', reason: 'stop' },
    ]
    const asked = stream(events, { usage }, contextOf({ stream: true, stream_options: { include_usage: true } }))
    const { choices, usage: written, id } = asked.at(-2) as Record<string, any>
    assert.deepEqual(choices, [])
    assert.equal(id, 'chatcmpl-x1')
    assert.deepEqual(written, {
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      completion_tokens_details: { reasoning_tokens: 2 },
      cost: 0.001234,
      cost_details: { upstream_inference_cost: null },
      is_byok: false,
    })
    assert.ok(asked.slice(0, -2).every((chunk) => (chunk as JsonObject)['usage'] === null))
    assert.doesNotMatch(JSON.stringify(stream(events, { usage }, contextOf())), /usage/)
  })

  test('puts metadata on the last chunk', () => {
    const events: StreamEvent[] = [{ type: 'finish', reason: 'stop' }]
    const end = { usage, metadata: { attempts: 1 } }
    const bare = stream(events, end, contextOf()).at(-2) as Record<string, any>
    assert.deepEqual([bare['hadrian_metadata'], bare['choices'][0].finish_reason], [{ attempts: 1 }, 'stop'])
    const asked = stream(events, end, contextOf({ stream_options: { include_usage: true } }))
    assert.deepEqual((asked.at(-2) as JsonObject)['hadrian_metadata'], { attempts: 1 })
    assert.equal((asked.at(-3) as JsonObject)['hadrian_metadata'], undefined)
  })

  test('fails with the typed error and no [DONE]', () => {
    const writer = chat.writer(contextOf())
    writer.push({ type: 'text', text: 'Hi' })
    const error = errorBody(gatewayError('provider_error', 'cut'), 'req_1')
    assert.deepEqual(recordsOf(writer.fail(error)), [{ error }])
  })

  test('hides excluded reasoning in both forms', () => {
    const events: StreamEvent[] = [
      { type: 'reasoning', text: 'secret', signature: 's' },
      { type: 'text', text: 'Hi' },
      { type: 'finish', reason: 'stop' },
    ]
    const context = contextOf({ reasoning: { exclude: true } })
    assert.doesNotMatch(JSON.stringify(stream(events, { usage: undefined }, context)), /secret|reasoning/)
    assert.doesNotMatch(
      JSON.stringify(chat.encode(answerOf(events), { usage: undefined }, context)),
      /secret|reasoning/,
    )
    const verbatim = chat.verbatimWriter(context)
    const record = { data: '{"choices":[{"index":0,"delta":{"reasoning":"secret"}}]}', events: events.slice(0, 1) }
    assert.doesNotMatch(verbatim.push(record), /secret/)
  })

  test('answers a client of `functions` with `function_call`', () => {
    const events: StreamEvent[] = [
      { type: 'tool_call', index: 0, id: 'a', name: 'f', arguments: '{"x"' },
      { type: 'tool_call', index: 0, arguments: ':1}' },
      { type: 'finish', reason: 'tool_calls' },
    ]
    const context = contextOf({ functions: [{ name: 'f' }] })
    const { choices } = chat.encode(answerOf(events), { usage }, context) as Record<string, any>
    assert.deepEqual(choices[0].message.function_call, { name: 'f', arguments: '{"x":1}' })
    assert.equal(choices[0].finish_reason, 'function_call')
    const deltas = stream(events, { usage }, context).slice(1, 3) as Record<string, any>[]
    assert.deepEqual(
      deltas.map((chunk) => chunk['choices'][0].delta.function_call),
      [{ name: 'f', arguments: '{"x"' }, { arguments: ':1}' }],
    )
  })

  test('spells citations of the Responses API as chat does', () => {
    const citation = { type: 'url_citation', url: 'https://a.example', title: 'A', start_index: 0, end_index: 1 }
    const events: StreamEvent[] = [{ type: 'part', part: { type: 'native', dialect: 'responses', value: citation } }]
    const { choices } = chat.encode(answerOf(events), { usage }, contextOf()) as Record<string, any>
    const { type, ...fields } = citation
    assert.deepEqual(choices[0].message.annotations, [{ type, url_citation: fields }])
  })
})

const word = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' })

/** The blocks of one choice, each as the pieces it is streamed in. */
const block = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), pieces: fc.array(word, { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('refusal' as const), pieces: fc.array(word, { minLength: 1, maxLength: 2 }) }),
  fc.record({ kind: fc.constant('thinking' as const), pieces: fc.array(word, { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('summary' as const), pieces: fc.array(word, { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('encrypted' as const), pieces: fc.tuple(word) }),
  fc.record({ kind: fc.constant('call' as const), pieces: fc.array(word, { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('custom' as const), pieces: fc.array(word, { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('image' as const), pieces: fc.tuple(word) }),
)

type Block = typeof block extends fc.Arbitrary<infer T> ? T : never

function eventsOfBlock({ kind, pieces }: Block, number: number, call: number): StreamEvent[] {
  switch (kind) {
    case 'text':
    case 'refusal':
      return pieces.map((text) => ({ type: 'text', block: number, text, ...(kind === 'refusal' && { refusal: true }) }))
    case 'thinking':
      return [
        ...pieces.map((text): StreamEvent => ({ type: 'reasoning', block: number, text })),
        { type: 'reasoning', block: number, signature: 'sig', format: 'anthropic-claude-v1' },
      ]
    case 'summary':
      return pieces.map((summary) => ({
        type: 'reasoning',
        block: number,
        summary,
        id: `rs_${number}`,
        format: 'openai-responses-v1',
      }))
    case 'encrypted':
      return [{ type: 'reasoning', block: number, encrypted: pieces[0] ?? '', id: `rs_${number}` }]
    case 'image':
      return [{ type: 'part', part: { type: 'media', kind: 'image', url: `https://e.example/${number}.png` } }]
    default: {
      const custom = kind === 'custom' && { custom: true }
      const first = { type: 'tool_call', index: call, id: `call_${call}`, name: 'f', ...custom } as const
      return [
        first,
        ...pieces.map((piece): StreamEvent => ({ ...custom, type: 'tool_call', index: call, arguments: piece })),
      ]
    }
  }
}

/** Whole streams: several choices whose events interleave, and within each choice tool calls that interleave. */
const eventSequence = fc
  .tuple(fc.array(fc.array(block, { maxLength: 5 }), { minLength: 1, maxLength: 3 }), fc.infiniteStream(fc.nat()))
  .map(([choices, chances]) => {
    const queues = choices.flatMap((blocks, choice) => {
      let calls = 0
      const lists = blocks.map((one, number) =>
        eventsOfBlock(one, number, one.kind === 'call' || one.kind === 'custom' ? calls++ : 0),
      )
      return [lists.flat().map((event) => ({ ...event, choice }))]
    })
    const events: StreamEvent[] = [{ type: 'start', id: 'chatcmpl-9', model: 'm', created: 1 }]
    for (
      let left = queues.filter((queue) => queue.length > 0);
      left.length > 0;
      left = left.filter((q) => q.length > 0)
    ) {
      const chance = chances.next().value ?? 0
      const queue = left[chance % left.length]
      const event = queue?.shift()
      if (event) events.push(event)
    }
    for (const choice of queues.keys()) events.push({ type: 'finish', choice, reason: 'stop', raw: 'end_turn' })
    return events
  })

/** What a stream cannot tell apart: an absent, null and empty text. */
function comparable(body: JsonObject): unknown {
  return JSON.parse(
    JSON.stringify(body, (name, value: unknown) =>
      (name === 'content' || name === 'refusal') && (value === '' || value === null) ? undefined : value,
    ),
  )
}

describe('a stream and a whole body', () => {
  test('add up to the same answer', () => {
    fc.assert(
      fc.property(eventSequence, (events) => {
        const context = contextOf({ stream_options: { include_usage: true } })
        const end = { usage, metadata: { a: 1 } }
        const chunks = stream(events, end, context)
        assert.equal(chunks.at(-1), '[DONE]')
        const added = accumulate(chunks.slice(0, -1))
        assert.deepEqual(comparable(added), comparable(chat.encode(answerOf(events), end, context)))
      }),
    )
  })

  test('are understood by the accumulation of the openai package', async () => {
    const events: StreamEvent[] = [
      { type: 'start', id: 'chatcmpl-9', model: 'm', created: 1 },
      { type: 'reasoning', text: 'Hm' },
      { type: 'text', text: 'Hel' },
      { type: 'text', text: 'lo', logprobs: [{ token: 'lo', logprob: -0.1, bytes: null, top_logprobs: [] }] },
      { type: 'tool_call', index: 0, id: 'a', name: 'f', arguments: '{"x":' },
      { type: 'tool_call', index: 1, id: 'b', name: 'g', arguments: '{}' },
      { type: 'tool_call', index: 0, arguments: '1}' },
      { type: 'finish', reason: 'tool_calls' },
    ]
    const context = contextOf({ stream_options: { include_usage: true } })
    const chunks = stream(events, { usage }, context).slice(0, -1)
    const lines = chunks.map((chunk) => `${JSON.stringify(chunk)}\n`)
    const readable = ReadableStream.from(lines.map((line) => Buffer.from(line)))
    const completion = await ChatCompletionStream.fromReadableStream(readable).finalChatCompletion()
    const [choice] = completion.choices
    assert.equal(choice?.message.content, 'Hello')
    assert.equal(choice?.finish_reason, 'tool_calls')
    assert.deepEqual(
      choice?.message.tool_calls?.map((call) => call.type === 'function' && [call.id, call.function.arguments]),
      [
        ['a', '{"x":1}'],
        ['b', '{}'],
      ],
    )
    assert.equal(completion.usage?.total_tokens, 15)
    assert.equal(choice?.logprobs?.content?.length, 1)
  })
})

describe('completions', () => {
  const body = { model: 'm', prompt: 'Count', max_tokens: 5, echo: true, logprobs: 2, stream: true }
  const request = completions.decode(body)
  const context = { exchangeId: 'x1', request, body, model: 'm', created: 1 }

  test('keeps its own fields in extra', () => {
    assert.deepEqual(request.extra, { prompt: 'Count', echo: true, logprobs: 2 })
    assert.deepEqual([request.operation, request.maxOutputTokens, request.messages], ['completions', 5, []])
  })

  test('writes text, finish and joined logprobs, whole and streamed', () => {
    const piece = (token: string) => ({ tokens: [token], token_logprobs: [-1] })
    const events: StreamEvent[] = [
      { type: 'start', id: 'cmpl-1', model: 'm', created: 2 },
      { type: 'text', text: 'a', logprobs: [piece('a')] },
      { type: 'text', text: 'b', logprobs: [piece('b')] },
      { type: 'finish', reason: 'length' },
    ]
    const { choices } = completions.encode(answerOf(events), { usage }, context) as Record<string, any>
    const logprobs = { tokens: ['a', 'b'], token_logprobs: [-1, -1] }
    assert.deepEqual(choices, [{ text: 'ab', index: 0, logprobs, finish_reason: 'length' }])
    const writer = completions.writer(context)
    const chunks = recordsOf(events.map((event) => writer.push(event)).join('') + writer.end({ usage }))
    assert.equal(chunks.at(-1), '[DONE]')
    const pieces = (chunks.slice(0, -1) as Record<string, any>[]).map((chunk) => chunk['choices'][0])
    assert.equal(pieces.map(({ text }) => text).join(''), 'ab')
    assert.equal(pieces.at(-1).finish_reason, 'length')
  })
})

describe('embeddings', () => {
  test('carries the body through and adds the usage', () => {
    const body = { model: 'm', input: ['a'], dimensions: 3 }
    const request = embeddings.decode(body)
    assert.deepEqual(request.extra, { input: ['a'], dimensions: 3 })
    const value = { object: 'list', data: [{ object: 'embedding', index: 0, embedding: [0.5] }], model: 'm-1' }
    const answer = answerOf([{ type: 'part', part: { type: 'native', dialect: 'embeddings', value } }])
    const context = { exchangeId: 'x1', request, body, model: 'm', created: 1 }
    const end = { usage: { inputTokens: 4, outputTokens: 0, costMicros: 1 } }
    const costs = { cost: 0.000001, cost_details: { upstream_inference_cost: null }, is_byok: false }
    const expected = { ...value, usage: { prompt_tokens: 4, total_tokens: 4, ...costs } }
    assert.deepEqual(embeddings.encode(answer, end, context), expected)
  })

  test('refuses to stream', () => {
    assert.equal(thrownBy(() => embeddings.decode({ model: 'm', input: 'a', stream: true })).code, 'unsupported')
  })
})
