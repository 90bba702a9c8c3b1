/** Healing of answers through the whole gateway: who asks for it, where it acts, and what it leaves alone. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject, StreamEvent } from '@hadrian/core/plugin'
import { fakeProvider, harness, textEvents } from '@hadrian/core/testing'
import type { Harness } from '@hadrian/core/testing'
import blocklist from '../../plugins/blocklist/index.ts'
import responseHealing from '../../plugins/response-healing/index.ts'
import { startGateway } from '../e2e/gateway.ts'
import type { RunningGateway } from '../e2e/gateway.ts'
import { gate, streamed, whole } from '../e2e/scripted-upstream.ts'
import type { Json } from '../e2e/scripted-upstream.ts'
import { chunks, payloads, readerOf, saidIn } from '../e2e/stream-client.ts'
import {
  chatBody,
  chatChunk,
  chatRecords,
  messageBody,
  messageRecords,
  record,
  responseBody,
  responseRecords,
} from '../e2e/wire-answers.ts'
import { checkStream } from '../open-responses.ts'

let running: RunningGateway
before(async () => {
  running = await startGateway({ config: { plugins: { 'response-healing': {} } } })
})
after(() => running.close())

const broken = 'Here you are:\n\n```json\n{"colours": ["red", \'blue\',], n: 2}\n```\nAnything else?'
const healed = { colours: ['red', 'blue'], n: 2 }
const schema = { type: 'object', properties: { colours: { type: 'array' } } }
const plugins = [{ id: 'response-healing' }]

const paths = { chat: '/v1/chat/completions', responses: '/v1/responses' } as const
type Endpoint = keyof typeof paths
const bodies = { chat: { messages: [{ role: 'user', content: 'Colours?' }] }, responses: { input: 'Colours?' } }
const formats: Readonly<Record<Endpoint, Readonly<Record<string, Json>>>> = {
  chat: {
    json_object: { response_format: { type: 'json_object' } },
    json_schema: { response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } },
  },
  responses: {
    json_object: { text: { format: { type: 'json_object' } } },
    json_schema: { text: { format: { type: 'json_schema', name: 'a', schema } } },
  },
}
const upstreams = [
  { model: 'native/m', wire: { chat: 'chat', responses: 'responses' } },
  { model: 'chat-only/m', wire: { chat: 'chat', responses: 'chat' } },
  { model: 'responses-only/m', wire: { chat: 'responses', responses: 'responses' } },
  { model: 'anthropic/claude-3-opus', wire: { chat: 'messages', responses: 'messages' } },
] as const
const wholes = { chat: chatBody, responses: responseBody, messages: messageBody }
const records = { chat: chatRecords, responses: responseRecords, messages: messageRecords }

function ask(endpoint: Endpoint, model: string, more: Json): Promise<Response> {
  return running.post(paths[endpoint], { model, ...bodies[endpoint], ...more })
}

/** What an answer says, whole or streamed. */
function textOf(endpoint: Endpoint, body: string, stream: boolean): string {
  if (stream) {
    if (endpoint === 'responses') checkStream(body)
    assert.equal(payloads(body).at(-1), '[DONE]', body)
    return saidIn(body)
  }
  const answer = JSON.parse(body) as {
    choices: { message: { content: string } }[]
    output: { content?: { text: string }[] }[]
  }
  if (endpoint === 'chat') return answer.choices[0]!.message.content
  return answer.output.flatMap(({ content = [] }) => content.map(({ text }) => text)).join('')
}

for (const endpoint of ['chat', 'responses'] as const)
  for (const { model, wire } of upstreams)
    for (const stream of [false, true]) {
      const upstreamSays = (text: string): void => {
        const said = { text }
        running.upstream.answer(stream ? streamed(records[wire[endpoint]](said)) : whole(wholes[wire[endpoint]](said)))
      }
      describe(`an answer of ${model} to ${endpoint}${stream ? ', streamed' : ''}`, () => {
        for (const [name, format] of Object.entries(formats[endpoint]))
          it(`is healed if the client names the plugin: ${name}`, async () => {
            upstreamSays(broken)
            const answer = await ask(endpoint, model, { ...format, plugins, stream })
            const body = await answer.text()
            assert.equal(answer.status, 200, body)
            assert.deepEqual(JSON.parse(textOf(endpoint, body, stream)), healed)
            assert.ok(!body.includes('Anything'), body)
            assert.equal(running.upstream.last().json['plugins'], undefined)
          })

        it('is left alone if nobody names it, or says no', async () => {
          for (const more of [{}, { plugins: [] }, { plugins: [{ id: 'response-healing', enabled: false }] }]) {
            upstreamSays(broken)
            const body = await (
              await ask(endpoint, model, { ...formats[endpoint]['json_object'], ...more, stream })
            ).text()
            assert.equal(textOf(endpoint, body, stream), broken)
          }
        })

        it('is left alone if it should not be JSON', async () => {
          upstreamSays(broken)
          const body = await (await ask(endpoint, model, { plugins, stream })).text()
          assert.equal(textOf(endpoint, body, stream), broken)
        })

        it('is left alone if it is JSON already', async () => {
          const text = '{ "a" : [1,2] }'
          upstreamSays(text)
          const body = await (
            await ask(endpoint, model, { ...formats[endpoint]['json_object'], plugins, stream })
          ).text()
          assert.equal(textOf(endpoint, body, stream), text)
        })
      })
    }

describe('streams', { timeout: 20_000 }, () => {
  for (const endpoint of ['chat', 'responses'] as const) {
    const write = records[endpoint]
    it(`are not held back without a JSON format: ${endpoint}`, async () => {
      const all = write({ text: 'first second' })
      const held = gate()
      const first = all.findIndex((each) => each.includes('first ')) + 1
      running.upstream.answer(streamed([...all.slice(0, first), held.wait, ...all.slice(first)]))
      const reader = readerOf(await ask(endpoint, 'native/m', { plugins, stream: true }))
      await reader.until('first ')
      held.open()
      assert.equal(saidIn(await reader.rest()), 'first second')
    })

    it(`give what was held back when the upstream is cut: ${endpoint}`, async () => {
      const all = write({ text: '{"a": "half ' })
      const last = all.findIndex((each) => each.includes('half'))
      running.upstream.answer(streamed(all.slice(0, last + 1), { ending: 'cut' }))
      const answer = await ask(endpoint, 'native/m', { ...formats[endpoint]['json_object'], plugins, stream: true })
      const body = await answer.text()
      assert.equal(saidIn(body), '{"a": "half ')
      assert.ok(!body.includes('[DONE]'))
      const error = endpoint === 'responses' ? checkStream(body)['error'] : chunks(body).at(-1)?.['error']
      assert.equal((error as Json)['code'], 'provider_error')
    })
  }
})

describe('an answer of the dialect of the client', () => {
  // Fields in an order of its own, one that nobody knows, and none of those that the gateway would write.
  const odd = {
    future: { b: 1, a: 2 },
    id: 'x',
    choices: [{ message: { content: '{"a":1,}', role: 'assistant' }, finish_reason: 'stop', index: 0 }],
    usage: { total_tokens: 3, prompt_tokens: 2, completion_tokens: 1 },
  }
  const answer = async (more: Json): Promise<string> => {
    running.upstream.answer(whole(odd))
    return (await ask('chat', 'native/m', { plugins, ...more })).text()
  }

  it('goes out as it came if the client names the plugin and wants no JSON', async () => {
    for (const more of [{}, { response_format: { type: 'text' } }, { response_format: null }])
      assert.equal(await answer(more), JSON.stringify(odd), JSON.stringify(more))
  })

  it('does not where it wants some', async () => {
    const body = await answer({ response_format: { type: 'json_object' } })
    assert.ok(!body.startsWith('{"future"'))
    assert.equal(textOf('chat', body, false), '{"a":1}')
  })

  it('goes out as it came on streams too', async () => {
    const chunk = `{"id":  "x", "future" : 1, ${JSON.stringify(chatChunk({ content: '{"a":1,}' })).slice(1)}`
    const records = [`data: ${chunk}\n\n`, record({ ...chatChunk({}), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }), record('[DONE]')] // prettier-ignore
    running.upstream.answer(streamed(records))
    assert.ok((await (await ask('chat', 'native/m', { plugins, stream: true })).text()).includes('"future" : 1'))
    running.upstream.answer(streamed(records))
    const healedStream = await ask('chat', 'native/m', { plugins, stream: true, ...formats.chat['json_object'] })
    assert.equal(saidIn(await healedStream.text()), '{"a":1}')
  })
})

async function withPlugins(
  order: readonly ('blocklist' | 'response-healing')[],
  answer: readonly StreamEvent[],
  settings: { readonly action?: string; readonly healing?: JsonObject } = {},
): Promise<Harness> {
  const both = {
    blocklist: [blocklist, { words: ['falcon'], action: settings.action ?? 'redact' }],
    'response-healing': [responseHealing, settings.healing ?? {}],
  } as const
  return harness({ provider: fakeProvider(() => answer), plugins: order.map((name) => both[name]) })
}

const jsonFormat = { response_format: { type: 'json_object' } }

function contentsOf(body: JsonObject): string[] {
  return (body['choices'] as { message: { content: string } }[]).map(({ message }) => message.content)
}

describe('what the client says in plugins', () => {
  for (const dialect of ['chat', 'responses'] as const)
    it(`is checked, with the path of the mistake: ${dialect}`, async () => {
      await using gateway = await withPlugins(['response-healing'], textEvents('{}'))
      const cases: [unknown, string, RegExp][] = [
        [[{ id: 'response-healing', depth: 3 }], 'plugins[0]', /depth/],
        [[{ id: 'response-heeling' }], 'plugins[0].id', /Did you mean "response-healing"/],
        [[{ id: 'response-healing' }, { id: 'response-healing' }], 'plugins[1].id', /named twice/],
        [[{ id: 'response-healing', enabled: 'yes' }], 'plugins[0].enabled', /boolean/],
        [[{}], 'plugins[0].id', /required/],
        ['response-healing', 'plugins', /array/],
      ]
      for (const [sent, param, message] of cases) {
        const { status, body } = await gateway.send({ plugins: sent }, { dialect })
        const error = body['error'] as { code: string; param: string; message: string }
        assert.equal(status, 400, JSON.stringify(sent))
        assert.equal(error.code, 'invalid_request_error')
        assert.equal(error.param, param)
        assert.match(error.message, message)
      }
      assert.equal(gateway.provider.calls.length, 0)
    })

  it('is not needed where the operator applies it always, and counts where it may be switched off', async () => {
    const always = { apply: 'always' }
    const off = { ...jsonFormat, plugins: [{ id: 'response-healing', enabled: false }] }
    {
      await using gateway = await withPlugins(['response-healing'], textEvents('{"a":1,}'), { healing: always })
      assert.deepEqual(contentsOf((await gateway.send(jsonFormat)).body), ['{"a":1}'])
      assert.equal((await gateway.send(off)).status, 400)
    }
    await using gateway = await withPlugins(['response-healing'], textEvents('{"a":1,}'), {
      healing: { ...always, client_may_disable: true },
    })
    assert.deepEqual(contentsOf((await gateway.send(off)).body), ['{"a":1,}'])
    for (const dialect of ['completions', 'embeddings'] as const)
      assert.equal((await gateway.send({}, { dialect })).status, 200)
  })

  it('shows in the metadata, with the repair as a warning', async () => {
    await using gateway = await withPlugins(['response-healing'], textEvents('{"a":1,}'))
    const headers = { 'x-hadrian-metadata': 'enabled' }
    type Metadata = { pipeline: { hook: string; plugin: string }[]; warnings: { code: string; param: string }[] }
    const ran = ({ pipeline }: Metadata): boolean => pipeline.some(({ plugin }) => plugin === 'response-healing')

    const whole = await gateway.send({ ...jsonFormat, plugins }, { headers })
    const metadata = whole.body['hadrian_metadata'] as Metadata
    assert.ok(ran(metadata))
    assert.deepEqual(metadata.warnings.map(({ code, param }) => [code, param]), [['response_healed', 'response_format']]) // prettier-ignore

    const other = await gateway.send(
      { text: { format: { type: 'json_object' } }, plugins },
      { dialect: 'responses', headers },
    )
    assert.equal((other.body['hadrian_metadata'] as Metadata).warnings[0]?.param, 'text.format')

    const { records } = await gateway.stream({ ...jsonFormat, plugins }, { headers })
    const all = await Array.fromAsync(records)
    const last = all.map(({ data }) => data).findLast((data) => typeof data !== 'string') as JsonObject
    assert.ok(ran(last['hadrian_metadata'] as Metadata))

    const without = await gateway.send(jsonFormat, { headers })
    assert.ok(!ran(without.body['hadrian_metadata'] as Metadata))
  })
})

describe('answers that are not whole', () => {
  for (const [name, events] of Object.entries({
    'cut off by its length': [
      { type: 'text', text: '{"a": [1, 2' },
      { type: 'finish', reason: 'length' },
    ],
    'that calls a tool': [
      { type: 'text', text: '{"a": [1, 2' },
      { type: 'tool_call', index: 0, id: 'c', name: 'f', arguments: '{' },
      { type: 'finish', reason: 'tool_calls' },
    ],
  } as const satisfies Record<string, readonly StreamEvent[]>))
    for (const stream of [false, true])
      it(`pass as they are: one ${name}${stream ? ', streamed' : ''}`, async () => {
        await using gateway = await withPlugins(['response-healing'], events)
        if (!stream) {
          assert.deepEqual(contentsOf((await gateway.send({ ...jsonFormat, plugins })).body), ['{"a": [1, 2'])
          return
        }
        const { records, text } = await gateway.stream({ ...jsonFormat, plugins })
        await Array.fromAsync(records)
        assert.equal(saidIn(text()), '{"a": [1, 2')
      })

  it('are healed choice by choice', async () => {
    const piece = (index: number, content: string): Json => ({
      ...chatChunk({}),
      choices: [{ index, delta: { content } }],
    })
    const finish = (index: number): Json => ({
      ...chatChunk({}),
      choices: [{ index, delta: {}, finish_reason: 'stop' }],
    })
    running.upstream.answer(
      streamed(
        [piece(0, '{"a":'), piece(1, '{b: 2'), piece(0, '1,}'), finish(1), finish(0), '[DONE]'].map((each) =>
          record(each),
        ),
      ),
    )
    const body = await (await ask('chat', 'native/m', { ...jsonFormat, plugins, n: 2, stream: true })).text()
    const texts: string[] = []
    for (const chunk of chunks(body))
      for (const { index, delta } of chunk['choices'] as { index: number; delta: { content?: string } }[])
        texts[index] = (texts[index] ?? '') + (delta.content ?? '')
    assert.deepEqual(texts.map((text) => JSON.parse(text) as unknown), [{ a: 1 }, { b: 2 }]) // prettier-ignore
  })
})

describe('together with a blocklist', () => {
  for (const order of [
    ['blocklist', 'response-healing'],
    ['response-healing', 'blocklist'],
  ] as const)
    // prettier-ignore
    for (const stream of [false, true]) {
      const name = `${order.join(' before ')}${stream ? ', streamed' : ''}`
      const say = async (answer: string, action: string): Promise<{ status: number; text: string }> => {
        await using gateway = await withPlugins(order, textEvents(answer), { action })
        const body = { ...jsonFormat, plugins }
        if (!stream) {
          const { status, body: sent } = await gateway.send(body)
          return { status, text: status === 200 ? contentsOf(sent)[0]! : JSON.stringify(sent) }
        }
        const { status, records, text } = await gateway.stream(body)
        await Array.fromAsync(records)
        assert.ok(!text().includes('falcon'), text())
        return { status, text: text().includes('"error"') ? text() : saidIn(text()) }
      }

      it(`the answer is repaired and without the word: ${name}`, async () => {
        const { text } = await say('Sure: {"a": "the falcon flies",}', 'redact')
        assert.deepEqual(JSON.parse(text), { a: 'the [redacted] flies' })
      })

      it(`a word that only the repair puts together is found: ${name}`, async () => {
        const { text } = await say('{"a": "the fal" + "con flies"}', 'redact')
        assert.deepEqual(JSON.parse(text), { a: 'the [redacted] flies' })
        assert.match((await say('{"a": "the fal" + "con flies"}', 'refuse')).text, /content_blocked/)
      })
    }
})
