/** Every place of an answer in which a model can say something, from every kind of upstream, on every endpoint. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { StreamEvent } from '../../core/contract/plugin.ts'
import { streamed, whole } from '../e2e/scripted-upstream.ts'
import type { Json } from '../e2e/scripted-upstream.ts'
import { chunks, payloads } from '../e2e/stream-client.ts'
import { checkStream } from '../open-responses.ts'
import { chat, completion, requests, said, secret, unshown, wires } from './guarded-answers.ts'
import type { Endpoint } from './guarded-answers.ts'
import { checkClean, checkRefusal, joinedStrings, replacement, startGuarded } from './guarded-gateway.ts'
import type { Guarded } from './guarded-gateway.ts'

let refusing: Guarded
let redacting: Guarded

before(async () => {
  refusing = await startGuarded('refuse')
  redacting = await startGuarded('redact')
})
after(() => Promise.all([refusing.close(), redacting.close()]))

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
