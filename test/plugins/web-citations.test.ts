import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fakeProvider, harness } from '@hadrian/core/testing'
import type { FakeScript, Harness } from '@hadrian/core/testing'
import type { JsonObject, StreamEvent } from '../../core/contract/plugin.ts'
import { CitationMatcher } from '../../plugins/web/citation-matcher.ts'
import web from '../../plugins/web/index.ts'
import { chatText, drain } from '../core/hook-plugin.ts'
import { openEngine } from './search-engine.ts'

const urls = [
  'https://example.com/falcons',
  'https://example.com/falcons/speed',
  'https://example.com/falcon',
  'https://example.com/a_(bird)',
  'https://birds.example.org/',
  'https://birds.example.org/?q=a&b=c.d',
  'http://example.com/x.html',
  'http://example.com/x',
  'https://пример.example/путь',
]
const results = urls.map((url) => ({ url, title: 't', snippet: 's' }))

/** What is cited in a text that comes in these pieces, with the place's text. */
function cited(pieces: readonly string[]): [url: string, place: string, start: number, end: number][] {
  const matcher = new CitationMatcher(results)
  const text = pieces.join('')
  const found = [...pieces.flatMap((piece) => matcher.push(piece)), ...matcher.end()]
  return found.map(({ result, start, end }) => [result.url, text.slice(start, end), start, end])
}

const places = (text: string): (readonly [string, string])[] =>
  cited([text]).map(([url, place]) => [url, place] as const)
const [falcons, speed, falcon, bird, birds, query, html, plain, cyrillic] = urls

describe('web: what counts as a citation', () => {
  for (const [text, expected] of [
    ['', []],
    ['See https://example.com/falcons.', [[falcons, falcons]]],
    ['See https://example.com/falcons', [[falcons, falcons]]],
    ['https://example.com/falcons/ and', [[falcons, `${falcons}/`]]],
    ['<https://example.com/falcons>', [[falcons, falcons]]],
    ['**https://example.com/falcons**!', [[falcons, falcons]]],
    [
      'https://example.com/falcons/speed https://example.com/falcon,',
      [
        [speed, speed],
        [falcon, falcon],
      ],
    ],
    ['https://example.com/falconsX https://example.com/falcons-x https://example.com/falcons/x', []],
    ['https://example.com/falcons?x=1 https://example.com/falcons.html', []],
    ['https://example.com/falcons?', [[falcons, falcons]]],
    ['https://example.com/falcons... Yes', [[falcons, falcons]]],
    ['xhttps://example.com/falcons https://web.archive.org/https://example.com/falcons', []],
    ['https://other.org/?u=https://example.com/falcons', []],
    [
      'https://birds.example.org and https://birds.example.org/',
      [
        [birds, 'https://birds.example.org'],
        [birds, birds],
      ],
    ],
    ['https://birds.example.org/?q=a&b=c.d!', [[query, query]]],
    [
      'http://example.com/x.html http://example.com/x. http://example.com/x.htm',
      [
        [html, html],
        [plain, plain],
      ],
    ],
    ['https://пример.example/путь.', [[cyrillic, cyrillic]]],
    ['https://example.com/falcon😀', [[falcon, falcon]]],
    ['[Falcons](https://example.com/falcons)', [[falcons, '[Falcons](https://example.com/falcons)']]],
    ['([a] [b](https://example.com/falcons)).', [[falcons, '[b](https://example.com/falcons)']]],
    ['[[1]](https://example.com/falcons)', [[falcons, '[[1]](https://example.com/falcons)']]],
    ['[a](<https://example.com/falcons>)', [[falcons, '[a](<https://example.com/falcons>)']]],
    ['[a](https://example.com/falcons "A title (b)") x', [[falcons, '[a](https://example.com/falcons "A title (b)")']]],
    ["[a](https://example.com/falcons/ 'b' )", [[falcons, "[a](https://example.com/falcons/ 'b' )"]]],
    ['[a](https://example.com/falcons "no end', [[falcons, falcons]]],
    ['[a](https://example.com/falcons', [[falcons, falcons]]],
    ['[a](https://example.com/a_(bird))', [[bird, '[a](https://example.com/a_(bird))']]],
    [
      '[a](https://example.com/falcons)[b](https://example.com/falcon)',
      [
        [falcons, '[a](https://example.com/falcons)'],
        [falcon, '[b](https://example.com/falcon)'],
      ],
    ],
    [
      '[https://example.com/falcons](https://example.com/falcons)',
      [
        [falcons, falcons],
        [falcons, falcons],
      ],
    ],
    [`[${'x'.repeat(400)}](https://example.com/falcons)`, [[falcons, falcons]]],
    ['](https://example.com/falcons)', [[falcons, falcons]]],
    ['| a | https://example.com/falcons |', [[falcons, falcons]]],
  ] as const)
    it(JSON.stringify(text.slice(0, 70)), () => assert.deepEqual(places(text), expected))
})

describe('web: the matcher', () => {
  const word = fc.oneof(
    fc.constantFrom(...urls, ...urls.map((url) => `[label](${url})`), ...urls.map((url) => url.slice(0, -2))),
    fc.constantFrom(
      '[',
      ']',
      '](',
      ')',
      '(',
      '<',
      '>',
      ' "t")',
      '.',
      ',',
      '...',
      ' ',
      '\n',
      'http',
      'ht',
      'https://',
      '/',
      '😀',
      '𝐀',
      'x',
      'ü',
      '=',
    ),
    fc.string({ maxLength: 10 }),
  )

  it('finds the same wherever the text is split', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), fc.array(fc.nat(2000), { maxLength: 40 }), (words, cuts) => {
        const text = words.join('')
        const at = [...new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length])].toSorted(
          (a, b) => a - b,
        )
        const pieces = at.slice(1).map((end, index) => text.slice(at[index], end))
        assert.deepEqual(cited(pieces), cited([text]))
        assert.deepEqual(cited(Array.from({ length: text.length }, (_, index) => text[index]!)), cited([text]))
      }),
      { numRuns: 500 },
    )
  })

  it('finds the same deep inside of a long text, and keeps little of it', () => {
    const filler = 'Lorem ipsum [dolor] http sit amet. '.repeat(2000)
    const text = `${filler}[a](https://example.com/falcons)${filler}https://example.com/falcon ${filler}`
    const pieces = text.match(/[^]{1,7}/g)!
    assert.deepEqual(cited(pieces), cited([text]))
    assert.equal(cited(pieces).length, 2)
    const matcher = new CitationMatcher(results)
    for (const piece of pieces) matcher.push(piece)
    assert.ok(JSON.stringify(Object.values(matcher)).length < 5000)
  })

  it('tells a citation with the piece that decides it', () => {
    const matcher = new CitationMatcher(results)
    assert.equal(matcher.push('see [a](https://example.com/falcons').length, 0)
    assert.equal(matcher.push(')').length, 1)
  })
})

const page = { url: 'https://example.com/falcons', title: 'Falcons', content: 'They are fast.' }
const other = { url: 'https://birds.example.org/', title: 'Birds', content: '' }

async function answering(script: FakeScript): Promise<Harness & { engine: Awaited<ReturnType<typeof openEngine>> }> {
  const engine = await openEngine({ results: [page, other] })
  const gateway = await harness({
    plugins: [[web, { searxng: { base_url: engine.url } }]],
    provider: fakeProvider(script),
  })
  return Object.assign(gateway, {
    engine,
    [Symbol.asyncDispose]: async () => {
      await gateway.stop()
      await engine[Symbol.asyncDispose]()
    },
  })
}

const named = { plugins: [{ id: 'web' }] }
const answer = 'They are 😀 fast [example.com](https://example.com/falcons), says https://birds.example.org'
const citations = [
  { url: page.url, title: 'Falcons', content: 'They are fast.', start_index: 17, end_index: 59 },
  { url: other.url, title: 'Birds', start_index: 66, end_index: 91 },
]

/** The answer in pieces of so many characters. */
function pieces(text: string, size: number, choice?: number): StreamEvent[] {
  const found = Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
    text.slice(index * size, (index + 1) * size),
  )
  return found.map((piece) => ({ type: 'text', text: piece, ...(choice !== undefined && { choice }) }))
}

const ending: readonly StreamEvent[] = [
  { type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } },
  { type: 'finish', reason: 'stop' },
]

describe('web: annotations', () => {
  it('has the places right', () => {
    assert.equal(answer.slice(17, 59), '[example.com](https://example.com/falcons)')
    assert.equal(answer.slice(66, 91), 'https://birds.example.org')
  })

  for (const size of [1, 3, 7, 1000]) {
    it(`go to a chat client, pieces of ${size}`, async () => {
      await using gateway = await answering(() => [{ type: 'start' }, ...pieces(answer, size), ...ending])
      const { body } = await gateway.send(named)
      const [{ message }] = body['choices'] as [{ message: JsonObject }]
      const expected = citations.map((citation) => ({ type: 'url_citation', url_citation: citation }))
      assert.equal(message['content'], answer)
      assert.deepEqual(message['annotations'], expected)

      const { records } = await gateway.stream(named)
      const all = await drain(records)
      const deltas = all.flatMap(
        ({ data }) => ((data as JsonObject)['choices'] ?? []) as { delta: JsonObject; finish_reason: unknown }[],
      )
      assert.equal(chatText(all), answer)
      assert.deepEqual(
        deltas.flatMap(({ delta }) => delta['annotations'] ?? []),
        expected,
      )
      const last = deltas.findLastIndex(({ delta }) => delta['annotations'])
      assert.ok(last < deltas.findIndex(({ finish_reason: reason }) => reason !== null))
    })

    it(`go to a Responses client, pieces of ${size}`, async () => {
      await using gateway = await answering(() => [{ type: 'start' }, ...pieces(answer, size), ...ending])
      const expected = citations.map((citation) => ({ type: 'url_citation', ...citation }))
      const contentOf = (response: unknown) =>
        (response as { output: [{ content: [JsonObject] }] }).output[0].content[0]
      const { body } = await gateway.send(named, { dialect: 'responses' })
      assert.deepEqual(contentOf(body)['annotations'], expected)

      const { records } = await gateway.stream(named, { dialect: 'responses' })
      const all = (await drain(records)).map(({ data }) => data as JsonObject)
      const added = all.filter(({ type }) => type === 'response.output_text.annotation.added')
      assert.deepEqual(
        added.map(({ annotation }) => annotation),
        expected,
      )
      assert.deepEqual(
        added.map(({ annotation_index: index }) => index),
        [0, 1],
      )
      assert.deepEqual(
        contentOf(all.find(({ type }) => type === 'response.completed')!['response'])['annotations'],
        expected,
      )
      const sequence = all.filter((each) => typeof each === 'object').map(({ sequence_number: number }) => number)
      assert.deepEqual(
        sequence,
        sequence.map((_, index) => index),
      )
    })
  }

  it('never hold back text', async () => {
    const text = 'a [b](https://example.com/falcons) c'
    await using gateway = await answering(() => [{ type: 'start' }, ...pieces(text, 1), ...ending])
    const { records } = await gateway.stream(named)
    const shown: string[] = []
    for await (const { data } of records) {
      const [choice] = ((data as JsonObject)['choices'] ?? []) as { delta: JsonObject }[]
      if (choice?.delta['content']) shown.push(choice.delta['content'] as string)
      if (choice?.delta['annotations']) shown.push('!')
    }
    assert.equal(shown.join('|'), `${text.slice(0, 34).split('').join('|')}|!| |c`)
  })

  it('belong to the choice that has the text', async () => {
    await using gateway = await answering(() => [
      { type: 'start' },
      { type: 'text', choice: 0, text: 'x https://example.com/' },
      { type: 'text', choice: 1, text: 'https://birds.' },
      { type: 'text', choice: 0, text: 'falcons' },
      { type: 'text', choice: 1, text: 'example.org ' },
      { type: 'finish', choice: 0, reason: 'stop' },
      { type: 'finish', choice: 1, reason: 'stop' },
    ])
    const { body } = await gateway.send({ ...named, n: 2 })
    const choices = body['choices'] as { message: { annotations: { url_citation: JsonObject }[] } }[]
    assert.deepEqual(
      choices.map(({ message }) => message.annotations.map(({ url_citation: it }) => [it['url'], it['start_index']])),
      [[[page.url, 2]], [[other.url, 0]]],
    )
  })

  it('count from the beginning of the part for a Responses client, of the answer for a chat client', async () => {
    const script: FakeScript = () => [
      { type: 'start' },
      { type: 'text', block: 0, text: 'First: ' },
      { type: 'text', block: 1, text: 'see https://example.com/falcons.' },
      ...ending,
    ]
    await using gateway = await answering(script)
    const { body } = await gateway.send(named)
    const [{ message }] = body['choices'] as [{ message: { annotations: [{ url_citation: JsonObject }] } }]
    assert.equal(message.annotations[0].url_citation['start_index'], 11)
    for (const streamed of [false, true]) {
      let response: unknown
      if (streamed) {
        const { records } = await gateway.stream(named, { dialect: 'responses' })
        response = (await drain(records))
          .map(({ data }) => data as JsonObject)
          .find(({ type }) => type === 'response.completed')!['response']
      } else response = (await gateway.send(named, { dialect: 'responses' })).body
      const [{ content }] = (response as { output: [{ content: { text: string; annotations: JsonObject[] }[] }] })
        .output
      assert.deepEqual(
        content.map(({ annotations }) => annotations.length),
        [0, 1],
      )
      const { start_index: start, end_index: end } = content[1]!.annotations[0]!
      assert.equal(content[1]!.text.slice(Number(start), Number(end)), page.url)
    }
  })

  it('are found in the answer, not in thinking, tool calls or refusals, and not without bound', async () => {
    const url = 'https://example.com/falcons '
    await using gateway = await answering(() => [
      { type: 'start' },
      { type: 'reasoning', text: url },
      { type: 'text', text: url.repeat(300) },
      { type: 'tool_call', index: 0, id: 'a', name: 'b', arguments: url },
      { type: 'text', refusal: true, text: url },
      ...ending,
    ])
    const { body } = await gateway.send(named)
    const [{ message }] = body['choices'] as [{ message: { annotations: { url_citation: JsonObject }[] } }]
    assert.equal(message.annotations.length, 200)
  })

  it('come before the error of an answer that is cut', async () => {
    await using gateway = await answering(() => [
      { type: 'start' },
      { type: 'text', text: 'https://example.com/falcons' },
    ])
    const { records } = await gateway.stream(named)
    const all = await drain(records)
    const annotated = all.findIndex(({ data }) => JSON.stringify(data).includes('url_citation'))
    const failed = all.findIndex(({ data }) => (data as JsonObject)['error'])
    assert.ok(annotated !== -1 && annotated < failed)
  })

  it('are none without results', async () => {
    await using gateway = await answering(() => [{ type: 'start' }, { type: 'text', text: answer }, ...ending])
    gateway.engine.json({ results: [] })
    const { body } = await gateway.send(named)
    const [{ message }] = body['choices'] as [{ message: JsonObject }]
    assert.equal(message['annotations'], undefined)
  })
})
