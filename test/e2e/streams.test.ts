/** Streams on real sockets: events at once, bytes in any pieces, payloads as they are. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { checkStream } from '../open-responses.ts'
import { bodies, firstRecords, kinds, pairs, paths, text, wires } from './dialect-pairs.ts'
import type { ClientDialect } from './dialect-pairs.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { cutEvery, gate, streamed } from './scripted-upstream.ts'
import type { Json } from './scripted-upstream.ts'
import { chunks, payloads, readerOf, saidIn } from './stream-client.ts'
import { chatChunk, record, responseRecords } from './wire-answers.ts'

let running: RunningGateway

before(async () => {
  running = await startGateway()
})
after(() => running.close())

function ask(dialect: ClientDialect, model: string, more: Json = {}): Promise<Response> {
  return running.post(paths[dialect], { model, stream: true, ...bodies[dialect], ...more })
}

describe('an event', { timeout: 10_000 }, () => {
  for (const { dialect, model, wire, name } of pairs)
    it(`reaches the client before the next one is there: ${name}`, async () => {
      const records = wires[wire]()
      const begin = firstRecords(records)
      const middle = begin.length + 1
      const [second, third] = [gate(), gate()]
      running.upstream.answer(
        streamed([...begin, second.wait, ...records.slice(begin.length, middle), third.wait, ...records.slice(middle)]),
      )
      const response = await ask(dialect, model)
      const reader = readerOf(response)
      await reader.until('Grüße, ')
      assert.ok(!reader.text().includes('世界'))
      second.open()
      await reader.until('世界')
      third.open()
      assert.equal(saidIn(await reader.rest()), text)
      assert.match(reader.text(), /data: \[DONE\]\n\n$/)
      assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
      assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform')
      assert.equal(response.headers.get('x-accel-buffering'), 'no')
    })
})

describe('bytes of an upstream', { timeout: 60_000 }, () => {
  const forms: Readonly<Record<string, (stream: string) => string>> = {
    'line feeds': (stream) => stream,
    'carriage returns and line feeds': (stream) => stream.replaceAll('\n', '\r\n'),
    'carriage returns': (stream) => stream.replaceAll('\n', '\r'),
    comments: (stream) => `: hi\n\n${stream.replaceAll('\n\n', '\n\n: still here\n\n')}`,
    'other fields': (stream) => stream.replaceAll('\n\n', '\nid: 7\nretry: 100\nodd\n\n'),
    'no space after the colon': (stream) => stream.replaceAll(/^(data|event): /gm, '$1:'),
    'a byte order mark': (stream) => `\uFEFF${stream}`,
    'no empty line at the end': (stream) => stream.trimEnd(),
  }
  for (const [form, shape] of Object.entries(forms))
    it(`may have ${form}, split anywhere`, async () => {
      for (const { dialect, model, wire } of pairs) {
        const stream = shape(wires[wire]().join(''))
        for (const size of [...(form === 'line feeds' ? [1] : []), 7, 1000, stream.length * 4]) {
          running.upstream.answer(streamed(cutEvery(stream, size)))
          const body = await readerOf(await ask(dialect, model)).rest()
          assert.equal(saidIn(body), text, `${model} ${dialect} in pieces of ${size}`)
          assert.match(body, /data: \[DONE\]\n\n$/)
          if (dialect === 'responses') checkStream(body)
        }
      }
    })

  it('may be cut in two at every position', async () => {
    const stream = Buffer.from(
      [chatChunk({ content: 'ü🌍' }), chatChunk({}, { finish_reason: 'stop' })].map((each) => record(each)).join(''),
    )
    for (let at = 1; at < stream.length; at++) {
      running.upstream.answer(streamed([stream.subarray(0, at), stream.subarray(at)]))
      const body = await readerOf(await ask('chat', 'native/m')).rest()
      assert.equal(saidIn(body), 'ü🌍', `cut at ${at}`)
      assert.match(body, /data: \[DONE\]\n\n$/)
    }
  })
})

describe('a stream of responses', () => {
  for (const { model, wire } of kinds)
    it(`satisfies the public schema and its rules: ${model}`, async () => {
      const calls = [
        { id: 'call_1', name: 'look', arguments: '{"at":"世界"}' },
        { id: 'call_2', name: 'look', arguments: '{"at":"b"}' },
      ]
      const tools = [{ type: 'function', name: 'look', parameters: { type: 'object' }, strict: false }]
      running.upstream.answer(streamed(wires[wire.responses]({ text: 'Let me see.', calls })))
      const final = checkStream(await readerOf(await ask('responses', model, { tools })).rest())
      assert.deepEqual(
        (final['output'] as Json[]).map(({ type }) => type),
        ['message', 'function_call', 'function_call'],
      )
    })

  it('satisfies them from the test provider too', async () => {
    for (const model of ['test/echo', 'test/reasoning', 'test/cut-2', 'test/error-after-2'])
      checkStream(await readerOf(await ask('responses', model)).rest())
  })
})

describe('passthrough', () => {
  it("sends the client's own bytes upstream, but for the model", async () => {
    const sent =
      '{ "messages" :[{"role":"user","content":"caf\\u4e16 \\/ 🌍"}],\n\t"model": "native/gpt-upstream", "temperature":1.50e0,"invented":{"b":[1,2],"a":null} , "seed":1234567890123456789}'
    await running.post(paths.chat, sent)
    assert.equal(running.upstream.last().bytes.toString(), sent.replace('native/gpt-upstream', 'gpt-upstream'))
    const asking = sent.replace(/\}$/, ',"stream":true,"stream_options":{"include_usage":true}}')
    await (await running.post(paths.chat, asking)).text()
    assert.equal(running.upstream.last().bytes.toString(), asking.replace('native/gpt-upstream', 'gpt-upstream'))
    const silent = sent.replace(/\}$/, ',"stream":true}')
    await (await running.post(paths.chat, silent)).text()
    const got = running.upstream.last().bytes.toString()
    assert.deepEqual(running.upstream.last().json['stream_options'], { include_usage: true })
    assert.ok(got.startsWith(silent.replace('native/gpt-upstream', 'gpt-upstream').slice(0, -1)), got)
  })

  it("removes the gateway's own fields", async () => {
    await running.post(paths.chat, { model: 'native/m', models: ['native/n'], plugins: [], ...bodies.chat })
    assert.deepEqual(running.upstream.last().json, { model: 'm', ...bodies.chat })
  })

  it("hands the upstream's payloads to the client as they are", async () => {
    const odd = [
      '{"id":"x" ,"object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a\\u00e9"},"invented":[1.0]}],"p":"…"}',
      '{"id":"x","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}]}',
      '{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    ]
    running.upstream.answer(streamed([...odd.map((each) => record(each)), record('[DONE]')]))
    assert.deepEqual(payloads(await readerOf(await ask('chat', 'native/m')).rest()), [...odd, '[DONE]'])
    const events = responseRecords().map((each) => each)
    running.upstream.answer(streamed(events))
    const got = payloads(await readerOf(await ask('responses', 'native/m')).rest())
    const deltas = (list: readonly string[]): string[] => list.filter((each) => each.includes('output_text.delta'))
    assert.deepEqual(deltas(got), deltas(payloads(events.join(''))))
  })

  it('hides the chunk with the usage unless it was asked for, and counts it all the same', async () => {
    const before = running.outcomes.length
    const hidden = await readerOf(await ask('chat', 'native/m')).rest()
    assert.ok(!hidden.includes('"usage"'), hidden)
    const shown = await readerOf(await ask('chat', 'native/m', { stream_options: { include_usage: true } })).rest()
    const last = chunks(shown).at(-1)!
    assert.deepEqual(last['choices'], [])
    assert.equal((last['usage'] as Json)['total_tokens'], 12)
    for (const { usage } of (await running.ended(before + 2)).slice(before)) {
      assert.equal(usage?.inputTokens, 7)
      assert.equal(usage.outputTokens, 5)
      assert.ok(!usage.estimated)
    }
  })

  it('estimates a usage that does not come, and says so', async () => {
    const before = running.outcomes.length
    const records = [chatChunk({ content: 'four' }), chatChunk({}, { finish_reason: 'stop' })].map((each) =>
      record(each),
    )
    running.upstream.answer(streamed([...records, record('[DONE]')]))
    await readerOf(await ask('chat', 'native/m')).rest()
    const outcome = (await running.ended(before + 1)).at(-1)
    assert.equal(outcome?.status, 'completed')
    assert.equal(outcome.usage?.estimated, true)
  })
})
