import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { assert as check, constantFrom, dictionary, jsonValue, oneof, property, record, string } from 'fast-check'
import type { Dialect } from '../../core/contract/canonical.ts'
import { isGatewayError } from '../../core/contract/errors.ts'
import type { GatewayError } from '../../core/contract/errors.ts'
import { validateBody } from '../../core/dialects/request-validation.ts'

const corpus = new URL('../fixtures/requests/', import.meta.url)
const hello = [{ role: 'user', content: 'Hello' }]

function refusal(dialect: Dialect, body: unknown): GatewayError {
  try {
    validateBody(dialect, body)
  } catch (error) {
    assert.ok(isGatewayError(error), String(error))
    assert.equal(error.status, 400)
    assert.equal(error.code, 'invalid_request_error')
    return error
  }
  assert.fail(`accepted ${JSON.stringify(body)}`)
}

/** Paths and messages as one text per error; the first is the message of the whole. */
function mistakes(dialect: Dialect, body: unknown): string[] {
  const { details, message, param } = refusal(dialect, body)
  const errors = details?.['errors'] as { path: string; message: string }[]
  assert.equal(message, `${errors[0]!.path} ${errors[0]!.message}`)
  assert.equal(param, errors[0]!.path)
  return errors.map((error) => `${error.path} ${error.message}`)
}

const chat = (fields: object) => ({ model: 'openai/gpt-4o', messages: hello, ...fields })
const user = (...content: unknown[]) => chat({ messages: [{ role: 'user', content }] })

describe('validateBody accepts', () => {
  /** Written to show that decoding survives what no validation lets through. */
  const malformed = new Set(['chat/images-unknown.json', 'responses/odd-images.json', 'responses/unknown-items.json'])

  for (const dialect of ['chat', 'responses'] as const)
    it(`the corpus of ${dialect} requests`, () => {
      for (const file of readdirSync(new URL(`${dialect}/`, corpus))) {
        const body: unknown = JSON.parse(readFileSync(new URL(`${dialect}/${file}`, corpus), 'utf8'))
        if (malformed.has(`${dialect}/${file}`)) refusal(dialect, body)
        else validateBody(dialect, body)
      }
    })

  const accepted: Record<string, readonly [Dialect, unknown]> = {
    'no model': ['chat', { messages: hello }],
    'nothing at all for responses': ['responses', {}],
    'unknown fields': ['chat', chat({ invented_yesterday: { a: [1] } })],
    'whole floats': [
      'chat',
      JSON.parse('{"messages":[{"role":"user","content":"x"}],"max_tokens":40.0,"seed":-1e3,"top_k":0.0}'),
    ],
    'unknown parts': ['chat', user({ type: 'hologram', hologram: 1 }, { type: 'text', text: '', extra: true })],
    'unknown items': ['responses', { input: [{ type: 'hologram_call' }, { role: 'user', content: 'x' }] }],
    'items without a type': [
      'responses',
      { input: [{ role: 'user', content: [] }, { id: 'msg_1' }, { type: null, id: 'x' }] },
    ],
    'calls without a type': [
      'chat',
      chat({ messages: [{ role: 'assistant', tool_calls: [{ id: 'a', function: { name: 'f', arguments: '' } }] }] }),
    ],
    'unknown tools': ['responses', { tools: [{ type: 'web_search_preview' }, { type: 'mcp', server_label: 'x' }] }],
    'unknown efforts': ['chat', chat({ reasoning: { effort: 'heroic' }, service_tier: 'turbo' })],
    'token ids': ['completions', { prompt: [[1, 2], [3]] }],
    'several texts': ['embeddings', { input: ['a', 'b'], encoding_format: 'base64', dimensions: 256 }],
    'limits themselves': [
      'chat',
      chat({ temperature: 2, top_p: 0, frequency_penalty: -2, top_logprobs: 20, stop: ['a', 'b', 'c', 'd'] }),
    ],
    'every provider preference': [
      'chat',
      chat({
        provider: {
          order: ['a'],
          only: null,
          sort: { by: 'price', partition: 'none' },
          max_price: { prompt: 1, completion: '0.5' },
          preferred_max_latency: { p90: 3 },
          quantizations: ['fp8'],
          zdr: true,
        },
      }),
    ],
  }
  for (const [name, [dialect, body]] of Object.entries(accepted)) it(name, () => validateBody(dialect, body))

  it('null for every optional field of every dialect', () => {
    const required: Record<Dialect, object> = {
      chat: { messages: hello },
      responses: {},
      completions: { prompt: '' },
      embeddings: { input: 'x' },
    }
    const files = {
      chat: 'chat-completions',
      responses: 'responses',
      completions: 'completions',
      embeddings: 'embeddings',
    }
    for (const dialect of ['chat', 'responses', 'completions', 'embeddings'] as const) {
      const file = new URL(`../../schemas/${files[dialect]}.schema.json`, import.meta.url)
      const { properties } = JSON.parse(readFileSync(file, 'utf8')) as { properties: object }
      const nulls = Object.fromEntries(Object.keys(properties).map((name) => [name, null]))
      validateBody(dialect, { ...nulls, ...required[dialect] })
    }
  })
})

describe('validateBody names the mistake', () => {
  const cases: readonly (readonly [Dialect, unknown, string])[] = [
    ['chat', {}, 'messages is required'],
    ['chat', { messages: null }, 'messages is required'],
    ['chat', { messages: [] }, 'messages must have at least 1 item'],
    ['chat', { messages: 'x' }, 'messages must be an array'],
    ['chat', { messages: [null] }, 'messages[0] must be an object'],
    ['chat', { messages: [{ role: 'user' }] }, 'messages[0].content is required'],
    ['chat', { messages: [...hello, { content: 'x' }] }, 'messages[1].role is required'],
    ['chat', { messages: [{ role: 'user', content: null }] }, 'messages[0].content must be a string or an array'],
    ['chat', { messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].tool_call_id is required'],
    ['chat', user({ type: 'text' }), 'messages[0].content[0].text is required'],
    ['chat', user({ text: 'x' }), 'messages[0].content[0].type is required'],
    ['chat', user({ type: 'image_url', image_url: {} }), 'messages[0].content[0].image_url.url is required'],
    ['chat', chat({ temperature: 2.1 }), 'temperature must be at most 2'],
    ['chat', chat({ temperature: '1' }), 'temperature must be a number'],
    ['chat', chat({ top_p: -0.1 }), 'top_p must be at least 0'],
    ['chat', chat({ frequency_penalty: -3 }), 'frequency_penalty must be at least -2'],
    ['chat', chat({ max_tokens: 1.5 }), 'max_tokens must be an integer'],
    ['chat', chat({ max_tokens: -1 }), 'max_tokens must be at least 0'],
    ['chat', chat({ n: 0 }), 'n must be at least 1'],
    ['chat', chat({ stop: ['a', 'b', 'c', 'd', 'e'] }), 'stop must have at most 4 items'],
    ['chat', chat({ stop: [1] }), 'stop[0] must be a string'],
    ['chat', chat({ stream: 'yes' }), 'stream must be a boolean'],
    ['chat', chat({ tool_choice: 'any' }), 'tool_choice must be one of "none", "auto", "required", not "any"'],
    ['chat', chat({ tool_choice: 7 }), 'tool_choice must be a string or an object'],
    ['chat', chat({ tool_choice: { type: 'function' } }), 'tool_choice.function is required'],
    ['chat', chat({ tools: [{ type: 'function', function: {} }] }), 'tools[0].function.name is required'],
    ['chat', chat({ response_format: { type: 'json_schema' } }), 'response_format.json_schema is required'],
    ['chat', chat({ model: '' }), 'model must not be empty'],
    ['chat', chat({ model: 'a\r\nx-evil: 1' }), 'model must not contain control characters'],
    ['chat', chat({ models: ['a', 'b\0'] }), 'models[1] must not contain control characters'],
    ['chat', chat({ logit_bias: { 'a b': 'x' } }), 'logit_bias["a b"] must be a number'],
    ['chat', chat({ logit_bias: { 50256: -101 } }), 'logit_bias["50256"] must be at least -100'],
    ['chat', chat({ plugins: [{ enabled: true }] }), 'plugins[0].id is required'],
    [
      'chat',
      chat({ provider: { sort: 'fast' } }),
      'provider.sort must be one of "price", "throughput", "latency", "exacto", not "fast"',
    ],
    [
      'chat',
      chat({ provider: { max_price: { prompt: 'cheap' } } }),
      'provider.max_price.prompt must be a decimal number',
    ],
    [
      'chat',
      chat({ provider: { data_collection: 'no' } }),
      'provider.data_collection must be one of "allow", "deny", not "no"',
    ],
    ['responses', { input: 3 }, 'input must be a string or an array'],
    ['responses', { input: [{ content: 'x' }] }, 'input[0].role is required'],
    ['responses', { input: [{ id: 'x', role: 'user', content: 5 }] }, 'input[0].content must be a string or an array'],
    [
      'responses',
      { input: [{ role: 'user', content: [{ type: 'input_text' }] }] },
      'input[0].content[0].text is required',
    ],
    ['responses', { input: [{ type: 'function_call_output', call_id: 'x' }] }, 'input[0].output is required'],
    ['responses', { truncation: 'some' }, 'truncation must be one of "auto", "disabled", not "some"'],
    ['completions', {}, 'prompt is required'],
    ['embeddings', { input: '' }, 'input must not be empty'],
    ['embeddings', { input: [[1, 2.5]] }, 'input[0][1] must be an integer'],
    [
      'embeddings',
      { input: 'x', encoding_format: 'hex' },
      'encoding_format must be one of "float", "base64", not "hex"',
    ],
  ]
  for (const [dialect, body, expected] of cases)
    it(expected, () => assert.deepEqual(mistakes(dialect, body), [expected]))

  it('one for each top-level field, the missing ones first', () => {
    const found = mistakes('chat', { top_p: 'x', temperature: 3, n: 1, provider: { zrd: true } })
    assert.deepEqual(
      found.map((mistake) => mistake.split(';')[0]),
      [
        'messages is required',
        'provider.zrd is not a known key',
        'temperature must be at most 2',
        'top_p must be a number',
      ],
    )
  })

  it('for a body that is no object', () => {
    for (const body of [null, [], 'x', 3, true, undefined])
      assert.equal(refusal('chat', body).message, 'The request body must be a JSON object')
  })
})

function nested(depth: number): unknown {
  return JSON.parse('['.repeat(depth) + ']'.repeat(depth))
}

describe('validateBody survives', () => {
  const hostile: Record<string, string> = {
    'a prototype at the top': '{"__proto__":{"messages":[]},"temperature":1}',
    'a prototype as message': '{"messages":[{"__proto__":{"role":"user","content":"x"}}]}',
    constructors: '{"messages":[{"role":"constructor","content":"x"}]}',
    'a tag of Object.prototype':
      '{"messages":[{"role":"user","content":[{"type":"toString"},{"type":"__proto__"},{}]}]}',
    'huge numbers': '{"messages":[{"role":"user","content":"x"}],"max_tokens":1e400}',
    'integers beyond all': '{"messages":[{"role":"user","content":"x"}],"max_tokens":1e308}',
    'a lone surrogate in an enum': '{"messages":[{"role":"\\ud800","content":"x"}]}',
    'a lone surrogate in a key': '{"messages":[{"role":"user","content":"x"}],"logit_bias":{"\\ud800":"x"}}',
    NUL: '{"messages":[{"role":"user\\u0000","content":"x"}]}',
    'NUL in a model': '{"messages":[{"role":"user","content":"x"}],"model":"\\u0000"}',
  }
  for (const [name, text] of Object.entries(hostile))
    it(name, () => {
      const { message, details, param } = refusal('chat', JSON.parse(text))
      const shown = JSON.stringify({ message, details, param })
      assert.equal(shown.isWellFormed(), true)
      assert.doesNotMatch(shown, /\\ud8/)
    })

  it('deep nesting, at places that are checked and that are not', () => {
    const deep = nested(50_000)
    refusal('chat', { messages: deep })
    refusal('chat', { messages: [{ role: 'user', content: deep }] })
    refusal('embeddings', { input: deep })
    validateBody(
      'chat',
      chat({
        whatever: deep,
        metadata: { deep },
        tools: [{ type: 'function', function: { name: 'f', parameters: { deep } } }],
      }),
    )
  })

  it('a million mistakes, reporting few and short ones', () => {
    const error = refusal('chat', {
      messages: Array.from({ length: 1_000_000 }, () => 0),
      tools: Array.from({ length: 1000 }, () => 0),
      logit_bias: { ['x'.repeat(1_000_000)]: 'y' },
      tool_choice: 'z'.repeat(1_000_000),
    })
    assert.equal((error.details!['errors'] as unknown[]).length, 4)
    assert.ok(JSON.stringify([error.message, error.details, error.param]).length < 3000)
  })

  it('at most ten mistakes', () => {
    const fields = [
      'temperature',
      'top_p',
      'n',
      'seed',
      'stop',
      'user',
      'tools',
      'store',
      'stream',
      'logprobs',
      'metadata',
      'models',
    ]
    const error = refusal(
      'chat',
      chat(Object.fromEntries(fields.map((name) => [name, name === 'user' || name === 'stop' ? 1 : 'x']))),
    )
    assert.equal((error.details!['errors'] as unknown[]).length, 10)
  })

  it('anything that JSON can say', () => {
    const names = constantFrom(
      'messages',
      'input',
      'prompt',
      'model',
      'models',
      'tools',
      'tool_choice',
      'provider',
      'plugins',
      'stop',
      '__proto__',
    )
    const part = record(
      {
        type: oneof(constantFrom('text', 'message', 'function', 'x'), jsonValue()),
        role: oneof(constantFrom('user', 'tool'), jsonValue()),
        content: jsonValue(),
      },
      { requiredKeys: [] },
    )
    const body = dictionary(oneof(names, string()), oneof(jsonValue(), part))
    check(
      property(constantFrom<Dialect>('chat', 'responses', 'completions', 'embeddings'), body, (dialect, value) => {
        const before = JSON.stringify(value)
        try {
          validateBody(dialect, value)
        } catch (error) {
          assert.ok(isGatewayError(error) && error.status === 400, String(error))
        }
        assert.equal(JSON.stringify(value), before)
      }),
      { numRuns: 2000 },
    )
  })
})
