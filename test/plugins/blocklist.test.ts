import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerOf, isGatewayError } from '@hadrian/core/plugin'
import type { Exchange, GatewayError, JsonObject, OptionsOf, StateKey, StreamEvent } from '@hadrian/core/plugin'
import * as fc from 'fast-check'
import blocklist from '../../plugins/blocklist/index.ts'
import { createMatcher } from '../../core/contract/plugin.ts'
import type { MatcherOptions } from '../../core/contract/plugin.ts'
import { TextFilter, filterText } from '../../plugins/blocklist/text-filter.ts'

type Options = OptionsOf<typeof blocklist.options>

const defaults: Options = {
  words: [],
  patterns: [],
  whole_words: true,
  case_sensitive: false,
  action: 'redact',
  replacement: '[redacted]',
  input: true,
  output: true,
  message: 'No',
  categories: ['names'],
}

async function hooks(options: Partial<Options>) {
  const services = { options: { ...defaults, ...options } } as unknown as Parameters<typeof blocklist.setup>[0]
  return blocklist.setup(services)
}

function matcher(options: Partial<MatcherOptions>) {
  return createMatcher({ ...defaults, ...options })
}

function redactAll(options: Partial<MatcherOptions>, text: string): string {
  return filterText(matcher(options), '#', text).text
}

function exchangeWith(texts: [path: string, text: string][] = []) {
  const values = new Map<StateKey<unknown>, unknown>()
  let edits = 0
  const exchange = {
    get: (key: StateKey<unknown>) => values.get(key),
    set: (key: StateKey<unknown>, value: unknown) => values.set(key, value),
    texts: () => ({
      replace(change: (text: string, path: string) => string) {
        for (const entry of texts) {
          const changed = change(entry[1], entry[0])
          if (changed !== entry[1]) edits++
          entry[1] = changed
        }
      },
    }),
  } as unknown as Exchange
  return { exchange, texts, edits: () => edits }
}

/** What the client gets: the events through `event`, and `flush` before the first `finish` and at the end. */
async function send(options: Partial<Options>, events: readonly StreamEvent[]): Promise<StreamEvent[]> {
  const active = await hooks(options)
  const { exchange } = exchangeWith()
  const sent: StreamEvent[] = []
  for (const one of events) {
    const result = active.event?.(exchange, one, {})
    if (result === undefined) sent.push(one)
    else if (result !== null) sent.push(...(Array.isArray(result) ? result : [result]))
  }
  return [...sent, ...(active.flush?.(exchange, {}) ?? [])]
}

function isBlocked(error: unknown): error is GatewayError {
  return (
    isGatewayError(error) &&
    error.code === 'content_blocked' &&
    error.status === 400 &&
    error.message === 'No' &&
    JSON.stringify(error.details) === '{"plugin":"blocklist","categories":["names"]}'
  )
}

/** Cuts a text at random places. */
function pieces(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...places].map((place, index) => text.slice(place, places[index] ?? text.length))
}

void test('words are found as whole words, in any case, as the operator says', () => {
  assert.equal(
    redactAll({ words: ['foo'] }, 'Foo, food, snafoo, foo_1, fooé, foo.'),
    '#, food, snafoo, foo_1, fooé, #.',
  )
  assert.equal(redactAll({ words: ['foo'], whole_words: false }, 'Foo food snafoo'), '# #d sna#')
  assert.equal(redactAll({ words: ['foo'], case_sensitive: true }, 'Foo foo'), 'Foo #')
  assert.equal(redactAll({ words: ['c++', '.net', 'a b'] }, 'c++11 x.net .Netto a b a bc'), '#11 x# .Netto # a bc')
  assert.equal(redactAll({ words: ['foo', 'foo bar', 'foo b'] }, 'foo bar foo ba foo'), '# # ba #')
  assert.equal(redactAll({ words: ['naïve', '東京', '😀'] }, 'NAÏVE 東京 東京都 😀'), '# # 東京都 #')
})

void test('patterns are found, and only bounded ones are taken', () => {
  assert.equal(
    redactAll({ patterns: [String.raw`\b\d{4}[- ]?\d{4}\b`] }, '1234-5678 12345678 123456789'),
    '# # 123456789',
  )
  assert.equal(redactAll({ patterns: [String.raw`(?:\d{1,3}\.){3}\d{1,3}`] }, 'at 10.0.0.255!'), 'at #!')
  assert.equal(redactAll({ patterns: ['(?<word>colou?r|gr[ae]y)'] }, 'COLOR colour grey groy'), '# # # groy')
  assert.equal(redactAll({ patterns: [String.raw`\p{Lu}\u{1F600}a{2,3}?`] }, 'x É😀aaa'), 'x #a')
  for (const [pattern, reason] of [
    ['a+', /no upper bound; write for instance "\{1,40\}"/],
    ['a*b', /no upper bound; write for instance "\{0,40\}"/],
    ['a{3,}', /no upper bound/],
    ['(?=a)b', /look-around/],
    ['(?<!a)b', /look-around/],
    ['(?i:a)', /modifiers/],
    [String.raw`(a)\1`, /back-references/],
    ['^a', /"\^" is not supported/],
    ['a$', /"\$" is not supported/],
    ['(', /Unterminated group/],
    ['a?', /empty text/],
    ['(a{1,30}){1,30}', /too many ways/],
    ['a{2000}', /more than 1000 characters/],
  ] as const) {
    assert.throws(() => matcher({ patterns: ['ok', pattern] }), reason, pattern)
    assert.throws(() => matcher({ patterns: ['ok', pattern] }), /patterns\[1\]/)
  }
  assert.throws(() => matcher({}), /at least one of words and patterns/)
  assert.throws(() => matcher({ words: [' '], patterns: ['a+'] }), /words\[0\].*patterns\[0\]/)
})

const filters: readonly Partial<MatcherOptions>[] = [
  { words: ['ab', 'abab', 'b a', 'aab'] },
  { words: ['ab', 'ba', 'aabb'], whole_words: false },
  { words: ['a😀', 'é'], whole_words: false },
  { patterns: ['a[ab]{1,3}b', String.raw`\bb a`] },
  { patterns: ['(?:ab|a){2,3}?b?', '😀{2}'], words: ['bb'] },
  { patterns: ['a{0,2}(?:b|)a', '.é'] },
]
const texts = fc
  .array(fc.constantFrom('a', 'b', 'A', ' ', 'é', '😀', '.', '"', '\n'), { maxLength: 40, size: 'max' })
  .map((parts) => parts.join(''))
const cuts = fc.array(fc.nat(60), { maxLength: 20, size: 'max' })

void test('however a text is split, what goes out is what the whole text would have become', () => {
  for (const options of filters) {
    const search = matcher(options)
    fc.assert(
      fc.property(texts, cuts, (text, places) => {
        const expected = text.replace(search.match, '[#]')
        const filter = new TextFilter(search, '[#]')
        let output = ''
        let input = ''
        for (const piece of pieces(text, places)) {
          output += filter.push(piece).text
          input += piece
          // What has gone out is a beginning of the result: nothing was sent that had to be taken back.
          assert.ok(expected.startsWith(output))
          if (!/[\uD800-\uDBFF]$/.test(input)) {
            const undecided = input.length - consumed(input, search.match, output)
            assert.ok(undecided <= search.window - 1, `${undecided} held back of ${JSON.stringify(input)}`)
          }
        }
        output += filter.release().text
        assert.equal(output, expected)
        assert.equal(filter.holds, false)
      }),
      { numRuns: 400 },
    )
  }
})

/** How much of the input an output accounts for. */
function consumed(input: string, match: RegExp, output: string): number {
  let sent = output.length
  let position = 0
  // A copy: the search goes on from wherever the filter left off.
  for (const found of input.matchAll(new RegExp(match))) {
    const before = found.index - position
    if (sent < before + 3) return position + Math.min(sent, before)
    sent -= before + 3
    position = found.index + found[0].length
  }
  return position + sent
}

void test('text that begins no match goes out at once', () => {
  const filter = new TextFilter(matcher({ words: ['secret', 'secret plan'] }), '#')
  assert.equal(filter.push('Hello the').text, 'Hello the')
  assert.equal(filter.push('re, s').text, 're, ')
  assert.equal(filter.push('ec').text, '')
  assert.equal(filter.push('ond').text, 'second')
  assert.equal(filter.push(' secret').text, ' ')
  assert.deepEqual(filter.push('!'), { text: '#!', matched: true })
})

void test('arguments of tools are JSON: escapes hide nothing, and the result stays JSON', () => {
  const search = matcher({ words: ['foo', 'é😀'], patterns: ['a\nb'] })
  const values = fc
    .array(fc.constantFrom('foo', ' ', '\n', 'é😀', 'a', 'b', '"', '\\', 'x', '/', 'f'))
    .map((all) => all.join(''))
  fc.assert(
    fc.property(values, cuts, fc.boolean(), (value, places, escapeAll) => {
      const quoted = JSON.stringify({ value })
      const json = escapeAll
        ? quoted.replace(/(?<=^\{"value":").*(?="\}$)/, () =>
            value.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
          )
        : quoted
      const filter = new TextFilter(search, '<"#">', true)
      const output = pieces(json, places).map((piece) => filter.push(piece).text)
      const whole = output.join('') + filter.release().text
      assert.equal((JSON.parse(whole) as { value: string }).value, value.replace(search.match, '<"#">'))
    }),
    { numRuns: 500 },
  )
  const untouched = String.raw`{"a":"\u00e9\/\n","b":1}`
  assert.equal(filterText(search, '#', untouched, true).text, untouched)
})

void test('a match that another block interrupted does not leave whole', () => {
  const filter = new TextFilter(matcher({ words: ['foobar'] }), '#')
  assert.equal(filter.push('x foo').text, 'x ')
  assert.deepEqual(filter.release(), { text: 'foo', matched: false })
  assert.deepEqual(filter.release(), { text: '', matched: false })
  assert.equal(filter.push('b').text, '')
  assert.deepEqual(filter.push('ar.'), { text: '#.', matched: true })
  assert.deepEqual(filter.push('foobar!'), { text: '#!', matched: true })
})

void test('prompts: refuse says no with its details, redact replaces every text', async () => {
  const refuse = await hooks({ words: ['foo'], action: 'refuse' })
  await assert.rejects(
    async () =>
      refuse.transform?.(
        exchangeWith([
          ['a', 'ok'],
          ['b', 'a Foo'],
        ]).exchange,
        {},
      ),
    isBlocked,
  )
  await refuse.transform?.(exchangeWith([['a', 'food']]).exchange, {})

  const redact = await hooks({ words: ['foo'], replacement: '"' })
  const { exchange, texts, edits } = exchangeWith([
    ['messages[0].content[0].text', 'foo foo'],
    ['messages[1].content[0].text', 'nothing'],
    ['messages[2].content[0].arguments', String.raw`{"a":"\nfoo"}`],
  ])
  await redact.transform?.(exchange, {})
  assert.deepEqual(
    texts.map(([, text]) => text),
    ['" "', 'nothing', String.raw`{"a":"\n\""}`],
  )
  assert.equal(edits(), 2)
})

void test('input and output can each be left alone, so that passthrough stays, but not both', async () => {
  const onlyOutput = await hooks({ words: ['x'], input: false })
  assert.deepEqual(Object.keys(onlyOutput), ['guardrail', 'event', 'flush'])
  assert.deepEqual(onlyOutput.guardrail, { input: false, output: true })
  assert.deepEqual(Object.keys(await hooks({ words: ['x'], output: false })), ['guardrail', 'transform'])
  await assert.rejects(hooks({ words: ['x'], input: false, output: false }), /input and output/)
})

const answer: readonly StreamEvent[] = [
  { type: 'start', id: 'a', model: 'm' },
  { type: 'reasoning', block: 0, text: 'think fo' },
  { type: 'reasoning', block: 0, text: 'o bar', summary: 'sum foo' },
  { type: 'reasoning', block: 0, signature: 'foo' },
  { type: 'text', block: 1, text: 'say f' },
  { type: 'text', block: 1, text: 'oo and fo' },
  { type: 'tool_call', index: 0, id: 'foo', name: 'find' },
  { type: 'tool_call', index: 0, arguments: '{"a":"fo' },
  { type: 'tool_call', index: 1, id: 'c2', name: 'find', arguments: '{"b":"f' },
  { type: 'tool_call', index: 0, arguments: 'o"}' },
  { type: 'tool_call', index: 1, arguments: 'oo"}' },
  { type: 'part', part: { type: 'native', dialect: 'x', value: { deep: [{ text: 'a foo' }], type: 'foo' } } },
  { type: 'usage', usage: { inputTokens: 1, outputTokens: 2 } },
  { type: 'finish', reason: 'tool_calls' },
]

void test('answers: every kind of text is redacted, in order', async () => {
  const sent = await send({ words: ['foo'], replacement: '#' }, answer)
  assert.deepEqual(answerOf(sent).choices, [
    {
      index: 0,
      content: [
        { type: 'reasoning', text: 'think # bar', summary: 'sum #', signature: 'foo' },
        { type: 'text', text: 'say # and fo' },
        { type: 'tool_call', id: 'foo', name: 'find', arguments: '{"a":"#"}' },
        { type: 'tool_call', id: 'c2', name: 'find', arguments: '{"b":"#"}' },
        { type: 'native', dialect: 'x', value: { deep: [{ text: 'a #' }], type: 'foo' } },
      ],
      finishReason: 'tool_calls',
    },
  ])
  const kinds = sent.map((event) => event.type).filter((type, index, all) => type !== all[index - 1])
  assert.deepEqual(kinds, ['start', 'reasoning', 'text', 'tool_call', 'part', 'usage', 'finish'])
})

void test('answers: refuse throws before the last piece of the word leaves', async () => {
  for (const event of answer.filter(({ type }) => type !== 'start' && type !== 'usage' && type !== 'finish')) {
    const word = JSON.stringify(event).includes('foo') && !('signature' in event) && !('name' in event)
    const alone = send({ words: ['foo'], action: 'refuse' }, [event])
    await (word ? assert.rejects(alone, isBlocked) : alone)
  }
  await assert.rejects(send({ words: ['foo'], action: 'refuse' }, answer), isBlocked)
  await assert.rejects(
    send({ words: ['foo'], action: 'refuse' }, [
      { type: 'text', text: 'the foo' },
      { type: 'finish', reason: 'stop' },
    ]),
    isBlocked,
  )
  await assert.rejects(
    send({ words: ['foo'], action: 'refuse' }, [{ type: 'tool_call', index: 0, id: 'i', name: 'foo' }]),
    isBlocked,
  )
})

void test('events without a match stay the very same objects', async () => {
  const events: StreamEvent[] = [
    { type: 'start', native: { id: 'x' } },
    { type: 'text', text: 'plain ', native: { delta: 'plain ' }, logprobs: [{ token: 'plain' }] },
    { type: 'part', part: { type: 'media', kind: 'image', data: 'iVBORw0KGgoAAAAN/foo/SUhEUg==' } },
    { type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } },
    { type: 'finish', reason: 'stop', native: { finish_reason: 'stop' } },
  ]
  const sent = await send({ words: ['foo'] }, events)
  assert.equal(sent.length, events.length)
  for (const [index, event] of events.entries()) assert.equal(sent[index], event)
})

void test("a provider's own object never carries what was redacted", async () => {
  const native: JsonObject = { output: [{ content: [{ text: 'all foo' }] }] }
  const events: StreamEvent[] = [
    { type: 'text', text: 'all f', native: { delta: 'all f' }, logprobs: [{ token: 'all f' }] },
    { type: 'text', text: 'oo', native: { delta: 'oo' } },
    { type: 'text', text: '.', native: { delta: '.' } },
    { type: 'finish', reason: 'stop', native },
  ]
  const sent = await send({ words: ['foo'], replacement: '#' }, events)
  assert.deepEqual(sent, [
    { type: 'text', text: 'all ' },
    { type: 'text', text: '#.' },
    { type: 'finish', reason: 'stop' },
  ])
})

void test('choices are told apart, and a cut stream gives what was held back', async () => {
  const sent = await send({ words: ['foo'], replacement: '#' }, [
    { type: 'text', choice: 0, text: 'fo' },
    { type: 'text', choice: 1, text: 'o fo' },
    { type: 'text', choice: 0, text: 'o.' },
    { type: 'finish', choice: 0, reason: 'stop' },
  ])
  assert.deepEqual(sent, [
    { type: 'text', choice: 1, text: 'o ' },
    { type: 'text', choice: 0, text: '#.' },
    { type: 'finish', choice: 0, reason: 'stop' },
    { type: 'text', choice: 1, text: 'fo' },
  ])
})

void test('however an answer is split into events, the redacted answer is the same', async () => {
  const whole = answerOf(await send({ words: ['foo'], replacement: '#' }, answer)).choices
  await fc.assert(
    fc.asyncProperty(fc.array(cuts, { minLength: answer.length, maxLength: answer.length }), async (places) => {
      const split = answer.flatMap((event, index): StreamEvent[] => {
        const at = places[index] ?? []
        if (event.type === 'text') return pieces(event.text, at).map((text) => ({ ...event, text }))
        if (event.type === 'reasoning' && event.text !== undefined) {
          const { text, summary, ...rest } = event
          const parts: StreamEvent[] = pieces(text, at).map((piece) => ({ ...rest, text: piece }))
          return summary === undefined
            ? parts
            : [...parts, ...pieces(summary, at).map((piece) => ({ ...rest, summary: piece }))]
        }
        if (event.type === 'tool_call' && event.arguments !== undefined) {
          return pieces(event.arguments, at).map((piece, place) =>
            place === 0 ? { ...event, arguments: piece } : { type: 'tool_call', index: event.index, arguments: piece },
          )
        }
        return [event]
      })
      assert.deepEqual(answerOf(await send({ words: ['foo'], replacement: '#' }, split)).choices, whole)
    }),
  )
})

void test('a hostile text costs little', () => {
  const search = matcher({ patterns: [String.raw`[\w.]{1,64}@[\w.]{1,64}`], words: ['x'.repeat(900)] })
  const started = performance.now()
  filterText(search, '#', 'a'.repeat(200_000))
  filterText(search, '#', 'x'.repeat(200_000))
  assert.ok(performance.now() - started < 5000)
})
