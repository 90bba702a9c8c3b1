import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../../core/contract/canonical.ts'
import { errorBody, gatewayError } from '../../core/contract/errors.ts'
import { chat } from '../../core/dialects/chat.ts'
import { recordsOf } from './chat-client.ts'

function writerOf(fields: JsonObject = {}) {
  const body = { model: 'gpt', messages: [{ role: 'user', content: 'Hi' }], stream: true, ...fields }
  return chat.verbatimWriter({ exchangeId: 'x1', request: chat.decode(body), body, model: 'gpt', created: 1 })
}

const asked = { stream_options: { include_usage: true } }
const head = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o"'
const delta = `{${head},"choices":[{"index":0,"delta":{"content":"\\"usage\\":null 1.0"},"finish_reason":null}]}`
const nullUsage = delta.replace(/}$/, ',"usage":null}')
const counts = '"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"future":1}'
const usageOnly = `{${head},"choices":[],${counts}}`
const usageWithChoice = `{${head},"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],${counts}}`
const usage = { inputTokens: 3, outputTokens: 4, costMicros: 500_000 }

test('passes records through byte for byte', () => {
  const writer = writerOf()
  assert.equal(writer.push({ data: delta, events: [] }), `data: ${delta}\n\n`)
  assert.equal(writer.push({ data: '{"a":1}', event: 'ping', events: [] }), 'event: ping\ndata: {"a":1}\n\n')
  assert.equal(writer.push({ data: '{\n}', events: [] }), 'data: {\ndata: }\n\n')
  assert.equal(writer.push({ data: '[DONE]', events: [] }), '')
  assert.equal(writer.end({ usage }), 'data: [DONE]\n\n')
})

test('leaves out records that clients could not parse', () => {
  for (const data of ['no json', '{"cut', '7', '']) assert.equal(writerOf().push({ data, events: [] }), '')
})

test('replaces reasons for the finish that OpenAI does not have', () => {
  const chunk = (reason: string) => `{"choices":[{"index":1,"delta":{},"finish_reason":"${reason}"}]}`
  const finish = (raw: string) => ({ type: 'finish' as const, choice: 1, reason: 'length' as const, raw })
  const foreign = writerOf().push({ data: chunk('max_tokens'), events: [finish('max_tokens')] })
  assert.deepEqual(recordsOf(foreign), [
    { choices: [{ index: 1, delta: {}, finish_reason: 'length', native_finish_reason: 'max_tokens' }] },
  ])
  for (const raw of ['function_call', 'native word'])
    assert.equal(
      writerOf().push({ data: chunk('function_call'), events: [finish(raw)] }),
      `data: ${chunk('function_call')}\n\n`,
    )
})

test('removes a null usage that the client did not ask for', () => {
  assert.equal(writerOf().push({ data: nullUsage, events: [] }), `data: ${delta}\n\n`)
  assert.equal(writerOf(asked).push({ data: nullUsage, events: [] }), `data: ${nullUsage}\n\n`)
  const first = `{"usage": null, ${head}}`
  assert.equal(writerOf().push({ data: first, events: [] }), `data: { ${head}}\n\n`)
})

test('holds usage back until the end and adds the cost', () => {
  const writer = writerOf(asked)
  assert.equal(writer.push({ data: usageOnly, events: [] }), '')
  const [chunk, done] = recordsOf(writer.end({ usage, metadata: { a: 1 } })) as Record<string, any>[]
  assert.equal(done, '[DONE]')
  assert.deepEqual([chunk?.['id'], chunk?.['created'], chunk?.['choices']], ['chatcmpl-1', 7, []])
  assert.deepEqual(chunk?.['usage'], {
    prompt_tokens: 3,
    completion_tokens: 4,
    total_tokens: 7,
    future: 1,
    cost: 0.5,
    cost_details: { upstream_inference_cost: null },
    is_byok: false,
  })
  assert.deepEqual(chunk?.['hadrian_metadata'], { a: 1 })
})

test('drops usage that the client did not ask for', () => {
  const writer = writerOf()
  assert.equal(writer.push({ data: usageOnly, events: [] }), '')
  assert.equal(writer.end({ usage }), 'data: [DONE]\n\n')
})

test('sends the choices of a record with usage at once', () => {
  const plain = recordsOf(writerOf().push({ data: usageWithChoice, events: [] }))[0] as Record<string, any>
  assert.equal(plain['choices'][0].finish_reason, 'stop')
  assert.ok(!('usage' in plain))
  const writer = writerOf(asked)
  const sent = recordsOf(writer.push({ data: usageWithChoice, events: [] }))[0] as Record<string, any>
  assert.equal(sent['usage'], null)
  const [last] = recordsOf(writer.end({ usage })) as Record<string, any>[]
  assert.deepEqual([last?.['choices'], last?.['usage'].total_tokens], [[], 7])
})

test('makes up a usage chunk where the upstream sent none', () => {
  const writer = writerOf(asked)
  writer.push({ data: delta, events: [] })
  const [chunk] = recordsOf(writer.end({ usage: { ...usage, estimated: true } })) as Record<string, any>[]
  assert.deepEqual([chunk?.['id'], chunk?.['choices'], chunk?.['usage'].estimated], ['chatcmpl-1', [], true])
})

test('carries metadata on a chunk that every client can read', () => {
  const writer = writerOf()
  writer.push({ data: delta, events: [] })
  const [chunk] = recordsOf(writer.end({ usage, metadata: { a: 1 } })) as Record<string, any>[]
  assert.deepEqual([chunk?.['hadrian_metadata'], chunk?.['choices'][0].delta], [{ a: 1 }, {}])
})

test('leaves an error of the upstream to the gateway, whose typed error ends the stream', () => {
  const writer = writerOf()
  const error = gatewayError('provider_error', 'overloaded')
  assert.equal(writer.push({ data: '{"error":{"message":"x"}}', events: [{ type: 'error', error }] }), '')
  const body = errorBody(error, 'req_1')
  assert.deepEqual(recordsOf(writer.fail(body)), [{ error: body }])
})
