/** Every place of an answer in which a model can say something, from every kind of upstream, on every endpoint. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { StreamEvent } from '../../core/contract/plugin.ts'
import { streamed, whole } from '../e2e/scripted-upstream.ts'
import type { Json } from '../e2e/scripted-upstream.ts'
import { chunks, payloads } from '../e2e/stream-client.ts'
import { chatBody, chatChunk, messageBody, messageRecords, record, responseBody } from '../e2e/wire-answers.ts'
import { checkStream } from '../open-responses.ts'
import { checkClean, checkRefusal, joinedStrings, replacement, startGuarded } from './guarded-gateway.ts'
import type { Guarded } from './guarded-gateway.ts'

let refusing: Guarded
let redacting: Guarded

before(async () => {
  refusing = await startGuarded('refuse')
  redacting = await startGuarded('redact')
})
after(() => Promise.all([refusing.close(), redacting.close()]))

const secret = 'Well, the Falcon flies.'
const said = String.raw`{"a":"the \u0046alcon"}`

/** What an upstream says: in one body, and in the records of a stream. */
interface Spoken {
  readonly body: Json
  readonly records: readonly string[]
}

const messages = { messages: [{ role: 'user', content: 'Hello' }] }
const requests = {
  chat: { path: '/v1/chat/completions', body: messages },
  responses: { path: '/v1/responses', body: { input: 'Hello' } },
  completions: { path: '/v1/completions', body: { prompt: 'Hello' } },
  embeddings: { path: '/v1/embeddings', body: { input: 'Hello' } },
} as const
type Endpoint = keyof typeof requests

function chat(message: Json, delta: Json = message, more: Json = {}): Spoken {
  const body = chatBody()
  const [choice] = body['choices'] as [Json]
  return {
    body: { ...body, choices: [{ ...choice, message: { role: 'assistant', content: null, ...message }, ...more }] },
    records: [
      record(chatChunk({ role: 'assistant', content: '' })),
      record(chatChunk(delta, more)),
      record(chatChunk({}, { finish_reason: 'stop' })),
      record('[DONE]'),
    ],
  }
}

function tool(call: Json): Spoken {
  const all = { id: 'call_1', type: 'function', function: { name: 'find', arguments: '{}', ...call } }
  return chat({ tool_calls: [all] }, { tool_calls: [{ index: 0, ...all }] })
}

function choice(): Spoken {
  const { body, records } = chat({ content: 'Hello' })
  const second = { index: 1, message: { role: 'assistant', content: secret }, finish_reason: 'stop' }
  const late = {
    ...chatChunk({}),
    choices: [{ index: 1, delta: { role: 'assistant', content: secret }, finish_reason: null }],
  }
  const finish = { ...chatChunk({}), choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] }
  return {
    body: { ...body, choices: [...(body['choices'] as Json[]), second] },
    records: [records[0]!, record(late), ...records.slice(1, 3), record(finish), record('[DONE]')],
  }
}

function response(...output: Json[]): Spoken {
  const events: Json[] = [
    { type: 'response.created', response: responseBody({}, { status: 'in_progress', output: [], usage: null }) },
    ...output.flatMap((item, index) => [
      {
        type: 'response.output_item.added',
        output_index: index,
        item: { ...item, content: [], status: 'in_progress' },
      },
      { type: 'response.output_item.done', output_index: index, item },
    ]),
    { type: 'response.completed', response: responseBody({}, { output }) },
  ]
  return {
    body: responseBody({}, { output }),
    records: events.map((event, index) => record({ ...event, sequence_number: index }, String(event['type']))),
  }
}

function part(content: Json): Spoken {
  return response({ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [content] })
}

function claude(...content: Json[]): Spoken {
  return { body: messageBody({}, content), records: messageRecords({}, content) }
}

function completion(choice: Json): Spoken {
  const body = { id: 'cmpl', object: 'text_completion', created: 1, model: 'm' }
  return {
    body: { ...body, choices: [{ index: 0, finish_reason: 'stop', ...choice }] },
    records: [record({ ...body, choices: [{ index: 0, finish_reason: 'stop', ...choice }] }), record('[DONE]')],
  }
}

const detail = { format: 'unknown', index: 0 }
const citation = { type: 'url_citation', url: 'https://birds.example/', title: secret, start_index: 0, end_index: 2 }

/** By wire format: the places, and who speaks it to whom. */
const wires: readonly {
  readonly wire: string
  readonly routes: readonly (readonly [Endpoint, model: string])[]
  readonly answers: Readonly<Record<string, Spoken>>
}[] = [
  {
    wire: 'chat',
    routes: [['chat', 'native/m'], ['responses', 'chat-only/m']],
    answers: {
      text: chat({ content: secret }),
      'parts of text': chat({ content: [{ type: 'text', text: secret }] }),
      'a refusal': chat({ refusal: secret }),
      thinking: chat({ reasoning: secret, content: 'Hi' }),
      'thinking by its other name': chat({ reasoning_content: secret, content: 'Hi' }),
      'details of thinking': chat({ reasoning_details: [{ type: 'reasoning.text', text: secret, ...detail }] }),
      'a summary of thinking': chat({ reasoning_details: [{ type: 'reasoning.summary', summary: secret, ...detail }] }),
      'arguments of a tool call': tool({ arguments: said }),
      'the name of a tool call': tool({ name: 'falcon' }),
      'an annotation': chat({ content: 'Hi', annotations: [{ type: 'url_citation', url_citation: { ...citation, type: undefined } }] }),
      'words of a spoken answer': chat({ audio: { id: 'audio_1', data: 'AAAA', transcript: secret, expires_at: 1 } }),
      'the second choice': choice(),
    },
  },
  {
    wire: 'responses',
    routes: [['responses', 'native/m'], ['chat', 'responses-only/m']],
    answers: {
      text: part({ type: 'output_text', text: secret, annotations: [], logprobs: [] }),
      'a refusal': part({ type: 'refusal', refusal: secret }),
      thinking: response({ id: 'rs_1', type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: secret }] }),
      'a summary of thinking': response({ id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: secret }] }),
      'arguments of a tool call': response({ id: 'fc_1', type: 'function_call', status: 'completed', call_id: 'c', name: 'find', arguments: said }),
      'input of a tool of free text': response({ id: 'ct_1', type: 'custom_tool_call', status: 'completed', call_id: 'c', name: 'find', input: String.raw`C:\falcon` }),
      'an annotation': part({ type: 'output_text', text: 'Hi', annotations: [citation], logprobs: [] }),
      'an item of a hosted tool': response({ id: 'ci_1', type: 'code_interpreter_call', status: 'completed', container_id: 'x', code: 'print(1)', outputs: [{ type: 'logs', logs: secret }] }),
      'arguments of a hosted tool': response({ id: 'mcp_1', type: 'mcp_call', status: 'completed', server_label: 'x', name: 'find', arguments: said, output: 'ok' }),
      'an item nobody knows': response({ id: 'x_1', type: 'future_item', status: 'completed', data: secret }),
    },
  },
  {
    wire: 'messages',
    routes: [['chat', 'anthropic/claude-sonnet-4-5'], ['responses', 'anthropic/claude-sonnet-4-5']],
    answers: {
      text: claude({ type: 'text', text: secret }),
      thinking: claude({ type: 'thinking', thinking: secret, signature: 'c2ln' }, { type: 'text', text: 'Hi' }),
      'arguments of a tool call': claude({ type: 'tool_use', id: 'toolu_1', name: 'find', input: { a: secret } }),
      'the second block of text': claude({ type: 'text', text: 'Hi. ' }, { type: 'text', text: secret }),
      'a block nobody knows': claude({ type: 'text', text: 'Hi' }, { type: 'future_block', id: 'x', content: secret }),
    },
  },
  {
    wire: 'completions',
    routes: [['completions', 'native/m']],
    answers: { text: completion({ text: secret }) },
  },
] // prettier-ignore

/** What a client of the endpoint does not get at all, so that no trace of it is there. */
const unshown: Readonly<Partial<Record<Endpoint, readonly string[]>>> = {
  chat: ['a block nobody knows', 'an item of a hosted tool', 'arguments of a hosted tool', 'an item nobody knows'],
  responses: ['a block nobody knows', 'words of a spoken answer', 'the second choice'],
}

function ask(gateway: Guarded, endpoint: Endpoint, model: string, stream: boolean): Promise<Response> {
  const { path, body } = requests[endpoint]
  return gateway.post(path, { model, ...body, ...(stream && { stream }) })
}

/** Checks a stream that was refused: an error with its status, or one at the end of what had begun. */
async function checkRefusedStream(answer: Response, endpoint: Endpoint): Promise<void> {
  const text = await answer.text()
  checkClean(text, answer.status === 200)
  if (answer.status === 400) return checkRefusal((JSON.parse(text) as Json)['error'])
  assert.equal(answer.status, 200)
  assert.ok(!text.includes('[DONE]'), text)
  if (endpoint !== 'responses') return checkRefusal(chunks(text).at(-1)?.['error'])
  const final = checkStream(text)
  assert.equal(final['status'], 'failed')
  assert.equal((final['error'] as Json)['code'], 'content_blocked')
}

async function checkRedacted(answer: Response, endpoint: Endpoint, stream: boolean, shown: boolean): Promise<void> {
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  checkClean(text, stream)
  if (stream) {
    assert.equal(payloads(text).at(-1), '[DONE]', text)
    if (endpoint === 'responses') checkStream(text)
  }
  if (!shown) return
  const texts = stream ? [...joinedStrings(text).values()] : [text]
  assert.ok(texts.some((each) => each.includes(replacement)), text) // prettier-ignore
}

for (const { wire, routes, answers } of wires)
  for (const [endpoint, model] of routes)
    for (const [place, { body, records }] of Object.entries(answers))
      describe(`${place} of an upstream that speaks ${wire}, for a client of ${endpoint}`, () => {
        const shown = unshown[endpoint]?.includes(place) !== true

        it('is refused', async () => {
          refusing.upstream.answer(whole(body))
          const answer = await ask(refusing, endpoint, model, false)
          const text = await answer.text()
          assert.equal(answer.status, 400, text)
          checkRefusal((JSON.parse(text) as Json)['error'])
        })

        it('is redacted', async () => {
          redacting.upstream.answer(whole(body))
          await checkRedacted(await ask(redacting, endpoint, model, false), endpoint, false, shown)
        })

        for (const [manner, pieces] of [
          ['record by record', records],
          ['in one packet', [records.join('')]],
        ] as const) {
          it(`is refused in a stream: ${manner}`, async () => {
            refusing.upstream.answer(streamed(pieces))
            await checkRefusedStream(await ask(refusing, endpoint, model, true), endpoint)
          })

          it(`is redacted in a stream: ${manner}`, async () => {
            redacting.upstream.answer(streamed(pieces))
            await checkRedacted(await ask(redacting, endpoint, model, true), endpoint, true, shown)
          })
        }
      })

const events: Readonly<Record<string, readonly StreamEvent[]>> = {
  text: [{ type: 'text', text: secret }],
  'a refusal': [{ type: 'text', text: secret, refusal: true }],
  thinking: [{ type: 'reasoning', text: secret }],
  'a summary of thinking': [{ type: 'reasoning', summary: secret }],
  'arguments of a tool call': [{ type: 'tool_call', index: 0, id: 'c', name: 'find', arguments: said }],
  'a part': [{ type: 'part', part: { type: 'text', text: secret } }],
  'a native part': [{ type: 'part', part: { type: 'native', dialect: 'x', value: { deep: [{ data: secret }] } } }],
}

for (const endpoint of ['chat', 'responses', 'completions', 'embeddings'] as const)
  describe(`the answer of a transport of its own to a client of ${endpoint}`, () => {
    for (const [place, said] of Object.entries(events))
      for (const stream of endpoint === 'embeddings' ? [false] : [false, true])
        it(`is refused: ${place}${stream ? ', streamed' : ''}`, async () => {
          refusing.script(() => [{ type: 'start' }, ...said, { type: 'finish', reason: 'stop' }])
          const answer = await ask(refusing, endpoint, 'fake/fake-model', stream)
          if (stream) return checkRefusedStream(answer, endpoint)
          assert.equal(answer.status, 400)
          checkRefusal(((await answer.json()) as Json)['error'])
        })
  })

describe('embeddings', () => {
  it('are judged too, and vectors pass', async () => {
    const answer = (more: Json): Json => ({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [0.25, -0.5], ...more }],
      model: 'm',
      usage: { prompt_tokens: 1, total_tokens: 1 },
    })
    refusing.upstream.answer(whole(answer({ text: secret })), whole(answer({})))
    checkRefusal(((await (await ask(refusing, 'embeddings', 'native/m', false)).json()) as Json)['error'])
    const clean = await (await ask(refusing, 'embeddings', 'native/m', false)).json()
    assert.deepEqual((clean as { data: unknown }).data, answer({})['data'])
  })
})

describe('fields of the answer beside its choices', () => {
  for (const stream of [false, true])
    it(`are left out where they have the word: ${stream ? 'streamed' : 'whole'}`, async () => {
      const { body, records } = chat({ content: 'Hello' })
      const told = records.map((each) => each.replace('"object"', '"system_fingerprint":"fp falcon","object"'))
      redacting.upstream.answer(stream ? streamed(told) : whole({ ...body, system_fingerprint: 'fp falcon' }))
      const text = await (await ask(redacting, 'chat', 'native/m', stream)).text()
      checkClean(text, stream)
      assert.ok(text.includes('Hello'))
    })
})

describe('probabilities of tokens', () => {
  const token = (text: string, others: readonly string[] = []): Json => ({
    token: text,
    logprob: -0.1,
    bytes: [...Buffer.from(text)],
    top_logprobs: others.map((each) => ({ token: each, logprob: -1, bytes: [...Buffer.from(each)] })),
  })
  const cases = {
    'that spell the word': [token('the'), token(' fal'), token('con')],
    'that had the word as another choice': [token('the', [' Falcon']), token(' fal', ['x']), token('con')],
  }
  for (const [name, tokens] of Object.entries(cases))
    for (const stream of [false, true])
      for (const [endpoint, model] of [
        ['chat', 'native/m'],
        ['responses', 'chat-only/m'],
      ] as const)
        // prettier-ignore
        it(`do not tell: ${name}, ${endpoint}${stream ? ', streamed' : ''}`, async () => {
          const alternative = name.includes('another')
          const content = alternative ? 'the dove' : 'the falcon'
          const { body, records } = chat({ content }, { content }, { logprobs: { content: tokens, refusal: null } })
          redacting.upstream.answer(stream ? streamed(records) : whole(body))
          const answer = await ask(redacting, endpoint, model, stream)
          const text = await answer.text()
          assert.equal(answer.status, 200)
          checkClean(text, stream)
          assert.ok(!/"token":" ?(fal|con)/.test(text), text)
          if (alternative) assert.ok(text.includes('dove'), text)
        })

  it('of a plain completion do not tell', async () => {
    for (const logprobs of [
      { tokens: [' fal', 'con'], token_logprobs: [-1, -1], text_offset: [0, 4], top_logprobs: null },
      { tokens: [' dove'], token_logprobs: [-1], text_offset: [0], top_logprobs: [{ ' falcon': -2 }] },
    ]) {
      const text = logprobs.tokens.join('')
      for (const stream of [false, true]) {
        const { body, records } = completion({ text, logprobs })
        redacting.upstream.answer(stream ? streamed(records) : whole(body))
        checkClean(await (await ask(redacting, 'completions', 'native/m', stream)).text(), stream)
      }
    }
  })
})
