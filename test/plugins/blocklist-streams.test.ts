/** Streams under a blocklist: however the word is cut, no client has it, and what is no part of it is not held back. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { StreamEvent } from '../../core/contract/plugin.ts'
import { cutEvery, gate, streamed } from '../e2e/scripted-upstream.ts'
import type { Answer, Json } from '../e2e/scripted-upstream.ts'
import { chunks, payloads, readerOf, saidIn } from '../e2e/stream-client.ts'
import { chatChunk, messageRecords, record, responseBody } from '../e2e/wire-answers.ts'
import { checkStream } from '../open-responses.ts'
import { checkClean, checkRefusal, startGuarded, word } from './guarded-gateway.ts'
import type { Guarded } from './guarded-gateway.ts'

let refusing: Guarded
let redacting: Guarded

before(async () => {
  refusing = await startGuarded('refuse')
  redacting = await startGuarded('redact')
})
after(() => Promise.all([refusing.close(), redacting.close()]))

const paths = { chat: '/v1/chat/completions', responses: '/v1/responses', completions: '/v1/completions' } as const
type Endpoint = keyof typeof paths
const bodies: Readonly<Record<Endpoint, Json>> = {
  chat: { messages: [{ role: 'user', content: 'Hello' }] },
  responses: { input: 'Hello' },
  completions: { prompt: 'Hello' },
}

function chatRecords(pieces: readonly string[]): string[] {
  return [
    chatChunk({ role: 'assistant', content: '' }),
    ...pieces.map((content) => chatChunk({ content })),
    chatChunk({}, { finish_reason: 'stop' }),
    '[DONE]',
  ].map((chunk) => record(chunk))
}

function responseRecords(pieces: readonly string[]): string[] {
  const part = { type: 'output_text', text: pieces.join(''), annotations: [], logprobs: [] }
  const item = { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [part] }
  const place = { output_index: 0, content_index: 0, item_id: 'msg_1' }
  const events: Json[] = [
    { type: 'response.created', response: responseBody({}, { status: 'in_progress', output: [], usage: null }) },
    { type: 'response.output_item.added', output_index: 0, item: { ...item, content: [], status: 'in_progress' } },
    { type: 'response.content_part.added', ...place, part: { ...part, text: '' } },
    ...pieces.map((delta) => ({ type: 'response.output_text.delta', ...place, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...place, text: part.text, logprobs: [] },
    { type: 'response.content_part.done', ...place, part },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: responseBody({}, { output: [item] }) },
  ]
  return events.map((event, index) => record({ ...event, sequence_number: index }, String(event['type'])))
}

function claudeRecords(pieces: readonly string[]): string[] {
  const [start, begin, , ...ends] = messageRecords({}, [{ type: 'text', text: 'x' }])
  const deltas = pieces.map((text) =>
    record({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }, 'content_block_delta'),
  )
  return [start!, begin!, ...deltas, ...ends]
}

function completionRecords(pieces: readonly string[]): string[] {
  const chunk = (text: string, reason: string | null): Json => ({
    id: 'cmpl',
    object: 'text_completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, text, logprobs: null, finish_reason: reason }],
  })
  return [...pieces.map((text) => record(chunk(text, null))), record(chunk('', 'stop')), record('[DONE]')]
}

const routes = [
  { endpoint: 'chat', model: 'native/m', write: chatRecords },
  { endpoint: 'chat', model: 'responses-only/m', write: responseRecords },
  { endpoint: 'chat', model: 'anthropic/claude-sonnet-4-5', write: claudeRecords },
  { endpoint: 'responses', model: 'native/m', write: responseRecords },
  { endpoint: 'responses', model: 'chat-only/m', write: chatRecords },
  { endpoint: 'responses', model: 'anthropic/claude-sonnet-4-5', write: claudeRecords },
  { endpoint: 'completions', model: 'native/m', write: completionRecords },
] as const

function ask(gateway: Guarded, endpoint: Endpoint, model: string, more: Json = {}): Promise<Response> {
  return gateway.post(paths[endpoint], { model, stream: true, ...bodies[endpoint], ...more })
}

/** What the text of a stream adds up to, on any endpoint. */
function textOf(endpoint: Endpoint, stream: string): string {
  if (endpoint !== 'completions') return saidIn(stream)
  return chunks(stream)
    .map((chunk) => (chunk['choices'] as { text: string }[] | undefined)?.[0]?.text ?? '')
    .join('')
}

/** Checks a stream that failed, and returns its error. */
function failureIn(endpoint: Endpoint, stream: string): Json {
  assert.ok(!stream.includes('[DONE]'), stream)
  return (endpoint === 'responses' ? checkStream(stream)['error'] : chunks(stream).at(-1)?.['error']) as Json
}

/** Every way to cut the word, with what stands around it. */
const cuts = Array.from({ length: 2 ** (word.length - 1) }, (_, mask) => {
  const pieces = ['so the ']
  for (const [place, letter] of word.split('').entries())
    if (place > 0 && !(mask & (1 << (place - 1)))) pieces.push(letter)
    else pieces[pieces.length - 1] += letter
  return [...pieces, ' flies', '.']
})

for (const { endpoint, model, write } of routes)
  describe(`the stream of ${model} to a client of ${endpoint}`, { timeout: 20_000 }, () => {
    it('has no word, however it is cut into events', async () => {
      for (const pieces of [...cuts, [`so the ${word} flies.`]]) {
        redacting.upstream.answer(streamed(write(pieces)))
        const text = await (await ask(redacting, endpoint, model)).text()
        checkClean(text, true)
        assert.equal(textOf(endpoint, text), 'so the [redacted] flies.', pieces.join('|'))
        assert.equal(payloads(text).at(-1), '[DONE]')
        if (endpoint === 'responses') checkStream(text)
      }
    })

    it('ends with a refusal, however the word is cut into events', async () => {
      for (const pieces of cuts) {
        refusing.upstream.answer(streamed(write(pieces)))
        const answer = await ask(refusing, endpoint, model)
        const text = await answer.text()
        checkClean(text, answer.status === 200)
        const error = answer.status === 200 ? failureIn(endpoint, text) : ((JSON.parse(text) as Json)['error'] as Json)
        assert.equal(error['code'], 'content_blocked', text)
        if (answer.status === 200) assert.ok('so the '.startsWith(textOf(endpoint, text)), text)
      }
    })

    it('has no word, however it is cut into packets', async () => {
      const records = write(['so the fal', 'con flies.']).join('')
      for (const size of [1, 2, 3, 7, 64, 1000]) {
        redacting.upstream.answer(streamed(cutEvery(records, size)))
        const text = await (await ask(redacting, endpoint, model)).text()
        checkClean(text, true)
        assert.equal(textOf(endpoint, text), 'so the [redacted] flies.')
      }
    })

    it('gives text that begins no match at once', { timeout: 5_000 }, async () => {
      const held = gate()
      const records = write(['Hello ', 'again, f', 'al', 'ling leaves'])
      const first = records.findIndex((each) => each.includes('again'))
      redacting.upstream.answer(streamed([...records.slice(0, first + 1), held.wait, ...records.slice(first + 1)]))
      const reader = readerOf(await ask(redacting, endpoint, model))
      await reader.until('again, ')
      assert.equal(textOf(endpoint, reader.text()), 'Hello again, ')
      held.open()
      assert.equal(textOf(endpoint, await reader.rest()), 'Hello again, falling leaves')
    })

    it('is a clean refusal as long as nothing has been sent', async () => {
      const records = write([`${word} `, 'flies'])
      refusing.upstream.answer(streamed([records.join('')]))
      const answer = await ask(refusing, endpoint, model)
      assert.equal(answer.status, 400)
      assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
      checkRefusal(((await answer.json()) as Json)['error'])
    })

    for (const [said, redacted] of [
      ['so the fal', 'so the fal'],
      ['so the falcon', 'so the [redacted]'],
    ] as const)
      it(`gives what was held back when the upstream is cut after "${said}"`, async () => {
        const records = write([said])
        const cut: Answer = streamed(records.slice(0, records.findIndex((each) => each.includes(said)) + 1), {
          ending: 'cut',
        })
        redacting.upstream.answer(cut)
        const text = await (await ask(redacting, endpoint, model)).text()
        checkClean(text, true)
        assert.equal(textOf(endpoint, text), redacted)
        assert.equal(failureIn(endpoint, text)['code'], 'provider_error')

        refusing.upstream.answer(cut)
        const refused = await (await ask(refusing, endpoint, model)).text()
        checkClean(refused, true)
        const expected = said === redacted ? 'provider_error' : 'content_blocked'
        assert.equal(failureIn(endpoint, refused)['code'], expected)
      })

    it('ends with the word, and the word is found', async () => {
      redacting.upstream.answer(streamed(write(['so the ', 'fal', 'con'])))
      const text = await (await ask(redacting, endpoint, model)).text()
      checkClean(text, true)
      assert.equal(textOf(endpoint, text), 'so the [redacted]')
    })
  })

/** The text of each choice of a chat stream. */
function textsOf(stream: string): string[] {
  const texts: string[] = []
  for (const chunk of chunks(stream))
    for (const { index, delta } of chunk['choices'] as { index: number; delta: { content?: string } }[])
      texts[index] = (texts[index] ?? '') + (delta.content ?? '')
  return texts
}

describe('several choices', () => {
  const piece = (index: number, content: string): Json => ({
    ...chatChunk({}),
    choices: [{ index, delta: { content } }],
  })
  const finish = (index: number): Json => ({ ...chatChunk({}), choices: [{ index, delta: {}, finish_reason: 'stop' }] })
  const interleaved = [piece(0, 'a fal'), piece(1, 'con fal'), piece(0, 'con.'), piece(1, 'con')]

  for (const [name, n, order] of [
    ['as many as were asked for', 2, [0, 1]],
    ['in another order', 2, [1, 0]],
    ['more than were asked for', 1, [0, 1]],
    ['fewer than were asked for', 3, [0, 1]],
  ] as const)
    it(`are judged apart: ${name}`, async () => {
      const records = [...interleaved, ...order.map((index) => finish(index)), '[DONE]'].map((each) => record(each))
      redacting.upstream.answer(streamed(records))
      const text = await (await ask(redacting, 'chat', 'native/m', { n })).text()
      assert.deepEqual(textsOf(text), ['a [redacted].', 'con [redacted]'])
      const reasons = chunks(text).flatMap((chunk) =>
        (chunk['choices'] as { finish_reason?: string | null }[]).flatMap(({ finish_reason: reason }) => reason ?? []),
      )
      assert.deepEqual(reasons, ['stop', 'stop'])
    })

  it('of several calls are judged too', async () => {
    const model = 'anthropic/claude-sonnet-4-5'
    redacting.upstream.answer(streamed(claudeRecords(['a fal', 'con'])), streamed(claudeRecords(['fal', 'con b'])))
    const text = await (await ask(redacting, 'chat', model, { n: 2 })).text()
    assert.deepEqual(textsOf(text).toSorted(), ['[redacted] b', 'a [redacted]'])
  })
})

describe('blocks that follow or interrupt each other', () => {
  const finish: StreamEvent = { type: 'finish', reason: 'stop' }
  const cases: Readonly<Record<string, readonly StreamEvent[]>> = {
    'text in two blocks': [
      { type: 'text', block: 0, text: 'the fal' },
      { type: 'text', block: 1, text: 'con.' },
    ],
    'text in many blocks': ['the f', 'al', 'c', 'on.'].map((text, block) => ({ type: 'text', block, text })),
    'text around a part': [
      { type: 'text', text: 'the fal' },
      { type: 'part', part: { type: 'native', dialect: 'x', value: { a: 1 } } },
      { type: 'text', text: 'con.' },
    ],
    'thinking in two blocks': [
      { type: 'reasoning', block: 0, text: 'the fal' },
      { type: 'reasoning', block: 1, text: 'con.' },
    ],
    'arguments of calls that take turns': [
      { type: 'tool_call', index: 0, id: 'a', name: 'find', arguments: '{"a":"fal' },
      { type: 'tool_call', index: 1, id: 'b', name: 'find', arguments: String.raw`{"a":"f\u0061` },
      { type: 'tool_call', index: 0, arguments: 'con"}' },
      { type: 'tool_call', index: 1, arguments: 'lcon"}' },
    ],
  }
  for (const endpoint of ['chat', 'responses'] as const)
    for (const [name, events] of Object.entries(cases))
      for (const gateway of ['refuse', 'redact'] as const)
        for (const stream of [false, true])
          it(`never add up to the word: ${name}, ${endpoint}, ${gateway}${stream ? ', streamed' : ''}`, async () => {
            const guarded = gateway === 'refuse' ? refusing : redacting
            guarded.script(() => [{ type: 'start' }, ...events, finish])
            const answer = await ask(guarded, endpoint, 'fake/fake-model', { stream })
            const text = await answer.text()
            const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true
            checkClean(text, isStream)
            if (gateway === 'redact') assert.ok(isStream ? text.includes('[DONE]') : answer.status === 200, text)
            else if (isStream) assert.equal(failureIn(endpoint, text)['code'], 'content_blocked')
            else checkRefusal((JSON.parse(text) as Json)['error'])
          })
})
