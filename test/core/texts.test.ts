import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { GenerateRequest, JsonObject } from '../../core/contract/canonical.ts'
import { dialects } from '../../core/dialects/index.ts'
import { promptTexts, textSlots } from '../../core/pipeline/texts.ts'

function requestOf(rest: Partial<GenerateRequest>): GenerateRequest {
  return { operation: 'generate', dialect: 'chat', messages: [], stream: false, extra: {}, ...rest }
}

/** Replaces in a request; returns what came out. */
function replaced(
  request: GenerateRequest,
  change: (text: string, path: string) => string,
): { request: GenerateRequest; writes: number } {
  let current = request
  let writes = 0
  textSlots(
    () => current,
    (next) => {
      current = next
      writes++
    },
  ).replace(change)
  return { request: current, writes }
}

const secret = 'SECRET'
const censor = (text: string): string => text.replaceAll(secret, '***')

/** Every place of a prompt in the body of a client, by dialect. Each is a body with the secret in one place. */
const places: Readonly<Record<string, readonly (readonly [place: string, body: JsonObject])[]>> = {
  chat: [
    ['system string', { messages: [{ role: 'system', content: secret }] }],
    ['user part', { messages: [{ role: 'user', content: [{ type: 'text', text: `a ${secret}` }] }] }],
    ['an earlier message', { messages: [{ role: 'user', content: secret }, { role: 'user', content: 'x' }] }],
    ['assistant text', { messages: [{ role: 'assistant', content: secret }] }],
    ['assistant refusal', { messages: [{ role: 'assistant', content: null, refusal: secret }] }],
    ['assistant reasoning', { messages: [{ role: 'assistant', content: 'x', reasoning: secret }] }],
    ['assistant reasoning details', { messages: [{ role: 'assistant', content: 'x', reasoning_details: [{ type: 'reasoning.text', text: secret, signature: 's' }] }] }],
    ['tool arguments', { messages: [{ role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: `{"q":"${secret}"}` } }] }] }],
    ['custom tool input', { messages: [{ role: 'assistant', tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'f', input: secret } }] }] }],
    ['function call of old', { messages: [{ role: 'assistant', content: null, function_call: { name: 'f', arguments: `{"q":"${secret}"}` } }] }],
    ['tool result', { messages: [{ role: 'tool', tool_call_id: 'c', content: secret }] }],
    ['tool result part', { messages: [{ role: 'tool', tool_call_id: 'c', content: [{ type: 'text', text: secret }] }] }],
    ['function result of old', { messages: [{ role: 'function', name: 'f', content: secret }] }],
    ['name of a participant', { messages: [{ role: 'user', name: secret, content: 'x' }] }],
    ['name of a file', { messages: [{ role: 'user', content: [{ type: 'file', file: { filename: secret, file_data: 'data:application/pdf;base64,AAAA' } }] }] }],
    ['a part of tomorrow', { messages: [{ role: 'user', content: [{ type: 'thought', words: { deep: [secret] } }] }] }],
    ['a field of a message of tomorrow', { messages: [{ role: 'user', content: 'x', aside: { note: secret } }] }],
    ['a field of a part of tomorrow', { messages: [{ role: 'user', content: [{ type: 'text', text: 'x', aside: secret }] }] }],
    ['tool description', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', function: { name: 'f', description: secret } }] }],
    ['tool parameter', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { q: { description: secret } } } } }] }],
    ['a tool parameter called required', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { required: { description: secret } } } } }] }],
    ['a tool parameter called type', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { type: { enum: [secret] } } } } }] }],
    ['a field of a tool of tomorrow', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', function: { name: 'f', hint: secret } }] }],
    ['a tool of another kind', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'custom', custom: { name: 'f', description: secret } }] }],
    ['function of old', { messages: [{ role: 'user', content: 'x' }], functions: [{ name: 'f', description: secret }] }],
    ['schema of the answer', { messages: [{ role: 'user', content: 'x' }], response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { description: secret } } } }],
    ['description of the answer', { messages: [{ role: 'user', content: 'x' }], response_format: { type: 'json_schema', json_schema: { name: 'n', description: secret, schema: {} } } }],
    ['grammar of the answer', { messages: [{ role: 'user', content: 'x' }], response_format: { type: 'grammar', grammar: secret } }],
    ['prediction', { messages: [{ role: 'user', content: 'x' }], prediction: { type: 'content', content: secret } }],
    ['a field of tomorrow', { messages: [{ role: 'user', content: 'x' }], briefing: [{ words: secret }] }],
  ],
  responses: [
    ['input string', { input: secret }],
    ['instructions', { input: 'x', instructions: secret }],
    ['message string', { input: [{ role: 'user', content: secret }] }],
    ['message part', { input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: secret }] }] }],
    ['output of before', { input: [{ type: 'message', role: 'assistant', id: 'm', status: 'completed', content: [{ type: 'output_text', text: secret, annotations: [] }] }] }],
    ['refusal of before', { input: [{ type: 'message', role: 'assistant', id: 'm', status: 'completed', content: [{ type: 'refusal', refusal: secret }] }] }],
    ['reasoning summary', { input: [{ type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: secret }] }] }],
    ['reasoning text', { input: [{ type: 'reasoning', id: 'r', summary: [], content: [{ type: 'reasoning_text', text: secret }] }] }],
    ['arguments', { input: [{ type: 'function_call', call_id: 'c', name: 'f', arguments: `{"q":"${secret}"}` }] }],
    ['function output', { input: [{ type: 'function_call_output', call_id: 'c', output: secret }] }],
    ['function output part', { input: [{ type: 'function_call_output', call_id: 'c', output: [{ type: 'input_text', text: secret }] }] }],
    ['custom tool input', { input: [{ type: 'custom_tool_call', call_id: 'c', name: 'f', input: secret }] }],
    ['custom tool output', { input: [{ type: 'custom_tool_call_output', call_id: 'c', output: secret }] }],
    ['shell output', { input: [{ type: 'local_shell_call_output', id: 'c', output: secret }] }],
    ['shell command', { input: [{ type: 'local_shell_call', id: 'i', call_id: 'c', status: 'completed', action: { type: 'exec', command: [secret], env: {} } }] }],
    ['an item of tomorrow', { input: [{ type: 'telepathy', thoughts: [{ deep: secret }] }] }],
    ['name of a file', { input: [{ role: 'user', content: [{ type: 'input_file', filename: secret, file_data: 'data:application/pdf;base64,AAAA' }] }] }],
    ['tool description', { input: 'x', tools: [{ type: 'function', name: 'f', description: secret, parameters: {}, strict: true }] }],
    ['hosted tool', { input: 'x', tools: [{ type: 'mcp', server_label: 's', server_description: secret }] }],
    ['schema of the answer', { input: 'x', text: { format: { type: 'json_schema', name: 'n', schema: { properties: { a: { description: secret } } } } } }],
    ['a field of tomorrow', { input: 'x', briefing: { words: secret } }],
  ],
  completions: [
    ['prompt', { prompt: secret }],
    ['one of several prompts', { prompt: ['x', secret] }],
    ['suffix', { prompt: 'x', suffix: secret }],
  ],
  embeddings: [
    ['input', { input: secret }],
    ['one of several inputs', { input: ['x', secret] }],
    ['a part of an input', { input: [{ content: [{ type: 'text', text: secret }] }] }],
  ],
} // prettier-ignore

describe('the texts of a request', () => {
  for (const [name, cases] of Object.entries(places))
    for (const [place, body] of cases)
      it(`has the prompt in ${name}: ${place}`, () => {
        const dialect = dialects[name as keyof typeof dialects]
        const request = dialect.decode({ model: 'm', ...body })
        assert.ok(
          promptTexts(request).some((text) => text.includes(secret)),
          'it is not seen',
        )
        const { request: after, writes } = replaced(request, censor)
        assert.equal(writes, 1)
        assert.ok(!JSON.stringify(after).includes(secret), 'it is not replaced')
        assert.ok(JSON.stringify(request).includes(secret), 'the old request was changed')
        assert.ok(JSON.stringify(after).includes('***'))
      })

  it('have where a plugin lets the upstream search', () => {
    const webSearch = { includeDomains: ['a.example'], userLocation: { type: 'approximate', city: secret } }
    const { request, writes } = replaced(requestOf({ webSearch }), censor)
    assert.equal(writes, 1)
    assert.deepEqual(request.webSearch, { ...webSearch, userLocation: { type: 'approximate', city: '***' } })
  })

  it('leave out what steers and identifies', () => {
    const request = dialects.chat.decode({
      model: 'the-model',
      user: 'the-user',
      prompt_cache_key: 'the-key',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'image_url', image_url: { url: 'https://example.com/the-image.png', detail: 'high' } },
            { type: 'input_audio', input_audio: { data: 'VGhlQXVkaW8=', format: 'wav' } },
          ],
        },
        { role: 'tool', tool_call_id: 'the-call', content: 'result' },
      ],
    })
    assert.deepEqual(promptTexts(request), ['look', 'result'])
  })

  it('come with their places', () => {
    const request = requestOf({
      messages: [
        {
          role: 'tool',
          content: [{ type: 'tool_result', toolCallId: 'c', content: [{ type: 'text', text: 'a' }] }],
          extra: { aside: ['b'] },
        },
      ],
      tools: [{ type: 'function', name: 'f', description: 'c' }],
      extra: { note: { deep: 'd' } },
    })
    const paths: string[] = []
    replaced(request, (text, path) => {
      paths.push(path)
      return text
    })
    for (const path of [
      'messages[0].content[0].content[0].text',
      'messages[0].aside[0]',
      'tools[0].description',
      'note.deep',
    ])
      assert.ok(paths.includes(path), path)
  })

  it('write nothing if nothing changes, and share what did not', () => {
    const request = requestOf({
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'keep' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: secret },
            { type: 'text', text: 'keep' },
          ],
        },
      ],
      tools: [{ type: 'function', name: 'f', description: 'keep' }],
      extra: { note: 'keep' },
    })
    assert.equal(replaced(request, (text) => text).writes, 0)
    assert.equal(replaced(request, (text) => text).request, request)
    const after = replaced(request, censor).request
    assert.equal(after.messages[0], request.messages[0])
    assert.equal(after.messages[1]!.content[1], request.messages[1]!.content[1])
    assert.equal(after.tools, request.tools)
    assert.equal(after.extra, request.extra)
  })

  it('take the signature from reasoning that is not what was signed any more, and from no other', () => {
    const request = requestOf({
      messages: [
        {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: secret, signature: 'signed' },
            { type: 'reasoning', text: 'as it was', signature: 'signed' },
          ],
        },
      ],
    })
    assert.deepEqual(replaced(request, censor).request.messages[0]!.content, [
      { type: 'reasoning', text: '***' },
      { type: 'reasoning', text: 'as it was', signature: 'signed' },
    ])
  })

  it('keep a field called __proto__ what it was', () => {
    const native = JSON.parse('{"__proto__":{"words":"SECRET"},"other":"SECRET"}') as JsonObject
    const request = requestOf({
      messages: [{ role: 'user', content: [{ type: 'native', dialect: 'chat', value: native }] }],
    })
    const after = JSON.stringify(replaced(request, censor).request)
    assert.ok(after.includes('{"__proto__":{"words":"***"},"other":"***"}'), after)
  })

  it('can be read again and again, and show what was written', () => {
    let current = requestOf({ messages: [{ role: 'user', content: [{ type: 'text', text: 'one' }] }] })
    const slots = textSlots(
      () => current,
      (next) => {
        current = next
      },
    )
    assert.deepEqual([slots.length, ...slots, ...slots], [1, 'one', 'one'])
    slots.replace(() => 'two')
    assert.deepEqual([...slots], ['two'])
  })
})

/** JSON with strings anywhere, under keys that are not the ones that steer. */
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.integer(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.stringMatching(/^k[a-z]{0,4}$/), tie('value'), { maxKeys: 4 }),
  ),
})).value

/** Plants the secret at the n-th string of a JSON value. */
function plant(value: unknown, countdown: { left: number }): unknown {
  if (typeof value === 'string') return countdown.left-- === 0 ? value + secret : value
  if (Array.isArray(value)) return value.map((entry) => plant(entry, countdown))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, plant(entry, countdown)]))
}

describe('the texts of a request, wherever they stand', () => {
  it('has a secret that is planted anywhere, and can take it out', () => {
    fc.assert(
      fc.property(
        json,
        fc.constantFrom('part', 'message', 'tool', 'field', 'result'),
        fc.nat(30),
        (value, where, at) => {
          const countdown = { left: at }
          const planted = { note: plant(value, countdown) }
          fc.pre(countdown.left < 0)
          const body = {
            part: { messages: [{ role: 'user', content: [{ type: 'novel', planted }] }] },
            message: { messages: [{ role: 'assistant', content: 'x', planted }] },
            tool: { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'novel', planted }] },
            field: { messages: [{ role: 'user', content: 'x' }], planted },
            result: {
              messages: [{ role: 'tool', tool_call_id: 'c', content: [{ type: 'novel', planted }] }],
            },
          }[where]
          const request = dialects.chat.decode({ model: 'm', ...body })
          assert.ok(promptTexts(request).some((text) => text.includes(secret)))
          assert.ok(!JSON.stringify(replaced(request, censor).request).includes(secret))
        },
      ),
      { numRuns: 500 },
    )
  })
})
