import assert from 'node:assert/strict'
import { it } from 'node:test'

import * as fc from 'fast-check'

import type { GenerateRequest, JsonObject, Message, Part } from '@hadrian/core/provider'

import { anthropicProvider, requestOf, targetOf } from './anthropic-upstream.ts'

const provider = await anthropicProvider()

type Block = JsonObject & { readonly type: string }

/** Asserts the rules on the shape of a request that the Messages API answers with 400 when they are broken. */
function assertStructure(body: JsonObject): void {
  const messages = body['messages'] as readonly { readonly role: string; readonly content: readonly Block[] }[]
  const limit = body['max_tokens'] as number
  const thinking = body['thinking'] as JsonObject | undefined
  const tools = (body['tools'] ?? []) as readonly JsonObject[]
  const choice = body['tool_choice'] as JsonObject | undefined
  assert.ok(Number.isInteger(limit) && limit >= 1)
  if (thinking?.['type'] === 'enabled') {
    assert.ok((thinking['budget_tokens'] as number) >= 1024 && (thinking['budget_tokens'] as number) < limit)
    assert.equal(body['temperature'], undefined)
    assert.ok(choice?.['type'] !== 'any' && choice?.['type'] !== 'tool')
  }
  if (choice) assert.ok(tools.length > 0)
  if (choice?.['type'] === 'tool') assert.ok(tools.some((tool) => tool['name'] === choice['name']))
  for (const block of (body['system'] ?? []) as readonly Block[]) assertText(block)
  assert.ok(messages.length > 0)
  const ids = new Set<unknown>()
  messages.forEach(({ role, content }, index) => {
    assert.equal(role, index % 2 === 0 ? 'user' : 'assistant')
    assert.ok(content.length > 0)
    for (const block of content) {
      assertText(block)
      if (block.type === 'tool_use') {
        assert.match(String(block['id']), /^[a-zA-Z0-9_-]+$/)
        assert.ok(typeof block['input'] === 'object' && block['input'] !== null && !Array.isArray(block['input']))
        assert.ok(!ids.has(block['id']), 'ids are unique')
        assert.ok(tools.length > 0, 'tools are defined where they were called')
        ids.add(block['id'])
      }
      if (block.type === 'tool_result') for (const inner of (block['content'] ?? []) as Block[]) assertText(inner)
    }
    const types = content.map((block) => block.type)
    if (role === 'assistant') {
      const thinks = types.map((type) => type === 'thinking' || type === 'redacted_thinking')
      assert.ok(!thinks.includes(true) || thinks[0], 'thinking comes first')
      assert.ok(!thinks.at(-1), 'thinking is not last')
      if (types.includes('tool_use')) assert.ok(index < messages.length - 1, 'calls have results')
      return
    }
    const called = (messages[index - 1]?.content ?? []).filter((block) => block.type === 'tool_use')
    const results = content.filter((block) => block.type === 'tool_result')
    assert.equal(results.length, called.length)
    assert.deepEqual(new Set(results.map((block) => block['tool_use_id'])), new Set(called.map((block) => block['id'])))
    assert.ok(types.lastIndexOf('tool_result') === results.length - 1, 'results come first')
  })
  const last = messages.at(-1)
  const end = last?.content.at(-1)
  if (last?.role === 'assistant' && end?.type === 'text') assert.doesNotMatch(String(end['text']), /\s$/)
  if (thinking?.['type'] === 'enabled') {
    assert.equal(last?.role, 'user')
    const turn = messages.findLast((message) => message.role === 'assistant')
    if (turn?.content.some((block) => block.type === 'tool_use')) assert.match(turn.content[0]!.type, /thinking/)
  }
}

function assertText(block: Block): void {
  if (block.type === 'text') assert.match(String(block['text']), /\S/)
}

const text = fc.oneof(fc.constantFrom('', ' ', '\n', 'word', 'ends in space \n'), fc.string())
const id = fc.constantFrom('a', 'b', 'call|1', 'call:1', '')
const plainPart: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ type: fc.constant('text' as const), text }),
  fc.record({
    type: fc.constant('media' as const),
    kind: fc.constantFrom('image' as const, 'audio' as const, 'file' as const),
    mediaType: fc.constantFrom('image/png', 'text/plain', 'application/pdf', 'x/y'),
    data: fc.base64String(),
  }),
  fc.constant({ type: 'native', dialect: 'responses', value: { type: 'thing' } } as const),
)
const reasoningPart: fc.Arbitrary<Part> = fc.record(
  {
    type: fc.constant('reasoning' as const),
    text,
    signature: fc.constantFrom('sig'),
    encrypted: fc.constantFrom('enc'),
    format: fc.constantFrom('anthropic-claude-v1', 'openai-responses-v1', 'unknown'),
  },
  { requiredKeys: ['type'] },
)
const callPart: fc.Arbitrary<Part> = fc.record(
  {
    type: fc.constant('tool_call' as const),
    id,
    name: fc.constantFrom('f', 'g'),
    arguments: fc.oneof(fc.constantFrom('', '{}', '[1]', '{"a":', 'null'), fc.json()),
    custom: fc.boolean(),
  },
  { requiredKeys: ['type', 'id', 'name', 'arguments'] },
)
const resultPart: fc.Arbitrary<Part> = fc.record({
  type: fc.constant('tool_result' as const),
  toolCallId: id,
  content: fc.array(plainPart, { maxLength: 2 }),
})
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    role: fc.constantFrom('system' as const, 'developer' as const, 'user' as const),
    content: fc.array(plainPart, { maxLength: 3 }),
  }),
  fc.record({
    role: fc.constant('assistant' as const),
    content: fc.array(fc.oneof(plainPart, reasoningPart, callPart), { maxLength: 4 }),
  }),
  fc.record({ role: fc.constant('tool' as const), content: fc.array(resultPart, { minLength: 1, maxLength: 2 }) }),
)
const fields: fc.Arbitrary<Partial<GenerateRequest>> = fc.record(
  {
    messages: fc.array(message, { maxLength: 8 }),
    tools: fc.constant([{ type: 'function', name: 'f' }] as const),
    toolChoice: fc.constantFrom('auto' as const, 'none' as const, 'required' as const, { name: 'f' }),
    parallelToolCalls: fc.boolean(),
    maxOutputTokens: fc.nat({ max: 5000 }),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    reasoning: fc.oneof(
      fc.record({ effort: fc.constantFrom('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max') }),
      fc.record({ maxTokens: fc.nat({ max: 9000 }) }),
    ),
    responseFormat: fc.constantFrom(
      { type: 'json_object' } as const,
      { type: 'json_schema', name: 'x', schema: { type: 'object', properties: {} } } as const,
      { type: 'json_schema', name: 'x', schema: { type: 'object' } } as const,
    ),
  },
  { requiredKeys: ['messages'] },
)
const model = fc.constantFrom(
  'claude-3-haiku-20240307',
  'claude-sonnet-4-20250514',
  'claude-sonnet-4-5',
  'claude-opus-4-6',
  'claude-opus-4-7',
  'other',
)

it('encodes every conversation into one that the Messages API accepts', () => {
  fc.assert(
    fc.property(fields, model, fc.option(fc.integer({ min: 500, max: 20_000 })), (fields, model, ceiling) => {
      const target = targetOf(model, ceiling === null ? undefined : { maxOutputTokens: ceiling })
      // Objects without a prototype, which fast-check makes too, would not equal their clones.
      const request = JSON.parse(JSON.stringify(requestOf(fields))) as GenerateRequest
      const before = structuredClone(request)
      const first = provider.encode(request, target)
      assertStructure(first.wire.body as JsonObject)
      assert.deepEqual(request, before, 'the request is not changed')
      assert.deepEqual(provider.encode(request, target), first, 'encoding is deterministic')
    }),
    { numRuns: 500 },
  )
})
