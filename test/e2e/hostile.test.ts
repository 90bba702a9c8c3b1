/** Input made to hurt: always a good answer or a 4xx in the one shape, never a 5xx, never a crash, never a long wait. */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { after, afterEach, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { checkAlive, hello, sendHostile } from './hostile-body.ts'
import type { Json } from './scripted-upstream.ts'
import { sendRaw } from './stream-client.ts'

let running: RunningGateway

before(async () => {
  running = await startGateway()
})
after(() => running.close())
afterEach(() => checkAlive(running))

const models = ['native/m', 'chat-only/m', 'responses-only/m', 'anthropic/claude-sonnet-4-5', 'test/echo'] as const
const send = (path: string, body: string, headers: Record<string, string> = {}): Promise<number> =>
  sendHostile(running, path, body, headers)

/** The same for both dialects, all upstreams, streamed and not. */
async function sendAll(chat: Json, responses?: Json): Promise<void> {
  for (const model of models)
    for (const stream of [false, true]) {
      await send('/v1/chat/completions', JSON.stringify({ model, messages: hello, stream, ...chat }))
      if (responses) await send('/v1/responses', JSON.stringify({ model, input: 'Hello', stream, ...responses }))
    }
}

const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__']

describe('names of the prototype', { timeout: 60_000 }, () => {
  for (const name of names)
    it(`${name} is a name like any other`, async () => {
      const own = `{"${name}":{"polluted":true}}`
      const spots = [
        `"metadata":${own}`,
        `"${name}":${own}`,
        `"tools":[{"type":"function","function":{"name":"${name}","parameters":{"type":"object","properties":${own}}}}]`,
        `"tools":[{"type":"${name}"}]`,
        `"tool_choice":"${name}"`,
        `"tool_choice":{"type":"${name}"}`,
        `"response_format":{"type":"${name}"}`,
        `"response_format":{"type":"json_schema","json_schema":{"name":"${name}","schema":{"type":"object","properties":${own}}}}`,
        `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object","properties":{"a":{"type":"${name}"}}}}}`,
        `"logit_bias":{"${name}":1}`,
        `"plugins":[{"id":"${name}"}]`,
        `"plugins":[{"id":"response-healing","${name}":{"polluted":true}}]`,
        `"provider":${own}`,
        `"models":["${name}"]`,
        `"reasoning":{"effort":"${name}"}`,
        `"reasoning_effort":"${name}"`,
        `"service_tier":"${name}"`,
        `"stream_options":${own}`,
        `"messages":[{"role":"${name}","content":"x"}]`,
        `"messages":[{"role":"user","content":[{"type":"${name}","${name}":{"polluted":true}}]}]`,
        `"messages":[{"role":"user","content":"x","${name}":{"polluted":true}}]`,
        `"messages":[{"role":"assistant","tool_calls":[{"id":"${name}","type":"function","function":{"name":"${name}","arguments":"{\\"${name}\\":{\\"polluted\\":true}}"}}]},{"role":"tool","tool_call_id":"${name}","content":"x"}]`,
        `"messages":[{"role":"assistant","content":"x","reasoning_details":[{"type":"${name}","format":"${name}"}]},{"role":"user","content":"x"}]`,
        `"input":[{"type":"${name}","${name}":{"polluted":true}}]`,
        `"input":[{"role":"${name}","content":"x"}]`,
        `"input":[{"role":"user","content":[{"type":"${name}"}]}]`,
        `"text":{"format":{"type":"${name}"}}`,
        `"include":["${name}"]`,
      ]
      for (const model of models)
        for (const spot of spots)
          if (/^"(input|text|include)"/.test(spot))
            await send(
              '/v1/responses',
              `{"model":"${model}",${spot.startsWith('"input') ? '' : '"input":"Hi",'}${spot}}`,
            )
          else
            await send(
              '/v1/chat/completions',
              `{"model":"${model}",${spot.startsWith('"messages') ? '' : '"messages":[{"role":"user","content":"Hi"}],'}${spot}}`,
            )
      for (const model of [name, `${name}/x`, `native/${name}`, `test/${name}`])
        await send('/v1/chat/completions', JSON.stringify({ model, messages: hello }))
      assert.equal(
        (await fetch(`${running.url}/v1/models/${name}`, { headers: { authorization: 'Bearer key-full' } })).status,
        404,
      )
      assert.equal(
        (await fetch(`${running.url}/v1/models`, { headers: { authorization: `Bearer ${name}` } })).status,
        401,
      )
      await send('/v1/chat/completions', '{}', {
        'x-hadrian-metadata': name,
        [name.replaceAll('_', '-').replace(/^-+/, 'x-')]: name,
      })
    })
})

describe('depth', { timeout: 60_000 }, () => {
  for (const depth of [100, 195, 201, 5_000, 500_000])
    it(`${depth} levels`, async () => {
      const nests = [
        '['.repeat(depth) + ']'.repeat(depth),
        '{"a":'.repeat(depth) + '1' + '}'.repeat(depth),
        '[{"a":'.repeat(depth >> 1) + '1' + '}]'.repeat(depth >> 1),
      ]
      for (const nest of nests) {
        const expected = depth > 200 ? 400 : 200
        for (const model of models)
          assert.equal(
            await send(
              '/v1/chat/completions',
              `{"model":"${model}","messages":[{"role":"user","content":"x"}],"odd":${nest}}`,
            ),
            expected,
          )
        await send(
          '/v1/responses',
          `{"model":"anthropic/x","input":"x","tools":[{"type":"function","name":"f","strict":false,"parameters":${nest}}]}`,
        )
        await send('/v1/chat/completions', nest)
        await send('/v1/chat/completions', nest.slice(0, depth))
      }
    })

  it('inside a string that is JSON', async () => {
    const nest = '['.repeat(20_000) + ']'.repeat(20_000)
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: `{"a":${nest}}` } }
    const messages = [
      ...hello,
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c', content: nest },
    ]
    await sendAll(
      { messages },
      {
        input: [
          { type: 'function_call', call_id: 'c', name: 'f', arguments: call.function.arguments },
          { type: 'function_call_output', call_id: 'c', output: nest },
        ],
      },
    )
  })
})

describe('numbers', () => {
  for (const number of [
    '1e400',
    '-1e400',
    '1e-400',
    '-0',
    '123456789012345678901234567890',
    '0.1e1',
    '9007199254740993',
    '1E+2',
    '2147483648',
  ])
    it(number, async () => {
      const fields = [
        'temperature',
        'top_p',
        'top_k',
        'min_p',
        'max_tokens',
        'max_completion_tokens',
        'seed',
        'n',
        'top_logprobs',
        'frequency_penalty',
        'presence_penalty',
        'invented',
      ]
      for (const model of models) {
        for (const field of fields)
          await send(
            '/v1/chat/completions',
            `{"model":"${model}","messages":[{"role":"user","content":"x"}],"${field}":${number}}`,
          )
        for (const field of ['max_output_tokens', 'temperature', 'top_p', 'max_tool_calls', 'top_logprobs', 'invented'])
          await send('/v1/responses', `{"model":"${model}","input":"x","${field}":${number}}`)
        await send(
          '/v1/chat/completions',
          `{"model":"${model}","messages":[{"role":"user","content":"x"}],"reasoning":{"max_tokens":${number}}}`,
        )
        await send(
          '/v1/chat/completions',
          `{"model":"${model}","messages":[{"role":"user","content":"x"}],"logit_bias":{"1":${number}}}`,
        )
      }
      await send('/v1/embeddings', `{"model":"test/m","input":"x","dimensions":${number}}`)
      await send('/v1/completions', `{"model":"test/m","prompt":"x","max_tokens":${number}}`)
    })
})

describe('characters', { timeout: 60_000 }, () => {
  const texts: Readonly<Record<string, string>> = {
    'a lone surrogate': '\\ud800',
    'surrogates in the wrong order': '\\udc00\\ud800',
    NUL: 'a\\u0000b',
    'a line break for headers': 'x\\r\\nX-Evil: 1\\r\\n\\r\\nHTTP/1.1 200 OK',
    'a break for records': 'x\\n\\ndata: {\\"evil\\":1}\\n\\n',
    'line separators': '\\u2028\\u2029\\u0085\\u000b',
    'control characters': '\\u0001\\u001b[31m\\u007f',
    'right to left': '\\u202e\\u2066',
    'a template': '${process.env.HOME} {{7*7}} %s %00 ../../etc/passwd',
  }
  for (const [title, value] of Object.entries(texts))
    it(title, async () => {
      for (const model of models)
        for (const stream of [false, true]) {
          const chat = [
            `"messages":[{"role":"user","content":"${value}"}]`,
            `"messages":[{"role":"user","content":"x","name":"${value}"}]`,
            `"messages":[{"role":"user","content":"x"}],"user":"${value}"`,
            `"messages":[{"role":"user","content":"x"}],"${value}":"${value}"`,
            `"messages":[{"role":"user","content":"x"}],"metadata":{"${value}":"${value}"}`,
            `"messages":[{"role":"user","content":"use tool"}],"tools":[{"type":"function","function":{"name":"${value}","description":"${value}","parameters":{"type":"object"}}}]`,
            `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,${value}"}}]}]`,
            `"messages":[{"role":"assistant","tool_calls":[{"id":"${value}","type":"function","function":{"name":"f","arguments":"${value}"}}]},{"role":"tool","tool_call_id":"${value}","content":"${value}"}]`,
            `"messages":[{"role":"user","content":"x"}],"stop":["${value}"]`,
          ]
          for (const fields of chat)
            await send('/v1/chat/completions', `{"model":"${model}","stream":${stream},${fields}}`)
          await send(
            '/v1/responses',
            `{"model":"${model}","stream":${stream},"instructions":"${value}","input":"${value}"}`,
          )
        }
      for (const model of [value, `native/${value}`, `${value}/m`, `test/${value}`, `anthropic/${value}`])
        for (const path of ['/v1/chat/completions', '/v1/responses'])
          await send(path, `{"model":"${model}","messages":[{"role":"user","content":"x"}],"input":"x"}`)
      await send('/v1/embeddings', `{"model":"test/m","input":["${value}"]}`)
      await send('/v1/completions', `{"model":"test/m","prompt":"${value}"}`)
    })

  it('of a header', async () => {
    for (const value of ['\x01', '\xff', '\xe2\x80\xa8', 'a\tb', '"', '\\', '%0d%0aX-Evil: 1', 'x'.repeat(10_000)])
      for (const header of [
        'x-request-id',
        'authorization',
        'x-api-key',
        'x-hadrian-metadata',
        'user-agent',
        'traceparent',
        'x-forwarded-for',
        'content-type',
        'accept',
      ]) {
        const { closed } = await sendRaw(
          running.url,
          Buffer.from(
            `GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${header}: ${value}\r\n\r\n`,
            'latin1',
          ),
        )
        const answer = await closed
        assert.match(answer, /^HTTP\/1\.1 4\d\d /)
        assert.doesNotMatch(answer, /^X-Evil/im)
      }
  })
})

describe('JSON that says things twice', () => {
  it('goes upstream as it was understood', async () => {
    const bodies = [
      '{"model":"native/other","model":"native/m","messages":[{"role":"user","content":"x"}]}',
      '{"model":"native/m","messages":[{"role":"user","content":"no"}],"messages":[{"role":"user","content":"x"}]}',
      '{"model":"native/m","mod\\u0065l":"native/n","messages":[{"role":"user","content":"x"}]}',
      '{"messages":[{"role":"user","content":"x","model":"y"}],"model":"native/m"}',
      '{"messages":[{"role":"user","content":"\\"model\\":\\"x\\""}],"model":"native/m"}',
      '{"model":"native/m","messages":[{"role":"user","content":"x"}],"stream":false,"stream":true}',
    ]
    for (const body of bodies) {
      assert.equal(await send('/v1/chat/completions', body), 200)
      const { model, ...understood } = JSON.parse(body) as Json
      const { model: sent, stream_options: _, ...rest } = running.upstream.last().json
      assert.equal(sent, String(model).slice('native/'.length))
      assert.deepEqual(rest, understood)
    }
  })

  it('cannot smuggle a model past the check', async () => {
    const one = { authorization: 'Bearer key-one-model' }
    for (const body of [
      '{"model":"native/gpt-upstream","model":"native/secret","messages":[{"role":"user","content":"x"}]}',
      '{"model":"native/gpt-upstream","mod\\u0065l":"native/secret","messages":[{"role":"user","content":"x"}]}',
    ])
      assert.equal(await send('/v1/chat/completions', body, one), 403)
    const kept = '{"model":"native/secret","model":"native/gpt-upstream","messages":[{"role":"user","content":"x"}]}'
    assert.equal(await send('/v1/chat/completions', kept, one), 200)
    assert.equal(running.upstream.last().bytes.toString().includes('secret'), false)
  })
})

describe('any request of the corpus with anything anywhere', { timeout: 120_000 }, () => {
  const corpus = (['chat', 'responses'] as const).flatMap((dialect) => {
    const directory = new URL(`../fixtures/requests/${dialect}/`, import.meta.url)
    return readdirSync(directory).map((file) => ({
      dialect,
      body: JSON.parse(readFileSync(new URL(file, directory), 'utf8')) as Json,
    }))
  })
  const odd = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      -1,
      1e308,
      -0,
      1.5,
      '',
      '__proto__',
      'constructor',
      '\u0000',
      '\ud800',
      'data:',
      'data:;base64,',
      [],
      {},
      [[]],
      [null],
      [{}],
      { type: null },
      { type: '' },
    ),
    fc.jsonValue({ maxDepth: 3 }),
    fc.string({ unit: 'binary', maxLength: 40 }),
  )

  /** Puts a value at one of all the places of a tree. */
  function withAt(tree: unknown, pick: number, value: unknown): unknown {
    let count = 0
    const walk = (node: unknown): unknown => {
      if (count++ === pick) return value
      if (Array.isArray(node)) return node.map(walk)
      if (typeof node !== 'object' || node === null) return node
      return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, walk(child)]))
    }
    return walk(tree)
  }

  function places(tree: unknown): number {
    if (typeof tree !== 'object' || tree === null) return 1
    return 1 + Object.values(tree).reduce((sum: number, child) => sum + places(child), 0)
  }

  it('is answered or refused', async () => {
    const request = fc
      .record({
        entry: fc.constantFrom(...corpus),
        model: fc.constantFrom(...models),
        stream: fc.boolean(),
        odd,
        other: odd,
      })
      .chain(({ entry, model, stream, odd: value, other }) =>
        fc.tuple(fc.nat(places(entry.body) - 1), fc.nat(places(entry.body) - 1)).map(([first, second]) => {
          const body = withAt(withAt(entry.body, first, value), second, other)
          const named =
            typeof body === 'object' && body !== null && !Array.isArray(body)
              ? { ...body, model, stream, models: undefined }
              : body
          return [entry.dialect, JSON.stringify(named)] as const
        }),
      )
    await fc.assert(
      fc.asyncProperty(request, async ([dialect, body]) => {
        await send(dialect === 'chat' ? '/v1/chat/completions' : '/v1/responses', body)
      }),
      { numRuns: 400 },
    )
  })

  it('unchanged is answered', async () => {
    for (const { dialect, body } of corpus)
      for (const model of models) {
        const { models: _, provider: __, ...rest } = body
        await send(dialect === 'chat' ? '/v1/chat/completions' : '/v1/responses', JSON.stringify({ ...rest, model }))
      }
  })
})
