import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { GenerateRequest, Message, Part, Tool } from '../../core/contract/canonical.ts'
import { definePlugin } from '../../core/contract/plugin.ts'
import { imagesOf } from '../../core/pipeline/images.ts'
import { inputTokensCeiling } from '../../core/pipeline/input-ceiling.ts'
import { promptTexts } from '../../core/pipeline/texts.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'

const requestOf = (fields: Partial<GenerateRequest>): GenerateRequest => ({
  operation: 'generate',
  dialect: 'chat',
  stream: false,
  messages: [],
  extra: {},
  ...fields,
})
const user = (...content: Part[]): Message => ({ role: 'user', content })
const ceilingOf = (...content: Part[]): number => inputTokensCeiling(requestOf({ messages: [user(...content)] }))
const empty = ceilingOf()

/** Text of every script, with emoji made of many code points, control characters and halves of pairs. */
const texts = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('こんにちは世界', '👩‍👩‍👧‍👦', 'ﷺ', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '\ud800', 'naïve\u0000', '"\\\n', ''),
)

/** Byte-level pair encoding: begins with one token for each byte, and only ever joins two. */
function countTokens(text: string, merges: readonly (readonly [string, string])[]): number {
  let tokens = [...Buffer.from(text)].map((byte) => String.fromCharCode(byte))
  for (const [left, right] of merges) {
    const joined: string[] = []
    for (let index = 0; index < tokens.length; index++)
      if (tokens[index] === left && tokens[index + 1] === right) {
        joined.push(left + right)
        index++
      } else joined.push(tokens[index]!)
    tokens = joined
  }
  return tokens.length
}

const merges = fc.array(fc.tuple(fc.string({ maxLength: 2 }), fc.string({ maxLength: 2 })), { maxLength: 20 })

const parts: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ type: fc.constant('text' as const), text: texts }),
  fc.record({ type: fc.constant('reasoning' as const), text: texts, summary: texts }),
  fc.record({ type: fc.constant('tool_call' as const), id: texts, name: texts, arguments: texts }),
  fc.record({
    type: fc.constant('tool_result' as const),
    toolCallId: texts,
    content: fc.array(fc.record({ type: fc.constant('text' as const), text: texts }), { maxLength: 3 }),
  }),
  fc.record({ type: fc.constant('native' as const), dialect: fc.constant('chat'), value: fc.dictionary(texts, texts) }),
  fc.record({ type: fc.constant('media' as const), kind: fc.constant('file' as const), data: texts, filename: texts }),
)
const tools: fc.Arbitrary<Tool> = fc.record({
  type: fc.constant('function' as const),
  name: texts,
  description: texts,
  parameters: fc.dictionary(texts, fc.jsonValue()),
})
const requests = fc
  .record({
    messages: fc.array(fc.record({ role: fc.constant('user' as const), content: fc.array(parts), name: texts })),
    tools: fc.array(tools, { maxLength: 3 }),
    extra: fc.dictionary(texts, fc.jsonValue()),
    schema: fc.dictionary(texts, fc.jsonValue()),
  })
  .map(({ schema, ...fields }) => {
    const responseFormat = { type: 'json_schema', name: 'n', schema } as const
    return requestOf({ ...fields, responseFormat })
  })

describe('the ceiling of input tokens', () => {
  it('is above every byte-level tokenizer, for every text of a request', () => {
    fc.assert(
      fc.property(requests, merges, (request, pairs) => {
        let tokens = 0
        for (const text of promptTexts(request)) tokens += countTokens(text, pairs)
        // And four tokens around each message, as OpenAI counts.
        const least = tokens + 4 * request.messages.length
        assert.ok(inputTokensCeiling(request) >= least, `${inputTokensCeiling(request)} < ${least}`)
      }),
      { numRuns: 500 },
    )
  })

  it('is never below the estimate of a call whose upstream does not count', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const characters = promptTexts(request).reduce((sum, text) => sum + text.length, 0)
        assert.ok(inputTokensCeiling(request) >= Math.ceil(characters / 4))
      }),
    )
  })

  it('counts bytes, not characters', () => {
    for (const [text, bytes] of [
      ['abc', 3],
      ['é', 2],
      ['世', 3],
      ['👋', 4],
    ] as const)
      assert.equal(ceilingOf({ type: 'text', text }) - empty, bytes, text)
  })

  it('counts every text of every part', () => {
    const text = 'é'.repeat(1_000)
    const holders: Part[] = [
      { type: 'text', text },
      { type: 'reasoning', text },
      { type: 'reasoning', summary: text },
      { type: 'reasoning', signature: text },
      { type: 'reasoning', encrypted: text },
      { type: 'tool_call', id: '', name: text, arguments: '' },
      { type: 'tool_call', id: '', name: '', arguments: text },
      { type: 'tool_call', id: text, name: '', arguments: '' },
      { type: 'tool_result', toolCallId: text, content: [] },
      { type: 'tool_result', toolCallId: '', content: [{ type: 'text', text }] },
      { type: 'native', dialect: 'chat', value: { some: [{ text }] } },
      { type: 'text', text: '', extra: { annotation: text } },
      { type: 'media', kind: 'file', data: '', filename: text },
    ]
    for (const part of holders) assert.ok(ceilingOf(part) - empty >= 2_000, JSON.stringify(part).slice(0, 60))
    const around: Partial<GenerateRequest>[] = [
      { messages: [{ role: 'user', content: [], name: text }] },
      { messages: [{ role: 'user', content: [], extra: { audio: text } }] },
      { tools: [{ type: 'native', dialect: 'chat', value: { text } }] },
      { toolChoice: { name: text } },
      { responseFormat: { type: 'json_schema', name: '', schema: { description: text } } },
      { extra: { prompt: text } },
    ]
    for (const fields of around)
      assert.ok(inputTokensCeiling(requestOf(fields)) >= 2_000, JSON.stringify(fields).slice(0, 60))
  })

  it('counts the shape of tools, and what comes with any', () => {
    const tool: Tool = { type: 'function', name: 'f', parameters: { type: 'object', properties: {}, maximum: 12345 } }
    const one = inputTokensCeiling(requestOf({ tools: [tool] }))
    const two = inputTokensCeiling(requestOf({ tools: [tool, tool] }))
    const bare = inputTokensCeiling(requestOf({}))
    assert.ok(two - one > JSON.stringify(tool).length)
    // Anthropic lists up to 530 tokens for the instructions that come with tools.
    assert.ok(one - bare > 530 + (two - one))
    assert.equal(inputTokensCeiling(requestOf({ tools: [] })), bare)
  })

  it('counts one token for each number of an input that is tokenized already', () => {
    const input = Array.from({ length: 1000 }, (_, index) => index)
    assert.ok(inputTokensCeiling(requestOf({ operation: 'embeddings', extra: { input } })) >= 1000)
  })

  it('takes an image for the dearest there is, however small', () => {
    const image = { type: 'media', kind: 'image' } as const
    const tiles = 2_833 + 8 * 5_667
    assert.equal(ceilingOf({ ...image, data: 'aGk=', mediaType: 'image/png' }) - empty, tiles)
    assert.equal(ceilingOf({ ...image, url: 'https://example.com/a.png' }) - empty, tiles)
    assert.ok(
      ceilingOf({ type: 'tool_result', toolCallId: 't', content: [{ ...image, fileId: 'f' }] }) - empty >= tiles,
    )
  })

  it('takes files and sounds by their size, and for very large where it cannot see them', () => {
    const file = { type: 'media', kind: 'file' } as const
    const size = (kilobytes: number): string => Buffer.alloc(kilobytes * 1024).toString('base64')
    const grows = ceilingOf({ ...file, data: size(200) }) - ceilingOf({ ...file, data: size(100) })
    assert.ok(grows >= 100 * 1024)
    assert.ok(ceilingOf({ ...file, fileId: 'file-1' }) > 1_000_000)
    const sound = { type: 'media', kind: 'audio', mediaType: 'audio/mp3' } as const
    // A minute at 8 kbit/s is 60 kB; Gemini counts 32 tokens a second.
    const minute = Buffer.alloc(60_000).toString('base64')
    assert.ok(ceilingOf({ ...sound, data: minute }) - empty >= 60 * 32)
  })

  it('is of the request that is sent, and told to whoever reserves', async () => {
    const told: number[][] = []
    const reserver = definePlugin({
      name: 'reserver',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        transform: (exchange) =>
          exchange.edit((request) => ({ ...request, messages: [user({ type: 'text', text: 'x'.repeat(5_000) })] })),
        reserve: (_exchange, call) => void told.push([call.inputTokens, call.inputTokensCeiling, call.images]),
      }),
    })
    await using gateway = await harness({ plugins: [reserver] })
    await gateway.send()
    assert.deepEqual(told, [[1_250, ceilingOf({ type: 'text', text: 'x'.repeat(5_000) }), 0]])
  })
})

describe('images of a request', () => {
  it('are counted in messages and in tool results', () => {
    const image = { type: 'media', kind: 'image', url: 'https://example.com' } as const
    const audio = { type: 'media', kind: 'audio', data: '' } as const
    const result = { type: 'tool_result', toolCallId: 't', content: [image, image, audio] } as const
    assert.equal(imagesOf(requestOf({ messages: [user(image, audio), user({ type: 'text', text: 'x' }, result)] })), 3)
    assert.equal(imagesOf(requestOf({})), 0)
  })

  it('are those of the request of the attempt', async () => {
    const image = { type: 'media', kind: 'image', url: 'https://example.com' } as const
    const adder = definePlugin({
      name: 'adder',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        attempt(_exchange, attempt, next) {
          attempt.edit((request) => ({ ...request, messages: [user(image, image)] }))
          return next()
        },
      }),
    })
    const models = { 'fake/m': { prices: { input_per_million: 0, output_per_million: 0, per_image: 0.001 } } }
    await using gateway = await harness({
      plugins: [adder],
      provider: fakeProvider(undefined, { input: ['image'] }),
      config: { models },
    })
    const { outcome } = await gateway.send({ model: 'fake/m' })
    assert.deepEqual([outcome.usage?.images, outcome.usage?.costMicros], [2, 2_000])
  })
})
