/** OpenAI's own client against a gateway on a real port: every operation, on every kind of upstream. */

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import type OpenAI from 'openai'
import {
  APIError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  UnprocessableEntityError,
} from 'openai'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { failure, gate, streamed } from './scripted-upstream.ts'
import { answerIn, chatRecords, words } from './wire-answers.ts'

let running: RunningGateway
let openai: OpenAI

before(async () => {
  running = await startGateway({ isComplete: true })
})
beforeEach(() => {
  openai = running.client()
})
after(() => running.close())

/** A key of its own. */
async function newKey(fields: object): Promise<string> {
  const response = await running.post('/admin/v1/api-keys', { name: 'limited', ...fields })
  assert.equal(response.status, 201)
  return ((await response.json()) as { key: string }).key
}

const text = 'Grüße, 世界 🌍!'
const hello = [{ role: 'user' as const, content: 'Hello' }]
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, celsius: { type: 'number' } },
  required: ['city', 'celsius'],
  additionalProperties: false,
}
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}
const calls = [
  { id: 'call_one', name: 'get_weather', arguments: '{"city":"Köln"}' },
  { id: 'call_two', name: 'get_weather', arguments: '{"city":"大阪"}' },
]
const wireOf: Readonly<Record<string, RegExp>> = {
  native: /^\/native\/v1\/(chat\/completions|responses)$/,
  'chat-only': /^\/chat-only\/v1\/chat\/completions$/,
  'responses-only': /^\/responses-only\/v1\/responses$/,
  anthropic: /^\/anthropic\/v1\/messages$/,
}
const upstreams = ['native', 'chat-only', 'responses-only', 'anthropic'] as const

for (const instance of upstreams) {
  const model = instance === 'anthropic' ? 'anthropic/claude-sonnet-4-5' : `${instance}/gpt-upstream`

  describe(`chat on ${instance}`, () => {
    it('creates a completion', async () => {
      const completion = await openai.chat.completions.create({ model, messages: hello })
      assert.equal(completion.object, 'chat.completion')
      assert.equal(completion.choices[0]?.message.content, text)
      assert.equal(completion.choices[0]?.finish_reason, 'stop')
      assert.equal(completion.usage?.prompt_tokens, 7)
      assert.equal(completion.usage?.completion_tokens, 5)
      assert.equal(completion.usage?.total_tokens, 12)
      assert.match(running.upstream.last().path, wireOf[instance]!)
      assert.equal(running.upstream.last().json['model'], model.slice(instance.length + 1))
    })

    it('streams, with usage only if asked', async () => {
      for (const asked of [false, true]) {
        const stream = await openai.chat.completions.create({
          model,
          messages: hello,
          stream: true,
          ...(asked && { stream_options: { include_usage: true } }),
        })
        let said = ''
        const reasons: unknown[] = []
        const usages: unknown[] = []
        const ids = new Set<string>()
        for await (const chunk of stream) {
          said += chunk.choices[0]?.delta.content ?? ''
          if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason)
          if (chunk.usage) usages.push(chunk.usage.total_tokens)
          ids.add(chunk.id)
        }
        assert.equal(said, text)
        assert.deepEqual(reasons, ['stop'])
        assert.deepEqual(usages, asked ? [12] : [])
        assert.equal(ids.size, 1)
      }
    })

    it('serves the stream helper', async () => {
      const stream = openai.chat.completions.stream({ model, messages: hello })
      const deltas: string[] = []
      stream.on('content', (delta) => deltas.push(delta))
      const final = await stream.finalChatCompletion()
      assert.equal(final.choices[0]?.message.content, text)
      assert.equal(deltas.join(''), text)
      assert.deepEqual(deltas.filter(Boolean), words(text))
    })

    it('parses structured output', async () => {
      const value = { city: 'Köln', celsius: 21.5 }
      running.upstream.answer(answerIn({ text: JSON.stringify(value) }))
      const completion = await openai.chat.completions.parse({
        model,
        messages: hello,
        response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema } },
      })
      assert.deepEqual(JSON.parse(completion.choices[0]?.message.content ?? ''), value)
      assert.match(running.upstream.last().bytes.toString(), /"celsius"/)
    })

    it('runs a loop of parallel tool calls', async () => {
      running.upstream.answer(answerIn({ calls }), answerIn({ text: 'Warm in both.' }))
      const asked: unknown[] = []
      const runner = openai.chat.completions.runTools({
        model,
        messages: hello,
        tools: [
          {
            type: 'function',
            function: {
              name: 'get_weather',
              description: 'The weather',
              parameters,
              parse: JSON.parse,
              function: (input: unknown) => {
                asked.push(input)
                return 'warm'
              },
            },
          },
        ],
      })
      assert.equal(await runner.finalContent(), 'Warm in both.')
      assert.deepEqual(asked, [{ city: 'Köln' }, { city: '大阪' }])
      const sent = running.upstream.last().bytes.toString()
      for (const { id } of calls) assert.equal(sent.split(`"${id}"`).length, 3, 'a call and its result')
    })

    it('streams parallel tool calls apart', async () => {
      running.upstream.answer(answerIn({ text: 'Let me see. ', calls }))
      const stream = openai.chat.completions.stream({
        model,
        messages: hello,
        tools: [{ type: 'function', function: { name: 'get_weather', parameters } }],
      })
      const final = await stream.finalChatCompletion()
      const [choice] = final.choices
      assert.equal(choice?.finish_reason, 'tool_calls')
      assert.equal(choice.message.content, 'Let me see. ')
      assert.deepEqual(
        choice.message.tool_calls?.map(
          (call) => call.type === 'function' && [call.id, call.function.name, JSON.parse(call.function.arguments)],
        ),
        calls.map((call) => [call.id, call.name, JSON.parse(call.arguments)]),
      )
    })

    it('shows images to the model', async () => {
      const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
      await openai.chat.completions.create({
        model,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is it?' },
              { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}`, detail: 'low' } },
            ],
          },
        ],
      })
      assert.ok(running.upstream.last().bytes.includes(pixel))
    })
  })

  describe(`responses on ${instance}`, () => {
    it('creates a response', async () => {
      const response = await openai.responses.create({ model, input: 'Hello', instructions: 'Be kind.' })
      assert.equal(response.object, 'response')
      assert.equal(response.status, 'completed')
      assert.equal(response.output_text, text)
      assert.equal(response.usage?.input_tokens, 7)
      assert.equal(response.usage?.output_tokens, 5)
      assert.equal((response as { store?: boolean }).store, false)
      assert.match(running.upstream.last().path, wireOf[instance]!)
      assert.match(running.upstream.last().bytes.toString(), /Be kind\./)
    })

    it('streams', async () => {
      const stream = await openai.responses.create({ model, input: 'Hello', stream: true })
      const types: string[] = []
      let said = ''
      for await (const event of stream) {
        assert.equal(event.sequence_number, types.length)
        types.push(event.type)
        if (event.type === 'response.output_text.delta') said += event.delta
      }
      assert.equal(said, text)
      assert.deepEqual(types.slice(0, 2), ['response.created', 'response.in_progress'])
      assert.equal(types.at(-1), 'response.completed')
    })

    it('serves the stream helper', async () => {
      const final = await openai.responses.stream({ model, input: 'Hello' }).finalResponse()
      assert.equal(final.output_text, text)
      assert.equal(final.status, 'completed')
    })

    it('runs a loop of function calls', async () => {
      const tools = [{ type: 'function' as const, name: 'get_weather', parameters, strict: true }]
      running.upstream.answer(answerIn({ calls }), answerIn({ text: 'Warm in both.' }))
      const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: 'Weather?' }]
      const first = await openai.responses.stream({ model, input, tools }).finalResponse()
      const made = first.output.filter((item) => item.type === 'function_call')
      assert.deepEqual(
        made.map(({ call_id, name, arguments: given }) => [call_id, name, JSON.parse(given)]),
        calls.map((call) => [call.id, call.name, JSON.parse(call.arguments)]),
      )
      const second = await openai.responses.create({
        model,
        tools,
        input: [
          ...input,
          ...made.map(({ parsed_arguments: _, ...item }) => item),
          ...made.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'warm' })),
        ],
      })
      assert.equal(second.output_text, 'Warm in both.')
      const sent = running.upstream.last().bytes.toString()
      for (const { id } of calls) assert.equal(sent.split(`"${id}"`).length, 3, 'a call and its result')
    })

    it('gives structured output', async () => {
      const value = { city: 'Köln', celsius: 21.5 }
      running.upstream.answer(answerIn({ text: JSON.stringify(value) }))
      const response = await openai.responses.create({
        model,
        input: 'Weather?',
        text: { format: { type: 'json_schema', name: 'weather', strict: true, schema } },
      })
      assert.deepEqual(JSON.parse(response.output_text), value)
      // Where the upstream has responses, the echo is the upstream's own.
      if (!running.upstream.last().path.endsWith('/responses')) assert.equal(response.text?.format?.type, 'json_schema')
      assert.match(running.upstream.last().bytes.toString(), /"celsius"/)
    })
  })
}

describe('the test provider', () => {
  it('serves chat and responses, streamed and not', async () => {
    const model = 'test/echo'
    const completion = await openai.chat.completions.create({ model, messages: hello })
    assert.equal(completion.choices[0]?.message.content, 'You said: Hello')
    const chat = await openai.chat.completions.stream({ model, messages: hello }).finalChatCompletion()
    assert.equal(chat.choices[0]?.message.content, 'You said: Hello')
    assert.equal((await openai.responses.create({ model, input: 'Hello' })).output_text, 'You said: Hello')
    const response = await openai.responses.stream({ model, input: 'Hello' }).finalResponse()
    assert.equal(response.output_text, 'You said: Hello')
  })

  it('calls tools and obeys a schema', async () => {
    const call = await openai.chat.completions.create({
      model: 'test/echo',
      messages: [{ role: 'user', content: 'call get_weather' }],
      tools: [{ type: 'function', function: { name: 'get_weather', parameters } }],
    })
    assert.equal(call.choices[0]?.finish_reason, 'tool_calls')
    const shaped = await openai.chat.completions.create({
      model: 'test/echo',
      messages: hello,
      response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema } },
    })
    assert.deepEqual(Object.keys(JSON.parse(shaped.choices[0]?.message.content ?? '') as object), ['city', 'celsius'])
  })
})

describe('other operations', () => {
  for (const prefix of ['/api/v1', '/v1'])
    it(`are served below ${prefix}`, async () => {
      const client = running.client({ prefix })
      const embeddings = await client.embeddings.create({ model: 'native/embed-upstream', input: ['a', 'b'] })
      assert.deepEqual(
        embeddings.data.map(({ embedding }) => embedding),
        [
          [0.25, -0.5, 1],
          [0.25, -0.5, 1],
        ],
      )
      const completion = await client.completions.create({ model: 'native/gpt-upstream', prompt: 'Say it' })
      assert.equal(completion.choices[0]?.text, text)
      let said = ''
      const stream = await client.completions.create({ model: 'native/gpt-upstream', prompt: 'Say it', stream: true })
      for await (const chunk of stream) said += chunk.choices[0]?.text ?? ''
      assert.equal(said, text)

      const ids = new Set((await client.models.list()).data.map(({ id }) => id))
      assert.ok(ids.has('native/gpt-upstream'))
      assert.ok(ids.has('native/vendor/deep'))
      assert.ok(ids.has('test/echo'))
      const model = await client.models.retrieve('native/vendor/deep')
      assert.equal(model.id, 'native/vendor/deep')
      assert.equal(model.object, 'model')
      await assert.rejects(client.models.retrieve('native/nowhere'), NotFoundError)
      assert.equal(
        (await client.chat.completions.create({ model: 'gpt-upstream', messages: hello })).object,
        'chat.completion',
      )
      assert.equal((await client.responses.create({ model: 'gpt-upstream', input: 'Hello' })).object, 'response')
    })

  it('list only the models of the key', async () => {
    const ids = (
      await running.client({ apiKey: await newKey({ allowed_models: ['native/gpt-upstream'] }) }).models.list()
    ).data.map(({ id }) => id)
    assert.deepEqual(ids, ['native/gpt-upstream'])
  })
})

describe('errors', () => {
  const model = 'native/gpt-upstream'
  const upstreamCases = [
    [400, BadRequestError, 400],
    [401, InternalServerError, 502],
    [403, InternalServerError, 502],
    [404, NotFoundError, 404],
    [409, ConflictError, 409],
    [422, UnprocessableEntityError, 422],
    [429, RateLimitError, 429],
    [500, InternalServerError, 502],
    [503, InternalServerError, 502],
  ] as const

  for (const [status, expected, shown] of upstreamCases)
    it(`an upstream's ${status} is a ${expected.name}, in both dialects, streamed and not`, async () => {
      const attempts = [
        () => openai.chat.completions.create({ model, messages: hello }),
        () => openai.chat.completions.create({ model, messages: hello, stream: true }),
        () => openai.responses.create({ model, input: 'Hello' }),
        () => openai.responses.create({ model, input: 'Hello', stream: true }),
      ]
      for (const attempt of attempts) {
        running.upstream.answer(failure(status, {}, { 'retry-after': '7' }))
        await assert.rejects(attempt(), (error) => {
          assert.ok(error instanceof expected, `${String(error)} is no ${expected.name}`)
          assert.equal(error.status, shown)
          assert.equal(error.code, 'provider_error')
          // How the operator's own credentials failed is not the client's business.
          assert.match(
            error.message,
            status === 401 ? /credentials of the gateway/ : new RegExp(`upstream says ${status}`),
          )
          assert.equal(error.requestID, (error.error as { request_id: string }).request_id)
          assert.deepEqual((error.error as { details: unknown }).details, {
            provider: 'native',
            upstream_status: status,
            upstream_code: 'some_code',
          })
          assert.equal(error.headers.get('retry-after'), '7')
          return true
        })
      }
    })

  it('a missing or unknown key is an AuthenticationError', async () => {
    await assert.rejects(running.client({ apiKey: `gw_live_${'x'.repeat(43)}` }).models.list(), (error) => {
      assert.ok(error instanceof AuthenticationError)
      assert.equal(error.code, 'invalid_api_key')
      assert.equal(error.type, 'authentication_error')
      return true
    })
    const answer = await fetch(`${running.url}/v1/models`)
    assert.equal(answer.status, 401)
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer')
    assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'missing_credentials')
  })

  it('a key without the scope or the model is a PermissionDeniedError', async () => {
    const noChat = running.client({ apiKey: await newKey({ scopes: ['models'] }) })
    await assert.rejects(noChat.chat.completions.create({ model, messages: hello }), (error) => {
      assert.ok(error instanceof PermissionDeniedError)
      assert.equal(error.code, 'insufficient_scope')
      return true
    })
    const one = running.client({ apiKey: await newKey({ allowed_models: ['native/gpt-upstream'] }) })
    const calls = running.upstream.calls.length
    for (const body of [
      { model: 'native/other' },
      { model, models: ['native/other'] },
      { model: 'chat-only/gpt-upstream' },
    ])
      await assert.rejects(one.chat.completions.create({ ...body, messages: hello }), (error) => {
        assert.ok(error instanceof PermissionDeniedError)
        assert.equal(error.code, 'model_not_allowed')
        assert.equal(error.type, 'permission_error')
        return true
      })
    assert.equal(running.upstream.calls.length, calls, 'the upstream was called')
  })

  it('a wrong body is a BadRequestError that names the field', async () => {
    await assert.rejects(openai.chat.completions.create({ model, messages: hello, temperature: 9 }), (error) => {
      assert.ok(error instanceof BadRequestError)
      assert.equal(error.param, 'temperature')
      assert.equal(error.code, 'invalid_request_error')
      return true
    })
    await assert.rejects(openai.chat.completions.create({ model: 'nowhere/x', messages: hello }), (error) => {
      assert.ok(error instanceof BadRequestError)
      assert.equal(error.code, 'routing_error')
      assert.match(error.message, /Model 'nowhere\/x' not found/)
      return true
    })
  })

  it('a failure inside a stream is thrown by the iteration, in both dialects', async () => {
    const records = chatRecords()
    for (const instance of ['native', 'chat-only']) {
      running.upstream.answer(streamed(records.slice(0, 3), { ending: 'cut' }))
      const chat = await openai.chat.completions.create({ model: `${instance}/x`, messages: hello, stream: true })
      await assert.rejects(async () => {
        for await (const _ of chat);
      }, APIError)
    }
    running.upstream.answer(streamed(records.slice(0, 3), { ending: 'cut' }))
    await assert.rejects(openai.responses.stream({ model: 'chat-only/x', input: 'Hello' }).finalResponse())
  })

  it('the client can abort', async () => {
    const never = gate()
    running.upstream.answer(streamed([...chatRecords().slice(0, 2), never.wait]))
    const stream = await openai.chat.completions.create({ model, messages: hello, stream: true })
    for await (const _ of stream) stream.controller.abort()
    await running.upstream.last().closed
    never.open()
  })

  it('the client retries what may pass, as it does with OpenAI', async () => {
    running.upstream.answer(failure(503, {}, { 'retry-after-ms': '1', 'retry-after': '0' }))
    const completion = await openai.chat.completions.create({ model, messages: hello }, { maxRetries: 1 })
    assert.equal(completion.choices[0]?.message.content, text)
  })
})
