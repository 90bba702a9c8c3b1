import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject, StreamEvent } from '../../core/contract/canonical.ts'
import { responses } from '../../core/dialects/responses.ts'
import { checkResponse, checkStream, recordsOf } from '../open-responses.ts'
import { contextOf, failure, finish, streamed, whole } from './responses-exchange.ts'

describe('answers of the Responses API', () => {
  it('text', () => {
    const events: StreamEvent[] = [
      { type: 'start', model: 'gpt-5-2025' },
      { type: 'text', text: 'Hel' },
      { type: 'text', text: 'lo' },
      finish,
    ]
    const stream = streamed(events)
    const final = checkStream(stream)
    assert.deepEqual(
      recordsOf(stream).map(({ event }) => event?.replace('response.', '')),
      [
        'created',
        'in_progress',
        'output_item.added',
        'content_part.added',
        'output_text.delta',
        'output_text.delta',
        'output_text.done',
        'content_part.done',
        'output_item.done',
        'completed',
        undefined,
      ],
    )
    assert.equal(final['model'], 'gpt-5-2025')
    assert.deepEqual(final['usage'], {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 15,
      cost: 0.00125,
      cost_details: { upstream_inference_cost: 0.001 },
      is_byok: false,
    })
  })

  it('the first piece goes out at once, the terminal event only at the end', () => {
    const writer = responses.writer(contextOf())
    assert.match(writer.push({ type: 'start' }), /response\.created/)
    assert.match(writer.push({ type: 'text', text: 'a' }), /"delta":"a"/)
    assert.match(writer.push(finish), /output_item\.done/)
    const end = writer.end({ usage: undefined, metadata: { attempts: 1 } })
    assert.match(end, /^event: response\.completed\n/)
    assert.match(end, /"hadrian_metadata":\{"attempts":1\}/)
    assert.match(end, /data: \[DONE\]\n\n$/)
  })

  it('the request is echoed in the shape of the schema', () => {
    const body = {
      model: 'gpt-5',
      input: 'Hi',
      instructions: 'Be brief.',
      tools: [{ type: 'function', name: 'f' }, { type: 'web_search' }],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
      text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' } }, verbosity: 'low' },
      reasoning: { effort: 'minimal' },
      max_tool_calls: 4,
      truncation: 'auto',
      temperature: 0,
      store: true,
      metadata: { a: 'b' },
    }
    const response = whole([{ type: 'text', text: 'Hi' }, finish], contextOf(body))
    checkResponse(response)
    const { tools, text, store, temperature, instructions, max_tool_calls: maxToolCalls } = response
    assert.deepEqual(tools, [
      { type: 'function', name: 'f', description: null, parameters: null, strict: null },
      { type: 'web_search' },
    ])
    assert.deepEqual(text, {
      format: { type: 'json_schema', name: 'x', description: null, schema: { type: 'object' }, strict: false },
      verbosity: 'low',
    })
    assert.deepEqual([store, temperature, instructions, maxToolCalls], [false, 0, 'Be brief.', 4])
  })

  it('interleaved parallel calls keep their own arguments', () => {
    const events: StreamEvent[] = [
      { type: 'tool_call', index: 0, id: 'call_a', name: 'f' },
      { type: 'tool_call', index: 0, arguments: '{"a"' },
      { type: 'tool_call', index: 1, id: 'call_b', name: 'g', custom: true },
      { type: 'tool_call', index: 1, arguments: 'ls' },
      { type: 'tool_call', index: 0, arguments: ':1}' },
      { type: 'tool_call', index: 1, arguments: ' -l' },
      { type: 'finish', reason: 'tool_calls' },
    ]
    const { output, status } = checkStream(streamed(events))
    assert.equal(status, 'completed')
    assert.deepEqual(output, [
      {
        id: 'fc_ex1_0',
        type: 'function_call',
        status: 'completed',
        call_id: 'call_a',
        name: 'f',
        arguments: '{"a":1}',
      },
      { id: 'ctc_ex1_1', type: 'custom_tool_call', status: 'completed', call_id: 'call_b', name: 'g', input: 'ls -l' },
    ])
  })

  for (const [reason, detail] of [
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
  ] as const) {
    it(`an answer that ends by ${reason} is incomplete`, () => {
      const events: StreamEvent[] = [
        { type: 'reasoning', text: 'Hm', block: 0 },
        { type: 'text', text: 'On', block: 1 },
        { type: 'finish', reason },
      ]
      const final = checkStream(streamed(events))
      assert.equal(final['status'], 'incomplete')
      assert.deepEqual(final['incomplete_details'], { reason: detail })
      const statuses = (final['output'] as JsonObject[]).map(({ status }) => status)
      assert.deepEqual(statuses, ['completed', 'incomplete'])
    })
  }

  it('refusals, annotations, logprobs, hosted tools and images', () => {
    const citation = { type: 'url_citation', url: 'https://example.com', title: 'E', start_index: 0, end_index: 2 }
    const { type: _, ...nested } = citation
    const logprob = { token: 'Hi', logprob: -1, bytes: null, top_logprobs: [{ token: 'Hi', logprob: -1, bytes: null }] }
    const events: StreamEvent[] = [
      {
        type: 'part',
        part: {
          type: 'native',
          dialect: 'responses',
          value: { type: 'web_search_call', id: 'ws_1', status: 'completed', action: {} },
        },
      },
      { type: 'text', text: 'Hi', block: 0, logprobs: [logprob] },
      { type: 'part', part: { type: 'native', dialect: 'responses', value: citation } },
      {
        type: 'part',
        part: { type: 'native', dialect: 'chat', value: { type: 'url_citation', url_citation: nested } },
      },
      { type: 'text', text: 'No.', block: 1, refusal: true },
      { type: 'part', part: { type: 'media', kind: 'image', mediaType: 'image/png', data: 'AA==' } },
      { type: 'part', part: { type: 'media', kind: 'audio', mediaType: 'audio/wav', data: 'AA==' } },
      finish,
    ]
    const { output } = checkStream(streamed(events))
    const wholeLogprob = { token: 'Hi', logprob: -1, bytes: [] }
    assert.deepEqual(output, [
      { type: 'web_search_call', id: 'ws_1', status: 'completed', action: {} },
      {
        id: 'msg_ex1_1',
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [
          {
            type: 'output_text',
            text: 'Hi',
            annotations: [citation, citation],
            logprobs: [{ ...wholeLogprob, top_logprobs: [wholeLogprob] }],
          },
          { type: 'refusal', refusal: 'No.' },
        ],
      },
      { type: 'image_generation_call', id: 'ig_ex1_2', status: 'completed', result: 'AA==' },
      {
        type: 'hadrian:media',
        id: 'ig_ex1_3',
        status: 'completed',
        kind: 'audio',
        media_type: 'audio/wav',
        data: 'AA==',
      },
    ])
    assert.deepEqual(whole(events)['output'], output)
  })

  it('a failure gives an error event and response.failed, and no [DONE]', () => {
    const writer = responses.writer(contextOf())
    const begun = writer.push({ type: 'start' }) + writer.push({ type: 'text', text: 'Half' })
    const final = checkStream(begun + writer.fail(failure))
    assert.deepEqual(final['error'], { code: 'provider_error', message: failure.message })
    checkStream(responses.writer(contextOf()).fail(failure))
  })
})
