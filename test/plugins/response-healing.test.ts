import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Dialect, Exchange, GenerateRequest, StreamEvent, Warning } from '@hadrian/core/plugin'
import * as fc from 'fast-check'
import { heal, longestRepair, longestText } from '../../plugins/response-healing/heal.ts'
import responseHealing from '../../plugins/response-healing/index.ts'

type Format = NonNullable<GenerateRequest['responseFormat']>

async function* source(events: readonly StreamEvent[], failure?: Error): AsyncGenerator<StreamEvent> {
  yield* events
  if (failure) throw failure
}

async function send(
  events: readonly StreamEvent[],
  options: { format?: Format; dialect?: Dialect; failure?: Error; n?: number } = {},
): Promise<{ sent: StreamEvent[]; warnings: Warning[]; error: unknown }> {
  const services = { options: {} } as unknown as Parameters<typeof responseHealing.setup>[0]
  const hooks = await responseHealing.setup(services)
  const warnings: Warning[] = []
  const exchange = {
    dialect: options.dialect ?? 'chat',
    request: { responseFormat: options.format ?? { type: 'json_object' }, n: options.n },
    warn: (warning: Warning) => warnings.push(warning),
  } as unknown as Exchange
  const sent: StreamEvent[] = []
  let error: unknown
  try {
    for await (const event of hooks.stream?.(exchange, source(events, options.failure), {}) ?? []) sent.push(event)
  } catch (thrown) {
    error = thrown
  }
  return { sent, warnings, error }
}

function text(value: string, choice?: number): StreamEvent {
  return { type: 'text', text: value, ...(choice !== undefined && { choice }) }
}

const stop: StreamEvent = { type: 'finish', reason: 'stop' }

void test('syntax is repaired, fences and prose are taken off', () => {
  for (const [broken, expected] of [
    ['{"a":1,}', { a: 1 }],
    ['{"a": [1, 2', { a: [1, 2] }],
    ['{"a": {"b": "c"}', { a: { b: 'c' } }],
    ["{a: 'b', c: True, d: None}", { a: 'b', c: true, d: null }],
    ['{"a":1 "b":2}', { a: 1, b: 2 }],
    ['"a": 1, "b": 2}', { a: 1, b: 2 }],
    ['{"a":1 // one\n}', { a: 1 }],
    ['```json\n{"a":1}\n```', { a: 1 }],
    ['```\n{"a":1,}', { a: 1 }],
    ['Sure, here it is:\n\n```json\n{"a": "```"}\n```\nAnything else?', { a: '```' }],
    ['The answer [1] is {"a": "x}"} as you wished.', { a: 'x}' }],
    ['{"code": "```js\n{}\n```",}', { code: '```js\n{}\n```' }],
    ['Fill in {name}: {"a":1}', { a: 1 }],
  ] as const) {
    assert.deepEqual(JSON.parse(heal(broken, 'object')?.text ?? 'null'), expected, broken)
  }
  assert.deepEqual(JSON.parse(heal('Items: [1, 2,]', 'array')?.text ?? 'null'), [1, 2])
  assert.deepEqual(JSON.parse(heal('Items: [{"a":1}]', 'any')?.text ?? 'null'), [{ a: 1 }])
})

void test('valid JSON and hopeless text are left alone', () => {
  for (const valid of ['{"a":1}', ' \n{"a" : 1}\n', '"text"', 'null', '[1]'])
    assert.equal(heal(valid, 'object'), undefined)
  for (const hopeless of ['', 'I cannot do that.', '```\nno\n```', '[', 'a: b: c']) {
    const healed = heal(hopeless, 'object')
    if (healed !== undefined) JSON.parse(healed.text)
  }
  assert.equal(heal('I cannot do that.', 'object'), undefined)
  assert.equal(heal('I cannot do that.', 'any'), undefined)
})

void test('whatever comes, the result is JSON of the wanted kind or nothing', () => {
  const fragments = fc.array(
    fc.constantFrom('{', '}', '[', ']', '"', "'", ':', ',', 'a', '1', '\\', '```', '\n', ' ', '//'),
  )
  fc.assert(
    fc.property(fragments, (parts) => {
      const healed = heal(parts.join(''), 'object')
      if (healed === undefined) return
      const value: unknown = JSON.parse(healed.text)
      assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value))
    }),
    { numRuns: 1000 },
  )
})

void test('a JSON value that lost its end comes back whole but for that', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), (value) => {
      const json = JSON.stringify(value)
      assert.deepEqual(JSON.parse(heal(json.slice(0, -1), 'object')?.text ?? 'null'), JSON.parse(json))
      assert.equal(heal(json, 'object'), undefined)
    }),
  )
})

void test('deep nesting and hard texts do no harm', () => {
  const started = performance.now()
  assert.equal(heal('[1,'.repeat(longestRepair / 3), 'array'), undefined)
  assert.equal(heal('{"a":'.repeat(200_000), 'object'), undefined)
  heal('{' + '"'.repeat(longestText - 1), 'object')
  heal(`{"a":"${'\\"'.repeat(500_000)}`, 'object')
  heal(' '.repeat(longestText), 'object')
  heal('`'.repeat(longestText), 'object')
  heal(`{"a":"${'"x'.repeat(longestRepair / 2 - 10)}`, 'object')
  assert.ok(performance.now() - started < 10_000)
  assert.equal(heal(`{"a":"${'x'.repeat(longestText)}",}`, 'object'), undefined)
  const long = `{"a":"${'x'.repeat(longestRepair)}"}`
  assert.equal(heal(`Here: ${long}`, 'object')?.text, long)
})

void test('a broken answer is held back and goes out repaired, with a warning', async () => {
  const { sent, warnings } = await send([
    { type: 'start', id: 'a' },
    { type: 'reasoning', text: 'hm' },
    { ...text('Here: {"a"'), native: { x: 1 }, logprobs: [{}] } as StreamEvent,
    text(':1,'),
    { type: 'usage', usage: { inputTokens: 1, outputTokens: 2 } },
    text('}'),
    stop,
  ])
  assert.deepEqual(sent, [
    { type: 'start', id: 'a' },
    { type: 'reasoning', text: 'hm' },
    { type: 'usage', usage: { inputTokens: 1, outputTokens: 2 } },
    text('{"a":1}'),
    stop,
  ])
  assert.deepEqual(
    warnings.map(({ code, param }) => [code, param]),
    [['response_healed', 'response_format']],
  )
  const other = await send([text('{'), stop], { dialect: 'responses' })
  assert.equal(other.warnings[0]?.param, 'text.format')
})

void test('a valid answer passes as the very same events', async () => {
  const events = [text('{"a"'), text(' : 1}'), stop]
  const { sent, warnings } = await send(events)
  assert.equal(sent.length, 3)
  for (const [index, event] of events.entries()) assert.equal(sent[index], event)
  assert.equal(warnings.length, 0)
})

void test('without a JSON format nothing is held back', async () => {
  const hooks = await responseHealing.setup({ options: {} } as unknown as Parameters<typeof responseHealing.setup>[0])
  for (const responseFormat of [undefined, { type: 'text' }, { type: 'native', value: {} }]) {
    const exchange = { request: { responseFormat } } as unknown as Exchange
    const events = source([])
    assert.equal(hooks.stream?.(exchange, events, {}), events)
    assert.equal(hooks.rewrites?.(exchange, {}), false)
  }
})

void test('the kind of JSON comes from the schema', async () => {
  const format = (schema?: object) => ({ type: 'json_schema', name: 'x', schema }) as Format
  const answer = [text('See {"x":1}: [1, 2,]'), stop]
  assert.deepEqual((await send(answer, { format: format({ type: 'array' }) })).sent[0], text('[1, 2]'))
  assert.equal((await send([text('Here: {"a":1}'), stop], { format: format() })).warnings.length, 1)
})

void test("a format with fields of the client's own is still one", async () => {
  const answer = [text('See {"x":1}: [1, 2,]'), stop]
  for (const value of [
    { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'array' }, own: 1 } },
    { type: 'json_schema', name: 'x', schema: { type: 'array' }, own: 1 },
  ]) {
    assert.deepEqual((await send(answer, { format: { type: 'native', value } })).sent[0], text('[1, 2]'))
  }
})

void test('an answer that was cut off by length, filter, tool call or error is left as it is', async () => {
  const broken = text('{"a":')
  for (const reason of ['length', 'content_filter', 'tool_calls', 'error'] as const) {
    const events: StreamEvent[] = [broken, { type: 'finish', reason }]
    assert.deepEqual((await send(events)).sent, events)
  }
  const calls: StreamEvent[] = [
    text('Let me look'),
    { type: 'tool_call', index: 0, id: 'c', name: 'f', arguments: '{' },
    { type: 'finish', reason: 'tool_calls' },
  ]
  assert.deepEqual((await send(calls)).sent, calls)
  const refused: StreamEvent[] = [{ type: 'text', text: 'No {', refusal: true }, stop]
  assert.deepEqual((await send(refused)).sent, refused)
})

void test('a cut stream gives what was held, and its failure goes on', async () => {
  assert.deepEqual((await send([text('{"a":')])).sent, [text('{"a":')])
  const failure = new Error('cut')
  const { sent, error, warnings } = await send([text('{"a":')], { failure })
  assert.deepEqual(sent, [text('{"a":')])
  assert.equal(error, failure)
  assert.equal(warnings.length, 0)
})

void test('choices are repaired apart, and parts keep their place after the text', async () => {
  const part: StreamEvent = { type: 'part', choice: 1, part: { type: 'native', dialect: 'x', value: { cite: 1 } } }
  const { sent } = await send([
    text('{"a":1', 0),
    { ...part, choice: 0 },
    part,
    text('{"b":2}', 1),
    { ...stop, choice: 1 },
    { ...stop, choice: 0 },
  ])
  assert.deepEqual(sent, [
    part,
    text('{"b":2}', 1),
    { ...stop, choice: 1 },
    text('{"a":1}', 0),
    { ...part, choice: 0 },
    { ...stop, choice: 0 },
  ])
})

void test('a text too long to repair stops being held back', async () => {
  const piece = text('x'.repeat(longestText / 2))
  const events = [piece, piece, text('{'), text('}'), stop]
  const { sent } = await send(events)
  assert.deepEqual(
    sent.map((event) => (event.type === 'text' ? event.text.length : 0)),
    [longestText / 2, longestText / 2, 1, 1, 0],
  )
})

void test('every documented defect is repaired and named', () => {
  for (const [what, broken, expected, defects] of [
    ['a missing bracket', '{"a": [1, {"b": 2}', '{"a": [1, {"b": 2}]}', ['brackets']],
    ['a missing quote at the end', '{"a": "b', '{"a": "b"}', ['brackets']],
    ['a missing first bracket', '"a": 1}', '{"a": 1}', ['brackets']],
    ['a bracket of the wrong kind', '{"a":[1,2}', '{"a":[1,2]}', ['syntax']],
    ['a bracket too many', '{"a":1}}', '{"a":1}', ['prose']],
    ['a trailing comma', '{"a":[1,],}', '{"a":[1]}', ['syntax']],
    ['a missing comma', '{"a":1 "b":2}', '{"a":1, "b":2}', ['syntax']],
    ['an unquoted key', '{a:1}', '{"a":1}', ['syntax']],
    ['single quotes', "{'a':'b'}", '{"a":"b"}', ['syntax']],
    ['curly quotes', '{“a”:“b”}', '{"a":"b"}', ['syntax']],
    ['quotes inside a string', '{"a":"say "hi" now"}', '{"a":"say \\"hi\\" now"}', ['syntax']],
    ['a line break inside a string', '{"a":"b\nc"}', '{"a":"b\\nc"}', ['syntax']],
    ['words of Python', '{"a":True,"b":None}', '{"a":true,"b":null}', ['syntax']],
    ['a comment', '{"a":1 /* one */}', '{"a":1 }', ['syntax']],
    ['a fence', '```json\n{"a":1}\n```', '{"a":1}', ['code_fence']],
    ['a fence without a language', '```\n{"a":1}\n```', '{"a":1}', ['code_fence']],
    ['a fence without an end', '```json\n{"a":1}', '{"a":1}', ['code_fence']],
    ['prose before', 'Sure! {"a":1}', '{"a":1}', ['prose']],
    ['prose after', '{"a":1}\n\nAnything else?', '{"a":1}', ['prose']],
    ['prose and a fence', 'Here:\n```json\n{"a":1}\n```\nDone.', '{"a":1}', ['prose', 'code_fence']],
    ['prose, a fence and syntax', 'Here:\n```json\n{a:1,}\n```', '{"a":1}', ['prose', 'code_fence', 'syntax']],
    ['a byte order mark', '\ufeff{"a":1}', '{"a":1}', []],
    ['one value after the other', '{"a":1}\n{"a":2}', '{"a":1}', ['prose']],
  ] as const)
    assert.deepEqual(heal(broken, 'object'), { text: expected, defects }, what)
})

void test('numbers, escapes and strings come through a repair as they were written', () => {
  const literals = [
    '12345678901234567890', '-0', '1.0', '1E+2', '1e400', '0.1000', '"\\u00e9\\ud83d\\ude00"', '"\\ud800"', '"\\/"',
    '"é😀"', '"http://x//y, {z}"', '"```"', '""', '[]', '{"a":1,"a":2}', '{"__proto__":1}', 'null',
  ] // prettier-ignore
  for (const literal of literals) {
    assert.equal(heal(`{"v":${literal},}`, 'object')?.text, `{"v":${literal}}`)
    assert.equal(heal(`{v:${literal}}`, 'object')?.text, `{"v":${literal}}`)
    assert.equal(heal(`Here: {"v":${literal}}`, 'object')?.text, `{"v":${literal}}`)
    assert.equal(heal(`{"w":[${literal}`, 'object')?.text, `{"w":[${literal}]}`)
  }
})

void test('damage at any place gives valid JSON or nothing, and never a throw', () => {
  const damage = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    gone: fc.nat({ max: 4 }),
    put: fc.constantFrom('', ',', '"', "'", '}', ']', '{', '\\', '\n', '```', 'x', '\0', '\ud800', '//', '...', '😀'),
  })
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(damage, { minLength: 1, maxLength: 4 }), (value, wounds) => {
      let text = JSON.stringify(value)
      for (const { at, gone, put } of wounds) {
        const index = Math.floor(at * text.length)
        text = text.slice(0, index) + put + text.slice(index + gone)
      }
      for (const wanted of ['object', 'array', 'any'] as const) {
        const healed = heal(text, wanted)
        if (!healed) continue
        JSON.parse(healed.text)
        assert.equal(heal(healed.text, wanted), undefined)
      }
    }),
    { numRuns: 2_000 },
  )
})

void test('a truncated answer is left alone, with a warning that says so', async () => {
  const events: StreamEvent[] = [text('{"a": [1, 2'), { type: 'finish', reason: 'length' }]
  const { sent, warnings } = await send(events)
  assert.deepEqual(sent, events)
  assert.deepEqual(warnings.map(({ code, details }) => [code, details]), [['response_truncated', { choice: 0 }]]) // prettier-ignore
  const whole = await send([text('{"a": 1}'), { type: 'finish', reason: 'length' }])
  assert.deepEqual(whole.warnings, [])
})

void test('the warning tells what was repaired, choice by choice', async () => {
  const events = [text('{"a":1,}', 0), text('Yes: {"b":2}', 1), { ...stop, choice: 0 }, { ...stop, choice: 1 }]
  const { warnings } = await send(events, { n: 2 })
  assert.deepEqual(
    warnings.map(({ details }) => details),
    [
      { choice: 0, defects: ['syntax'] },
      { choice: 1, defects: ['prose'] },
    ],
  )
  assert.notEqual(warnings[0]?.message, warnings[1]?.message)
})

void test('text beside a tool call or a refusal is left alone, wherever it stands', async () => {
  for (const beside of [
    { type: 'tool_call', index: 0, id: 'c', name: 'f', arguments: '{' },
    { type: 'text', text: 'No.', refusal: true },
  ] as const) {
    const events: StreamEvent[] = [text('{"a":'), beside, text('{"b":'), stop]
    assert.deepEqual((await send(events)).sent, events)
  }
})
