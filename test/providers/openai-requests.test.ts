import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { GenerateRequest, JsonObject, Part } from '../../core/contract/provider.ts'
import { chat } from '../../core/dialects/chat.ts'
import { completions } from '../../core/dialects/completions.ts'
import { embeddings } from '../../core/dialects/embeddings.ts'
import { responses } from '../../core/dialects/responses.ts'
import { corpus, foreignRequest, instanceOf, permissive, targetOf, withoutNulls } from './openai-instance.ts'

const permissiveUpstream = await instanceOf(permissive)
const ownUpstream = await instanceOf({ api_key: 'sk' })
const chatOnly = await instanceOf({ dialects: ['chat'] })

function sent(request: GenerateRequest, upstream = permissiveUpstream, target = targetOf()) {
  const { wire, warnings } = upstream.encode(request, target)
  return { path: wire.path, body: wire.body as Record<string, any>, warnings }
}

function chatRequest(fields: JsonObject): GenerateRequest {
  return chat.decode({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...fields })
}

/** What must come out for a body of a chat client: itself, for another model, and always with usage in streams. */
function expectedOf(body: JsonObject): unknown {
  const stream = body['stream'] === true
  const options = { ...(body['stream_options'] as JsonObject | null), include_usage: true }
  return withoutNulls({ ...body, model: 'gpt-4o', ...(stream && { stream_options: options }) })
}

describe('a request for an upstream of the same dialect', () => {
  test('the corpus is varied', () => assert.ok(corpus('chat').length >= 40))

  for (const [name, body] of corpus('chat')) {
    test(`comes out as it went in: ${name}`, () => {
      const { body: written, warnings } = sent(chat.decode(body))
      assert.deepEqual(withoutNulls(JSON.parse(JSON.stringify(written))), expectedOf(body))
      assert.deepEqual(warnings, [])
    })
  }

  test('comes out as it went in, whatever it is made of', () => {
    const text = fc.string({ maxLength: 6, unit: 'binary' })
    const extra = fc.dictionary(
      fc.constantFrom('x_one', '__proto__', 'constructor', 'x_two'),
      fc.oneof(text, fc.integer(), fc.array(text)),
    )
    const mark = fc.option(fc.constant({ cache_control: { type: 'ephemeral' } }), { nil: {} })
    const dressed = (part: fc.Arbitrary<object>) =>
      fc.tuple(part, mark, extra).map(([fields, cache, more]) => ({ ...more, ...fields, ...cache }))
    const part = dressed(
      fc.oneof(
        fc.record({ type: fc.constant('text'), text }),
        fc.record({
          type: fc.constant('image_url'),
          image_url: fc.oneof(
            fc.record({ url: fc.webUrl(), detail: fc.constantFrom('low', 'auto') }),
            fc.record({ url: fc.base64String().map((data) => `data:image/png;base64,${data}`) }),
            extra.map((more) => ({ url: 'https://e.example', ...more })),
          ),
        }),
        fc.record({
          type: fc.constant('input_audio'),
          input_audio: fc.record({ data: fc.base64String(), format: text }),
        }),
        fc.record({ type: fc.constant('file'), file: fc.record({ file_id: text }) }),
        fc.record({ type: fc.constant('novelty'), novelty: extra }),
      ),
    )
    const content = fc.oneof(text, fc.array(part, { maxLength: 3 }))
    const detail = fc.oneof(
      fc.record({ type: fc.constant('reasoning.text'), text, signature: text, id: fc.option(text) }),
      fc.record({ type: fc.constant('reasoning.summary'), summary: text, format: text }),
      fc.record({ type: fc.constant('reasoning.encrypted'), data: text, id: text }),
    )
    const call = dressed(
      fc.record({
        type: fc.constant('function'),
        id: text,
        function: fc.record({ name: text, arguments: text }),
      }),
    )
    const message = fc.tuple(
      extra,
      fc.oneof(
        fc.record({ role: fc.constantFrom('system', 'developer', 'user'), content }),
        fc.record({ role: fc.constant('tool'), tool_call_id: text, content }),
        fc.record(
          {
            role: fc.constant('assistant'),
            content,
            refusal: text,
            reasoning_details: fc.array(detail, { minLength: 1, maxLength: 3 }),
            tool_calls: fc.array(call, { minLength: 1, maxLength: 3 }),
          },
          { requiredKeys: ['role'] },
        ),
      ),
    )
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), extra, (pairs, more) => {
        const messages = pairs.map(([fields, known]) => ({ ...fields, ...known }))
        const body = JSON.parse(JSON.stringify({ ...more, model: 'm', messages })) as JsonObject
        assert.deepEqual(withoutNulls(sent(chat.decode(body)).body), expectedOf(body))
      }),
      { numRuns: 300 },
    )
  })

  test('survives an edit of its text', () => {
    const request = chatRequest({ x_future: 1 })
    const [message] = request.messages
    assert.ok(message)
    const edited = { ...request, messages: [{ ...message, content: [{ type: 'text', text: 'Bye' } as const] }] }
    const { body } = sent(edited)
    assert.deepEqual([body['messages'], body['x_future']], [[{ role: 'user', content: 'Bye' }], 1])
  })

  test('never passes on what the gateway serves itself', () => {
    const { body } = sent(chatRequest({ models: ['a', 'b'], provider: { order: ['x'] }, plugins: [{ id: 'web' }] }))
    assert.deepEqual(Object.keys(body).toSorted(), ['messages', 'model'])
  })

  test('carries the fields of completions and embeddings', () => {
    const completion = { model: 'm', prompt: ['a', 'b'], max_tokens: 4, echo: true, stop: 'x', n: 2, logprobs: 3 }
    const one = sent(completions.decode(completion))
    assert.deepEqual([one.path, one.body], ['/completions', { ...completion, model: 'gpt-4o' }])
    const embedding = { model: 'm', input: [[1, 2]], encoding_format: 'base64', user: 'u' }
    const two = sent(embeddings.decode(embedding))
    assert.deepEqual([two.path, two.body], ['/embeddings', { ...embedding, model: 'gpt-4o' }])
  })
})

describe('fields that OpenAI does not take', () => {
  const warned = (fields: JsonObject, model?: string) => {
    const { body, warnings } = sent(chatRequest(fields), ownUpstream, targetOf(model))
    return [body, warnings.map(({ code, param }) => `${code} ${param}`)] as const
  }

  test('become reasoning_effort, by effort, budget or switch', () => {
    const effort = (reasoning: JsonObject, fields: JsonObject = {}) =>
      warned({ reasoning, ...fields }, 'gpt-5')[0]['reasoning_effort']
    assert.equal(effort({ effort: 'low' }), 'low')
    assert.equal(effort({ effort: 'max' }), 'high')
    assert.equal(effort({ max_tokens: 2000 }), 'low')
    assert.equal(effort({ max_tokens: 2000 }, { max_tokens: 2500 }), 'high')
    assert.equal(effort({ enabled: true }), 'medium')
    assert.equal(effort({ enabled: false }), 'none')
    assert.equal(effort({ exclude: true }), undefined)
    assert.deepEqual(warned({ reasoning: { max_tokens: 2000 } }, 'o3')[1], ['adjusted_value reasoning.max_tokens'])
  })

  test('are left out with a warning where the model does not reason', () => {
    const [body, warnings] = warned({ reasoning: { effort: 'high' } }, 'gpt-4o')
    assert.equal(body['reasoning_effort'], undefined)
    assert.deepEqual(warnings, ['unsupported_parameter reasoning'])
  })

  test('are left out with a warning: top_k, min_p and the like', () => {
    const [body, warnings] = warned({ top_k: 1, min_p: 0.1, top_a: 0.1, usage: { include: true } })
    assert.deepEqual(Object.keys(body).toSorted(), ['messages', 'model'])
    assert.deepEqual(
      warnings.toSorted(),
      ['min_p', 'top_a', 'top_k'].map((name) => `unsupported_parameter ${name}`),
    )
  })

  test('max_tokens is renamed for reasoning models, and for servers that know one name only', async () => {
    assert.equal(warned({ max_tokens: 9 }, 'o3-mini')[0]['max_completion_tokens'], 9)
    assert.equal(warned({ max_tokens: 9 }, 'gpt-4o')[0]['max_tokens'], 9)
    const local = await instanceOf({ base_url: 'http://127.0.0.1:9/v1' })
    assert.equal(sent(chatRequest({ max_completion_tokens: 9 }), local).body['max_tokens'], 9)
    const both = sent(chatRequest({ max_completion_tokens: 9, max_tokens: 5 }), local).body
    assert.deepEqual([both['max_tokens'], both['max_completion_tokens']], [9, undefined])
  })

  test('reasoning of earlier turns is left out with a warning, cache marks without one', () => {
    const messages = [
      {
        role: 'assistant',
        content: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }],
        reasoning: 'h',
        reasoning_details: [{ type: 'reasoning.text', text: 'h', signature: 's', index: 0 }],
      },
    ]
    const [body, warnings] = warned({ messages })
    assert.deepEqual(body['messages'], [{ role: 'assistant', content: [{ type: 'text', text: 'x' }] }])
    assert.deepEqual(warnings, ['dropped_part messages'])
  })
})

describe('passthrough', () => {
  const passes = (fields: JsonObject, model = 'gpt-4o', upstream = ownUpstream) =>
    upstream.capabilities.passes?.(chatRequest(fields), targetOf(model))

  test('is refused exactly where something must be mapped', () => {
    assert.equal(passes({ x_future: 1, temperature: 1, max_tokens: 3 }), true)
    assert.equal(passes({ max_tokens: 3 }, 'gpt-5-mini'), false)
    assert.equal(passes({ max_completion_tokens: 3 }, 'gpt-5-mini'), true)
    assert.equal(passes({ max_completion_tokens: 3, max_tokens: 2 }), false)
    assert.equal(passes({ reasoning_effort: 'low' }, 'o3'), true)
    assert.equal(passes({ reasoning: { effort: 'low' } }, 'o3'), false)
    assert.equal(passes({ top_k: 1 }), false)
    assert.equal(passes({ usage: { include: true } }), true)
    const marked = [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }]
    assert.equal(passes({ messages: [{ role: 'tool', tool_call_id: 'c', content: marked }] }), false)
    assert.equal(passes({ messages: [{ role: 'assistant', content: 'x', reasoning: 'y' }] }), false)
  })

  test('follows the quirks of the upstream', async () => {
    const ollama = await instanceOf({ ollama_host: '0.0.0.0', tool_choice: false, include_usage: false })
    assert.equal(ollama.baseUrl, 'http://127.0.0.1:11434/v1')
    assert.equal(passes({}, 'm', ollama), true)
    assert.equal(passes({ stream: true }, 'm', ollama), false)
    assert.equal(passes({ tools: [], tool_choice: 'none' }, 'm', ollama), false)
    assert.equal(passes({ messages: [{ role: 'developer', content: 'x' }] }, 'm', ollama), false)
    assert.equal(passes({ max_completion_tokens: 1 }, 'm', ollama), false)
    const streamed = sent(chatRequest({ stream: true, stream_options: { include_usage: true } }), ollama).body
    assert.deepEqual([streamed['stream'], streamed['stream_options']], [true, undefined])
  })
})

test('several choices come of one call only where chat or completions make them', async () => {
  for (const [dialects, choices] of [
    [['responses'], false],
    [['responses', 'chat'], true],
    [['completions'], true],
  ] as const) {
    assert.equal((await instanceOf({ dialects })).capabilities.choices, choices)
  }
})

describe('a request of a Responses client', () => {
  const weather = { type: 'function', name: 'f', parameters: { type: 'object' } } as const
  const call = (id: string): Part => ({ type: 'tool_call', id, name: 'f', arguments: '{}' })
  const result = (toolCallId: string, content: readonly Part[]): Part => ({ type: 'tool_result', toolCallId, content })
  const text = (value: string): Part => ({ type: 'text', text: value })

  test('becomes turns, with media of tool results in a user message', async () => {
    const local = await instanceOf({ base_url: 'http://127.0.0.1:9/v1' })
    const { path, body, warnings } = sent(
      foreignRequest({
        messages: [
          { role: 'developer', content: [text('Rules')] },
          { role: 'user', content: [text('Go')] },
          { role: 'assistant', content: [{ type: 'reasoning', encrypted: 'e', id: 'rs' }] },
          { role: 'assistant', content: [text('Let '), text('me')] },
          { role: 'assistant', content: [call('a')] },
          { role: 'assistant', content: [call('b')] },
          {
            role: 'tool',
            content: [result('a', [text('1'), { type: 'media', kind: 'image', url: 'https://i.example' }])],
          },
          { role: 'tool', content: [result('b', [text('2')])] },
        ],
        tools: [weather, { type: 'native', dialect: 'responses', value: { type: 'web_search' } }],
        toolChoice: { allowed: [{ type: 'function', name: 'f' }], mode: 'auto' },
        maxOutputTokens: 5,
        stream: true,
        extra: { max_tool_calls: 3, truncation: 'auto' },
      }),
      local,
    )
    assert.equal(path, '/chat/completions')
    const toolCall = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
    assert.deepEqual(body, {
      model: 'gpt-4o',
      messages: [
        { role: 'system', content: 'Rules' },
        { role: 'user', content: 'Go' },
        { role: 'assistant', content: 'Let me', tool_calls: [toolCall('a'), toolCall('b')] },
        { role: 'tool', tool_call_id: 'a', content: '1\nSee the next user message.' },
        { role: 'tool', tool_call_id: 'b', content: '2' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Output of tool call a:' },
            { type: 'image_url', image_url: { url: 'https://i.example' } },
          ],
        },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'f' } }] },
      },
      max_tokens: 5,
      stream: true,
      stream_options: { include_usage: true },
    })
    assert.deepEqual(warnings.map(({ code, param }) => `${code} ${param}`).toSorted(), [
      'adjusted_value messages',
      'dropped_part messages',
      'dropped_tool tools',
      'unsupported_parameter max_tool_calls',
      'unsupported_parameter truncation',
    ])
  })

  test('loses whole messages of which nothing is left', () => {
    const native = (role: 'assistant' | 'tool', type: string) =>
      ({ role, content: [{ type: 'native', dialect: 'responses', value: { type } }], form: 'item' }) as const
    const { body, warnings } = sent(
      foreignRequest({
        messages: [
          { role: 'user', content: [text('Go')] },
          native('assistant', 'item_reference'),
          native('tool', 'computer_call_output'),
          { role: 'assistant', content: [{ type: 'reasoning', encrypted: 'e', format: 'openai-responses-v1' }] },
          { role: 'user', content: [text('')] },
        ],
      }),
      chatOnly,
    )
    assert.deepEqual(body['messages'], [
      { role: 'user', content: 'Go' },
      { role: 'user', content: '' },
    ])
    assert.equal(warnings.length, 3)
  })

  test('asks for the probabilities of tokens where the client names how many, or includes them', () => {
    const asked = (fields: JsonObject) => {
      const { body } = sent(responses.decode({ input: 'Hi', ...fields }), chatOnly)
      return [body['logprobs'], body['top_logprobs']]
    }
    assert.deepEqual(asked({ top_logprobs: 2 }), [true, 2])
    assert.deepEqual(asked({ include: ['message.output_text.logprobs'] }), [true, undefined])
    assert.deepEqual(asked({ top_logprobs: 0 }), [undefined, undefined])
  })

  test('takes extensions of the upstream, and says nothing of what asks for nothing', async () => {
    const able = await instanceOf({ ...permissive, dialects: ['chat'] })
    const harmless = { truncation: 'disabled', include: ['reasoning.encrypted_content'], text: {}, background: false }
    const { body, warnings } = sent(responses.decode({ input: 'Hi', repetition_penalty: 1.1, ...harmless }), able)
    assert.equal(body['repetition_penalty'], 1.1)
    assert.deepEqual(warnings, [])
  })

  test('goes to the native API where there is one', () => {
    const request = foreignRequest({ messages: [{ role: 'user', content: [text('Go')] }] })
    assert.equal(sent(request, ownUpstream).path, '/responses')
  })

  test('sends no tools with tool_choice none', () => {
    const { body } = sent(foreignRequest({ tools: [weather], toolChoice: 'none' }))
    assert.deepEqual([body['tools'], body['tool_choice']], [undefined, undefined])
  })

  test('gives reasoning back where the upstream takes details', async () => {
    const router = await instanceOf({ ...permissive, reasoning_history: 'reasoning_details' })
    const reasoning: Part = { type: 'reasoning', summary: 'S', encrypted: 'e', id: 'rs', format: 'openai-responses-v1' }
    const { body } = sent(
      foreignRequest({ messages: [{ role: 'assistant', content: [reasoning, text('x')] }] }),
      router,
    )
    const common = { id: 'rs', format: 'openai-responses-v1' }
    assert.deepEqual(body['messages'][0].reasoning_details, [
      { type: 'reasoning.summary', summary: 'S', ...common, index: 0 },
      { type: 'reasoning.encrypted', data: 'e', ...common, index: 1 },
    ])
  })
})
