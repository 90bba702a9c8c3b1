import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerateRequest, JsonObject } from '../../core/contract/canonical.ts'
import { answerOf } from '../../core/contract/answer.ts'
import { chat as chatDialect } from '../../core/dialects/chat.ts'
import { responses } from '../../core/dialects/responses.ts'
import { encodeResponses } from '../../providers/openai/responses-encode.ts'
import { responsesPass } from '../../providers/openai/responses-passthrough.ts'
import { checkStream } from '../open-responses.ts'
import { decodeStream, output, recordsFor } from './openai-responses-records.ts'

const target = { provider: 'openai', model: 'gpt-5', name: 'openai/gpt-5', requested: 'gpt-5' }

const chat: GenerateRequest = {
  operation: 'generate',
  dialect: 'chat',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
  stream: false,
  extra: {},
}

describe('requests of chat clients', () => {
  it('turns, tools, formats and media', () => {
    const own = 'openai-responses-v1'
    const { body, warnings } = encodeResponses(
      {
        ...chat,
        stream: true,
        messages: [
          { role: 'system', content: [{ type: 'text', text: 'Be brief.' }], form: 'text', extra: { x: 1 } },
          { role: 'developer', content: [{ type: 'text', text: 'In verse.' }] },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Look', cacheControl: { type: 'ephemeral' } },
              { type: 'media', kind: 'image', url: 'https://example.com/a.png', detail: 'low' },
              { type: 'media', kind: 'file', mediaType: 'application/pdf', data: 'JVBE', filename: 'a.pdf' },
              { type: 'media', kind: 'audio', mediaType: 'audio/mpeg', data: 'SUQz' },
            ],
          },
          {
            role: 'assistant',
            content: [
              { type: 'reasoning', summary: 'Hm', id: 'rs_1', format: own },
              { type: 'reasoning', encrypted: 'gAAA', id: 'rs_1', format: own },
              { type: 'text', text: 'Calling' },
              { type: 'tool_call', id: 'call_1', name: 'f', arguments: '{}' },
              { type: 'tool_call', id: 'call_2', name: 'g', arguments: 'x', custom: true },
            ],
            extra: { id: 'not ours' },
          },
          {
            role: 'tool',
            content: [{ type: 'tool_result', toolCallId: 'call_1', content: [{ type: 'text', text: '1' }] }],
          },
          {
            role: 'tool',
            content: [
              {
                type: 'tool_result',
                toolCallId: 'call_2',
                custom: true,
                content: [
                  { type: 'text', text: '2' },
                  { type: 'media', kind: 'image', mediaType: 'image/png', data: 'AA==' },
                ],
              },
            ],
          },
        ],
        tools: [
          { type: 'function', name: 'f', parameters: { type: 'object' }, extra: { y: 1 } },
          { type: 'function', name: 'h' },
          {
            type: 'native',
            dialect: 'chat',
            value: {
              type: 'custom',
              custom: { name: 'g', format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'd' } } },
            },
          },
        ],
        toolChoice: { allowed: [{ type: 'function', function: { name: 'f' } }], mode: 'required' },
        responseFormat: { type: 'json_schema', name: 'x', schema: { type: 'object' }, strict: true },
        verbosity: 'low',
        reasoning: { effort: 'low' },
        logprobs: true,
        topLogprobs: 2,
        maxOutputTokens: 100,
        extra: { prompt_cache_retention: '24h' },
      },
      target,
    )
    assert.deepEqual(warnings, [])
    assert.deepEqual(body, {
      model: 'gpt-5',
      stream: true,
      store: false,
      input: [
        { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Be brief.' }] },
        { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'In verse.' }] },
        {
          type: 'message',
          role: 'user',
          content: [
            { type: 'input_text', text: 'Look' },
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'low' },
            { type: 'input_file', file_data: 'data:application/pdf;base64,JVBE', filename: 'a.pdf' },
            { type: 'input_audio', input_audio: { data: 'SUQz', format: 'mp3' } },
          ],
        },
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'Hm' }], encrypted_content: 'gAAA' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Calling' }] },
        { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' },
        { type: 'custom_tool_call', call_id: 'call_2', name: 'g', input: 'x' },
        { type: 'function_call_output', call_id: 'call_1', output: '1' },
        {
          type: 'custom_tool_call_output',
          call_id: 'call_2',
          output: [
            { type: 'input_text', text: '2' },
            { type: 'input_image', image_url: 'data:image/png;base64,AA==' },
          ],
        },
      ],
      tools: [
        { type: 'function', name: 'f', parameters: { type: 'object' }, strict: false },
        { type: 'function', name: 'h', parameters: null, strict: false },
        { type: 'custom', name: 'g', format: { type: 'grammar', syntax: 'lark', definition: 'd' } },
      ],
      tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'f' }] },
      text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' }, strict: true }, verbosity: 'low' },
      reasoning: { effort: 'low' },
      include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
      top_logprobs: 2,
      max_output_tokens: 100,
      prompt_cache_retention: '24h',
    })
  })

  it('what has no equivalent is a warning each, and is not sent', () => {
    const { body, warnings } = encodeResponses(
      {
        ...chat,
        messages: [
          {
            role: 'assistant',
            content: [
              { type: 'reasoning', text: 'Hm', signature: 's', format: 'anthropic-claude-v1' },
              { type: 'native', dialect: 'chat', value: { type: 'odd' } },
            ],
          },
        ],
        n: 2,
        stop: ['x'],
        seed: 1,
        logitBias: { 1: 2 },
        frequencyPenalty: 1,
        presencePenalty: 1,
        topK: 4,
        minP: 0.1,
        maxOutputTokens: 5,
        store: true,
        reasoning: { maxTokens: 1000, extra: { mode: 'pro' } },
        extra: { prediction: {}, stream_options: { include_obfuscation: false }, usage: { include: true } },
      },
      target,
    )
    assert.deepEqual(warnings.map(({ param = '' }) => param).sort(), [
      'frequency_penalty',
      'logit_bias',
      'max_tokens',
      'messages',
      'messages',
      'min_p',
      'n',
      'prediction',
      'presence_penalty',
      'reasoning.max_tokens',
      'reasoning.mode',
      'seed',
      'stop',
      'store',
      'top_k',
    ])
    assert.deepEqual(body, {
      model: 'gpt-5',
      input: [],
      store: false,
      max_output_tokens: 16,
      reasoning: { effort: 'high' },
      include: ['reasoning.encrypted_content'],
    })
  })

  it('extensions are sent where the upstream takes them', () => {
    const request = { ...chat, topK: 4, minP: 0.1, reasoning: { maxTokens: 1000, exclude: true } }
    const { body, warnings } = encodeResponses(request, target, {
      extensions: new Set(['top_k', 'min_p', 'reasoning']),
      isOpenAi: false,
    })
    const { top_k: topK, min_p: minP, reasoning } = body
    assert.deepEqual([topK, minP, reasoning], [4, 0.1, { max_tokens: 1000, exclude: true }])
    assert.deepEqual(warnings, [])
  })

  it('an extension that the upstream lacks is a warning, for its own clients too', () => {
    const request = responses.decode({ input: 'Hi', repetition_penalty: 1.1, reasoning: { effort: 'max' }, odd: 1 })
    const { body, warnings } = encodeResponses(request, target)
    assert.deepEqual([body['repetition_penalty'], body['reasoning'], body['odd']], [undefined, { effort: 'high' }, 1])
    assert.deepEqual(
      warnings.map(({ code, param }) => `${code} ${param}`),
      ['unsupported_parameter repetition_penalty', 'adjusted_value reasoning.effort'],
    )
    const able = { extensions: new Set(['repetition_penalty', 'reasoning']), isOpenAi: false }
    const taken = encodeResponses(request, target, able)
    assert.deepEqual([taken.body['repetition_penalty'], taken.body['reasoning']], [1.1, { effort: 'max' }])
    assert.deepEqual(taken.warnings, [])
  })

  it('tools that the client wants none of are not sent', () => {
    const request = chatDialect.decode({
      model: 'x',
      messages: [{ role: 'user', content: 'Hi' }],
      tools: [{ type: 'function', function: { name: 'f' } }],
      tool_choice: 'none',
      parallel_tool_calls: true,
    })
    const { body } = encodeResponses(request, target)
    assert.deepEqual(Object.keys(body).toSorted(), ['include', 'input', 'model', 'store'])
  })

  it('thinking follows the model: encrypted wherever it thinks, left out with a warning where it does not', () => {
    assert.deepEqual(encodeResponses(chat, target).body['include'], ['reasoning.encrypted_content'])
    const plain = { ...target, model: 'gpt-4o' }
    assert.equal(encodeResponses(chat, plain).body['include'], undefined)
    const { body, warnings } = encodeResponses({ ...chat, reasoning: { effort: 'low' } }, plain)
    assert.deepEqual([body['reasoning'], body['include']], [undefined, undefined])
    assert.deepEqual(
      warnings.map(({ param }) => param),
      ['reasoning'],
    )
  })

  it('the same loss is told once, and the name of a function that answers is none', () => {
    const named = { role: 'user', content: [{ type: 'text', text: 'Hi' }], name: 'Ada' } as const
    const result = { type: 'tool_result', toolCallId: 'a', content: [{ type: 'text', text: '1' }] } as const
    const messages = [named, named, { role: 'tool', content: [result], name: 'f' } as const]
    assert.deepEqual(
      encodeResponses({ ...chat, messages }, target).warnings.map(({ param }) => param),
      ['messages.name'],
    )
  })

  it('thinking that is switched off asks for nothing encrypted', () => {
    for (const reasoning of [{ effort: 'none' as const }, { enabled: false }, { maxTokens: 0 }]) {
      const { body } = encodeResponses({ ...chat, reasoning }, target)
      assert.deepEqual([body['reasoning'], body['include']], [{ effort: 'none' }, undefined])
    }
  })

  it('thinking that the upstream would refuse is left out, and keeps the bytes from passing', () => {
    const seal = 'hadrian.reasoning.v1.' + Buffer.from('{"parts":[{"signature":"s"}]}').toString('base64url')
    const kept = { type: 'reasoning', id: 'rs_0', summary: [], encrypted_content: 'gAAA' }
    assert.equal(responsesPass(responses.decode({ input: [kept, { role: 'user', content: 'Hi' }] })), true)
    for (const item of [
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'Hm' }], encrypted_content: null },
      { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: seal },
    ]) {
      const request = responses.decode({ input: [kept, item] })
      assert.equal(responsesPass(request), false)
      const { body, warnings } = encodeResponses(request, target)
      assert.deepEqual(body['input'], [kept])
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['dropped_part'],
      )
    }
  })

  it('what a hook adds to a request of a Responses client is written too', () => {
    const request = responses.decode({ model: 'x', instructions: 'A', input: 'Hi' })
    const added: GenerateRequest = {
      ...request,
      messages: [
        ...request.messages,
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Wait' },
            { type: 'tool_call', id: 'call_1', name: 'f', arguments: '{}' },
          ],
        },
      ],
    }
    const { body } = encodeResponses(added, target)
    assert.equal(body['instructions'], 'A')
    assert.deepEqual(body['input'], [
      { role: 'user', content: 'Hi' },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Wait' }] },
      { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' },
    ])
  })
})

function bare(item: JsonObject): JsonObject {
  return { ...item, id: '', status: '' }
}

it('an answer of a Responses upstream, written for a client, can be sent back upstream as it came', () => {
  const events = decodeStream(recordsFor(output, () => true, false))
  const body = { model: 'x', input: 'Hi', include: ['reasoning.encrypted_content'] }
  const context = { exchangeId: 'ex', request: responses.decode(body), body, model: 'x', created: 1 }
  const writer = responses.writer(context)
  const stream = events.map((event) => writer.push(event)).join('') + writer.end({ usage: undefined })
  const answered = checkStream(stream)['output'] as JsonObject[]
  const { body: next, warnings } = encodeResponses(responses.decode({ input: answered }), target)
  assert.deepEqual(warnings, [])
  assert.deepEqual(next['input'], answered)
  assert.deepEqual(answered.map(bare), output.map(bare))
})

it('a chat client is served by a Responses upstream, and its next turn goes back there', () => {
  const question = { role: 'user', content: 'Weather in Oslo?' }
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  const body = { model: 'x', messages: [question], tools, reasoning_effort: 'low' }
  const request = chatDialect.decode(body)
  const sent = encodeResponses(request, target)
  assert.deepEqual(sent.warnings, [])
  assert.deepEqual(sent.body, {
    model: 'gpt-5',
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Weather in Oslo?' }] }],
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: false }],
    reasoning: { effort: 'low' },
    include: ['reasoning.encrypted_content'],
    store: false,
  })
  const [thought, , , call] = output
  const items = [{ ...thought, content: undefined }, call] as JsonObject[]
  const answer = answerOf(decodeStream(recordsFor(items, () => true, false)))
  const context = { exchangeId: 'ex', request, body, model: 'x', created: 1 }
  const reply = chatDialect.encode(answer, { usage: undefined }, context) as { choices: { message: JsonObject }[] }
  const result = { role: 'tool', tool_call_id: 'call_1', content: '3 degrees' }
  const next = chatDialect.decode({ ...body, messages: [question, reply.choices[0]?.message, result] })
  const { body: nextBody, warnings } = encodeResponses(next, target)
  assert.deepEqual(warnings, [])
  const { id: _, content: __, ...thinking } = thought ?? {}
  assert.deepEqual((nextBody['input'] as JsonObject[]).slice(1), [
    thinking,
    { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{"a":1}' },
    { type: 'function_call_output', call_id: 'call_1', output: '3 degrees' },
  ])
})
