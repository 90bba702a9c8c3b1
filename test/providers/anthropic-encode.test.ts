import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'

import { answerOf, type GenerateRequest, type JsonObject, type Message, type Part } from '@hadrian/core/provider'

import { responses } from '../../core/dialects/responses.ts'
import { anthropicProvider, recordsOf, requestOf, stream, targetOf, wire } from './anthropic-upstream.ts'

const provider = await anthropicProvider()

interface Body extends JsonObject {
  readonly max_tokens: number
  readonly system?: readonly JsonObject[]
  readonly messages: readonly { readonly role: string; readonly content: readonly JsonObject[] }[]
  readonly tools?: readonly JsonObject[]
}

function encode(
  fields: Partial<GenerateRequest>,
  model = 'claude-sonnet-4-5',
  limits: { maxOutputTokens?: number } = {},
  encoder = provider,
): { body: Body; headers: Readonly<Record<string, string>>; warnings: readonly (string | undefined)[] } {
  const { wire, warnings } = encoder.encode(requestOf(fields), targetOf(model, limits))
  return {
    body: wire.body as Body,
    headers: wire.headers,
    warnings: warnings.map(({ code, param }) => `${code} ${param}`),
  }
}

const text = (text: string): Part => ({ type: 'text', text })
const user = (...content: Part[]): Message => ({ role: 'user', content })
const assistant = (...content: Part[]): Message => ({ role: 'assistant', content })
const result = (toolCallId: string, ...content: Part[]): Message => ({
  role: 'tool',
  content: [{ type: 'tool_result', toolCallId, content }],
})

const planBudget = (maxTokens: number, maxOutputTokens?: number, ceiling?: number) => {
  const limits = ceiling === undefined ? {} : { maxOutputTokens: ceiling }
  const { body, warnings } = encode({ reasoning: { maxTokens }, maxOutputTokens }, 'claude-sonnet-4-5', limits)
  return [body.max_tokens, (body['thinking'] as JsonObject | undefined)?.['budget_tokens'], warnings.length]
}

const planEffort = (reasoning: GenerateRequest['reasoning'], model: string) => {
  const { body, warnings } = encode({ reasoning, maxOutputTokens: 10_000 }, model)
  return [body['thinking'], body['output_config'], warnings.length]
}

const corpus = new URL('../fixtures/requests/canonical/', import.meta.url)
const golden = new URL('../fixtures/golden/anthropic/', import.meta.url)

describe('anthropic encoder', () => {
  for (const file of readdirSync(corpus)) {
    const { description, model, request } = JSON.parse(readFileSync(new URL(file, corpus), 'utf8')) as {
      description: string
      model: string
      request: GenerateRequest
    }
    it(`${file}: ${description}`, () => {
      const { wire, warnings } = provider.encode(request, targetOf(model))
      const actual = {
        headers: wire.headers,
        body: wire.body,
        warnings: warnings.map(({ code, param, message }) => `${code} | ${param} | ${message}`),
      }
      assert.deepEqual(actual, JSON.parse(readFileSync(new URL(file, golden), 'utf8')))
      assert.equal(wire.path, '/v1/messages')
    })
  }

  it('restores exactly the thinking that its own decoder gave, before the calls it led to', () => {
    const content = [
      { type: 'thinking', thinking: 'I must look\nit up. ', signature: 'EqQBCgIYAhIkZw==' },
      { type: 'redacted_thinking', data: 'EmwKAhgBEgy3' },
      { type: 'text', text: 'Looking it up.' },
      { type: 'tool_use', id: 'toolu_1', name: 'find', input: { query: 'x', deep: { list: [1, null] } } },
      { type: 'tool_use', id: 'toolu_2', name: 'find', input: {} },
    ]
    const body = {
      type: 'message',
      id: 'msg_1',
      model: 'claude-sonnet-4-5',
      role: 'assistant',
      content,
      stop_reason: 'tool_use',
      usage: { input_tokens: 1, output_tokens: 1 },
    }
    const answers = [provider.decode(body, wire), stream(provider, recordsOf(body))].map((events) => answerOf(events))
    for (const answer of answers) {
      const parts = answer.choices[0]!.content
      const loop = { tools: [{ type: 'function', name: 'find' }], reasoning: { effort: 'low' } } as const
      const shapes = [
        [assistant(...parts)],
        // A Responses client sends every block as a message of its own.
        parts.map((part) => assistant(part)),
      ]
      for (const messages of shapes) {
        const results = [result('toolu_1', text('1')), result('toolu_2', text('2'))]
        const encoded = encode({ ...loop, messages: [user(text('?')), ...messages, ...results] })
        assert.deepEqual(encoded.body.messages[1], { role: 'assistant', content })
        assert.deepEqual(encoded.body['thinking'], { type: 'enabled', budget_tokens: 1638 })
        assert.deepEqual(encoded.warnings, [])
      }
    }
  })

  it('restores thinking that the API did not show, and a summary in the place of its text', () => {
    const hidden: Part = { type: 'reasoning', signature: 's', format: 'anthropic-claude-v1' }
    const summed: Part = { type: 'reasoning', summary: 'short', signature: 's', format: 'unknown' }
    const { body } = encode({ messages: [user(text('a')), assistant(hidden, summed, text('b')), user(text('c'))] })
    assert.deepEqual(body.messages[1]?.content, [
      { type: 'thinking', thinking: '', signature: 's' },
      { type: 'thinking', thinking: 'short', signature: 's' },
      { type: 'text', text: 'b' },
    ])
  })

  it('joins thinking that came back in pieces, and no two blocks', () => {
    const format = 'anthropic-claude-v1'
    const pieces: Part[] = [
      { type: 'reasoning', text: 'a', format },
      { type: 'reasoning', text: 'b', format },
      { type: 'reasoning', signature: 's1', format },
      { type: 'reasoning', text: 'c', format },
      { type: 'reasoning', text: 'd', signature: 's2', format },
      { type: 'reasoning', encrypted: 'e', format },
    ]
    const { body, warnings } = encode({ messages: [user(text('?')), assistant(...pieces, text('!')), user(text('?'))] })
    assert.deepEqual(body.messages[1]?.content.slice(0, -1), [
      { type: 'thinking', thinking: 'ab', signature: 's1' },
      { type: 'thinking', thinking: 'd', signature: 's2' },
      { type: 'redacted_thinking', data: 'e' },
    ])
    assert.deepEqual(warnings, ['dropped_part messages'])
  })

  it('puts thinking first, except in a verbatim turn of server-side tools', () => {
    const thought: Part = { type: 'reasoning', text: 't', signature: 's', format: 'anthropic-claude-v1' }
    const block = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }
    const server: Part = { type: 'native', dialect: 'anthropic-messages', value: block }
    const types = (...parts: Part[]) =>
      encode({ messages: [user(text('a')), assistant(...parts), user(text('c'))] }).body.messages[1]?.content.map(
        (block) => block['type'],
      )
    assert.deepEqual(types(text('b'), thought, text('c')), ['thinking', 'text', 'text'])
    assert.deepEqual(types(text('b'), server, thought, text('c')), ['text', 'server_tool_use', 'thinking', 'text'])
  })

  it('drops thinking that nothing follows or that has no signature', () => {
    const thought: Part = { type: 'reasoning', text: 't', signature: 's', format: 'anthropic-claude-v1' }
    const { body, warnings } = encode({
      messages: [
        user(text('a')),
        assistant(text('b'), { type: 'reasoning', text: 'bare' }),
        user(text('c')),
        assistant(thought),
      ],
    })
    assert.deepEqual(
      body.messages.map((message) => message.content.length),
      [1, 1, 1],
    )
    assert.deepEqual(warnings, ['dropped_part messages', 'dropped_part messages'])
  })

  it('passes native parts and tools of its own dialect', () => {
    const tool = { type: 'web_search_20250305', name: 'web_search', max_uses: 2 }
    const document = { type: 'document', source: { type: 'url', url: 'https://x/y.pdf' }, citations: { enabled: true } }
    const { body, warnings } = encode({
      messages: [user({ type: 'native', dialect: 'anthropic-messages', value: document })],
      tools: [{ type: 'native', dialect: 'anthropic-messages', value: tool }],
    })
    assert.deepEqual(body.messages[0]?.content, [document])
    assert.deepEqual(body.tools, [tool])
    assert.deepEqual(warnings, [])
  })

  it('turns a conversation of prompts alone into one with a user message', () => {
    const { body, warnings } = encode({ messages: [{ role: 'system', content: [text('a'), text('b')] }] })
    assert.deepEqual(body.system, [{ type: 'text', text: 'a' }])
    assert.deepEqual(body.messages, [{ role: 'user', content: [{ type: 'text', text: 'b' }] }])
    assert.deepEqual(warnings, ['adjusted_value messages'])
  })

  it('chooses tools in every way a client can', () => {
    const tools = ['a', 'b'].map((name) => ({ type: 'function', name }) as const)
    const choose = (toolChoice: GenerateRequest['toolChoice'], parallelToolCalls?: boolean) => {
      const { body } = encode({ tools, toolChoice, parallelToolCalls })
      return [body['tool_choice'], body.tools?.length]
    }
    assert.deepEqual(choose(undefined), [undefined, 2])
    assert.deepEqual(choose(undefined, false), [{ type: 'auto', disable_parallel_tool_use: true }, 2])
    assert.deepEqual(choose('auto', true), [{ type: 'auto' }, 2])
    assert.deepEqual(choose('required', false), [{ type: 'any', disable_parallel_tool_use: true }, 2])
    assert.deepEqual(choose({ name: 'b' }, false), [{ type: 'tool', name: 'b', disable_parallel_tool_use: true }, 2])
    assert.deepEqual(choose('none', false), [undefined, undefined])
    const allowed = [{ type: 'function', name: 'b' }]
    assert.deepEqual(choose({ allowed, mode: 'required' }), [{ type: 'any' }, 1])
    assert.deepEqual(choose({ allowed: [{ type: 'function', function: { name: 'a' } }], mode: 'auto' }), [
      { type: 'auto' },
      1,
    ])
    assert.deepEqual(encode({ toolChoice: 'required' }).warnings, ['unsupported_parameter tool_choice'])
  })

  it('keeps temperature off a thinking model, and top_p below its floor', () => {
    const thinking = encode({ reasoning: { effort: 'low' }, temperature: 0.3, topK: 5, topP: 0.5 })
    assert.deepEqual(
      [thinking.body['temperature'], thinking.body['top_k'], thinking.body['top_p']],
      [undefined, undefined, undefined],
    )
    assert.deepEqual(thinking.warnings, [
      'unsupported_parameter temperature',
      'unsupported_parameter top_k',
      'unsupported_parameter top_p',
    ])
    const defaults = encode({ reasoning: { effort: 'low' }, temperature: 1, topP: 0.97 })
    assert.deepEqual([defaults.body['top_p'], defaults.warnings], [0.97, []])
    const older = encode({ temperature: 0.3, topP: 0.5 }, 'claude-3-5-haiku-20241022')
    assert.deepEqual([older.body['temperature'], older.body['top_p'], older.warnings], [0.3, 0.5, []])
  })

  it('spells warnings as the client does', () => {
    const fields = {
      temperature: 2,
      verbosity: 'low',
      responseFormat: { type: 'json_object' },
      maxOutputTokens: 9000,
      messages: [user(text('a'), { type: 'media', kind: 'video', url: 'https://x/y' })],
    } as const
    assert.deepEqual(encode({ dialect: 'responses', ...fields }, 'm', { maxOutputTokens: 5000 }).warnings, [
      'dropped_part input',
      'adjusted_value text.format',
      'adjusted_value max_output_tokens',
      'unsupported_parameter text.verbosity',
      'adjusted_value temperature',
    ])
    assert.deepEqual(encode(fields, 'm', { maxOutputTokens: 5000 }).warnings, [
      'dropped_part messages',
      'adjusted_value response_format',
      'adjusted_value max_completion_tokens',
      'unsupported_parameter verbosity',
      'adjusted_value temperature',
    ])
  })

  it('takes the output limit from the client, else the catalog, else the option', async () => {
    assert.equal(encode({ maxOutputTokens: 5 }).body.max_tokens, 5)
    assert.equal(encode({}, 'm', { maxOutputTokens: 64_000 }).body.max_tokens, 64_000)
    assert.equal(encode({}).body.max_tokens, 8192)
    const own = await anthropicProvider({ default_max_tokens: 99 })
    assert.equal(encode({}, 'm', {}, own).body.max_tokens, 99)
  })

  const budgets = { max: 9500, xhigh: 9500, high: 8000, medium: 5000, low: 2000, minimal: 1024 } as const
  for (const [effort, budget] of Object.entries(budgets)) {
    it(`spends ${budget} of 10000 tokens on effort ${effort}`, () => {
      const { body } = encode({ reasoning: { effort: effort as keyof typeof budgets }, maxOutputTokens: 10_000 })
      assert.deepEqual([body.max_tokens, body['thinking']], [10_000, { type: 'enabled', budget_tokens: budget }])
    })
  }

  it('warns of what a client asks for in fields of its dialect, and of nothing that asks for nothing', () => {
    const lost = (dialect: 'chat' | 'responses', fields: Partial<GenerateRequest>) =>
      encode({ dialect, ...fields }).warnings
    const stored = { metadata: { a: 'b' }, store: true }
    assert.deepEqual(lost('chat', stored), ['unsupported_parameter metadata', 'unsupported_parameter store'])
    assert.deepEqual(lost('responses', stored), [])
    assert.deepEqual(lost('responses', { extra: { truncation: 'auto' } }), ['unsupported_parameter truncation'])
    assert.deepEqual(lost('responses', { extra: { truncation: 'disabled', text: {}, background: false } }), [])
    assert.deepEqual(lost('chat', { extra: { usage: { include: true }, max_tokens: 9 }, maxOutputTokens: 8 }), [])
    assert.deepEqual(lost('chat', { reasoning: { extra: { mode: 'pro' } } }), ['unsupported_parameter reasoning.mode'])
    const logprobs = responses.decode({ input: 'Hi', include: ['message.output_text.logprobs'] })
    assert.deepEqual(encode(logprobs).warnings, ['unsupported_parameter logprobs'])
  })

  it('keeps the budget below a limit that somebody set, and beside one that nobody did', () => {
    assert.deepEqual(planBudget(2000, 1000), [1000, undefined, 1])
    assert.deepEqual(planBudget(60_000, 16), [16, undefined, 1])
    assert.deepEqual(planBudget(10, 4000), [4000, 1024, 1])
    assert.deepEqual(planBudget(2000), [10_192, 2000, 0])
    assert.deepEqual(planBudget(8000, 2000, 8192), [2000, 1900, 1])
    assert.deepEqual(planBudget(9000, undefined, 8192), [8192, 7782, 1])
    assert.deepEqual(planBudget(8000, 500, 1000), [500, undefined, 1])
  })

  it('steers adaptive models by effort', () => {
    const shown = { type: 'adaptive', display: 'summarized' }
    assert.deepEqual(planEffort({ effort: 'minimal' }, 'claude-opus-4-7'), [shown, { effort: 'low' }, 1])
    assert.deepEqual(planEffort({ enabled: true }, 'claude-fable-9'), [shown, { effort: 'medium' }, 0])
    assert.deepEqual(planEffort({ maxTokens: 8000 }, 'claude-opus-4-8'), [shown, { effort: 'high' }, 1])
    assert.deepEqual(planEffort({ effort: 'max', exclude: true }, 'claude-opus-4-7'), [
      { type: 'adaptive', display: 'omitted' },
      { effort: 'max' },
      0,
    ])
    assert.deepEqual(planEffort({ effort: 'xhigh' }, 'claude-opus-4-6'), [{ type: 'adaptive' }, { effort: 'high' }, 1])
    assert.deepEqual(planEffort({ maxTokens: 2000 }, 'claude-sonnet-4-6'), [
      { type: 'enabled', budget_tokens: 2000 },
      undefined,
      0,
    ])
    assert.deepEqual(planEffort({ effort: 'none' }, 'claude-opus-4-7'), [{ type: 'disabled' }, undefined, 0])
    assert.deepEqual(planEffort({ effort: 'none' }, 'claude-sonnet-4-5'), [undefined, undefined, 0])
    assert.deepEqual(planEffort({ summary: 'auto' }, 'claude-opus-4-7'), [undefined, undefined, 0])
    assert.deepEqual(planEffort({ effort: 'high' }, 'claude-3-haiku-20240307'), [undefined, undefined, 1])
  })

  it('lets the operator correct the table of models', async () => {
    const own = await anthropicProvider({
      models: { 'my-*': { thinking: 'none' }, 'my-own': { thinking: 'adaptive', sampling: 'single' } },
    })
    const reasoning = { effort: 'high' } as const
    assert.deepEqual(encode({ reasoning }, 'my-other', {}, own).warnings, ['unsupported_parameter reasoning'])
    assert.deepEqual(encode({ reasoning }, 'my-own', {}, own).body['output_config'], { effort: 'high' })
  })

  it('serves a schema with open objects by a tool, or by an instruction where no tool can be forced', () => {
    const schema = {
      type: 'object',
      properties: { tags: { type: 'object', additionalProperties: { type: 'string' } } },
    }
    const responseFormat = { type: 'json_schema', name: 'tagged', schema } as const
    const forced = encode({ responseFormat })
    assert.deepEqual(forced.body['tool_choice'], { type: 'tool', name: 'structured_output' })
    assert.deepEqual(forced.body.tools?.[0]?.['input_schema'], schema)
    for (const fields of [{ reasoning: { effort: 'low' } }, { tools: [{ type: 'function', name: 'a' }] }] as const) {
      const { body, warnings } = encode({ responseFormat, ...fields })
      assert.equal(body['tool_choice'], undefined)
      assert.ok(String(body.system?.at(-1)?.['text']).endsWith(JSON.stringify(schema)))
      assert.deepEqual(warnings, ['adjusted_value response_format'])
    }
  })

  it('reads a format that stayed native', () => {
    const schema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }
    const value = { type: 'json_schema', json_schema: { name: 'x', schema, new_field: 1 } }
    const { body } = encode({ responseFormat: { type: 'native', value } })
    assert.deepEqual(body['output_config'], { format: { type: 'json_schema', schema } })
    const grammar = encode({ responseFormat: { type: 'native', value: { type: 'grammar' } } })
    assert.deepEqual(grammar.warnings, ['unsupported_parameter response_format'])
  })

  it('closes nested schemas and reports what cannot be enforced', () => {
    const { body, warnings } = encode({
      responseFormat: {
        type: 'json_schema',
        name: 'x',
        schema: {
          type: 'object',
          properties: {
            list: {
              type: 'array',
              minItems: 1,
              maxItems: 3,
              items: { oneOf: [{ $ref: '#/$defs/a' }, { type: 'null' }] },
            },
          },
          $defs: { a: { type: 'object', description: 'A.', properties: { b: { type: 'string', format: 'uuid' } } } },
        },
      },
    })
    assert.deepEqual((body['output_config'] as JsonObject)['format'], {
      type: 'json_schema',
      schema: {
        type: 'object',
        properties: {
          list: {
            type: 'array',
            minItems: 1,
            items: { anyOf: [{ $ref: '#/$defs/a' }, { type: 'null' }] },
            description: '{maxItems: 3}',
          },
        },
        $defs: {
          a: {
            type: 'object',
            description: 'A.',
            properties: { b: { type: 'string', format: 'uuid' } },
            additionalProperties: false,
          },
        },
        additionalProperties: false,
      },
    })
    assert.deepEqual(warnings, ['adjusted_value response_format'])
  })

  it("sends the operator's headers, betas and key, and no key where there is none", async () => {
    const own = await anthropicProvider({
      api_key: 'sk-ant-test',
      base_url: 'http://127.0.0.1:9/anthropic//',
      beta: ['a', 'files-api-2025-04-14'],
      headers: { 'X-Team': 'blue', 'X-API-Key': 'other' },
    })
    assert.equal(own.baseUrl, 'http://127.0.0.1:9/anthropic')
    const file: Part = { type: 'media', kind: 'image', fileId: 'file_1' }
    const { wire } = own.encode(requestOf({ messages: [user(file)] }), targetOf('m'))
    assert.equal(wire.headers['anthropic-beta'], 'a,files-api-2025-04-14')
    const { headers } = await own.authorize(wire)
    assert.deepEqual([headers['x-api-key'], headers['x-team']], ['other', 'blue'])
    assert.equal((await provider.authorize(wire)).headers['x-api-key'], undefined)
    assert.ok(!JSON.stringify(wire).includes('sk-ant-test'))
  })

  it('lists models', async () => {
    const request = await provider.models!()
    assert.ok('read' in request)
    assert.deepEqual(request.wire.method, 'GET')
    const entry = { type: 'model', id: 'claude-x', display_name: 'Claude X', created_at: '2025-02-19T00:00:00Z' }
    assert.deepEqual(request.read({ data: [{ ...entry, max_input_tokens: 200_000, max_tokens: 64_000 }, 7, {}] }), [
      {
        id: 'claude-x',
        name: 'Claude X',
        ownedBy: 'anthropic',
        created: 1739923200,
        contextLength: 200_000,
        maxOutputTokens: 64_000,
      },
    ])
    assert.deepEqual(request.read('nonsense'), [])
  })
})
