import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject } from '../../core/contract/canonical.ts'
import { isGatewayError } from '../../core/contract/errors.ts'
import { responses } from '../../core/dialects/responses.ts'
import { encodeResponses } from '../../providers/openai/responses-encode.ts'

const target = { provider: 'openai', model: 'gpt-5', name: 'openai/gpt-5', requested: 'gpt-5' }

describe('requests of the Responses API', () => {
  const folder = new URL('../fixtures/requests/responses/', import.meta.url)
  for (const file of readdirSync(folder)) {
    it(`${file} comes back as it was`, () => {
      const body = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as JsonObject
      const { body: encoded, warnings } = encodeResponses(responses.decode(body), target)
      const given = Object.entries(body).filter(([, value]) => value !== null)
      assert.deepEqual(encoded, { ...Object.fromEntries(given), model: 'gpt-5', store: false })
      assert.deepEqual(warnings, [])
    })
  }

  for (const [field, value] of [
    ['background', true],
    ['previous_response_id', 'resp_1'],
    ['prompt', { id: 'p' }],
    ['conversation', 'conv_1'],
  ] as const) {
    it(`${field} is refused as unsupported`, () => {
      assert.throws(
        () => responses.decode({ input: 'Hi', [field]: value }),
        (error) =>
          isGatewayError(error) && error.code === 'unsupported' && error.param === field && error.status === 400,
      )
    })
  }

  for (const [name, body, param] of [
    ['an empty body', {}, 'input'],
    ['a null input', { input: null }, 'input'],
    ['an input of another type', { input: 3 }, 'input'],
    ['an item that is no object', { input: ['Hi'] }, 'input[0]'],
    ['effort and budget', { input: '', reasoning: { effort: 'low', max_tokens: 5 } }, 'reasoning.max_tokens'],
    ['effort without reasoning', { input: '', reasoning: { enabled: false, effort: 'low' } }, 'reasoning.enabled'],
    ['reasoning without effort', { input: '', reasoning: { enabled: true, effort: 'none' } }, 'reasoning.enabled'],
    ['a broken number', { input: '', max_output_tokens: 40.5 }, 'max_output_tokens'],
    ['a tool that is no object', { input: '', tools: ['x'] }, 'tools[0]'],
    ['a tool choice of another type', { input: '', tool_choice: 'some' }, 'tool_choice'],
  ] as const) {
    it(`${name} is refused`, () => {
      assert.throws(
        () => responses.decode(body),
        (error) => isGatewayError(error) && error.code === 'invalid_request_error' && error.param === param,
      )
    })
  }

  it('fields of the gateway become canonical', () => {
    const body = { input: 'Hi', models: ['a', 'b'], provider: { sort: 'price' }, plugins: [{ id: 'web' }], top_k: 4 }
    const { models, provider, plugins, topK, extra } = responses.decode(body)
    assert.deepEqual(
      { models, provider, plugins, topK, extra },
      {
        models: ['a', 'b'],
        provider: { sort: 'price' },
        plugins: [{ id: 'web' }],
        topK: 4,
        extra: {},
      },
    )
  })

  it('any JSON in place of an item is read without a crash and written back', () => {
    const item = fc.dictionary(
      fc.constantFrom('type', 'role', 'content', 'summary', 'call_id', 'name', 'arguments', 'output', 'id', 'other'),
      fc.oneof(
        fc.constantFrom('message', 'function_call', 'function_call_output', 'user', 'assistant'),
        fc.jsonValue(),
      ),
    )
    fc.assert(
      fc.property(fc.array(item), (input) => {
        const wire = JSON.parse(JSON.stringify(input)) as JsonObject[]
        const { body } = encodeResponses(responses.decode({ input: wire }), target)
        assert.deepEqual(body['input'], wire)
      }),
    )
  })
})
