/** The OpenRouter provider of the AI SDK against a gateway on a real port: what it sends works, what it gets it understands. */

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { createOpenRouter } from '@openrouter/ai-sdk-provider'
import type { OpenRouterChatSettings, OpenRouterProvider } from '@openrouter/ai-sdk-provider'
import { APICallError, embed, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai'
import { z } from 'zod'
import { pdf } from '../plugins/pdf-builder.ts'
import { openEngine } from '../plugins/search-engine.ts'
import type { SearchEngine } from '../plugins/search-engine.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { failure, streamed, whole } from './scripted-upstream.ts'
import type { Answer, Json, Script } from './scripted-upstream.ts'
import { answerIn, chatBody, chatChunk, messageBody, messageRecords, record } from './wire-answers.ts'

const text = 'Grüße, 世界 🌍!'
const upstreams = {
  native: 'native/gpt-upstream',
  'chat-only': 'chat-only/gpt-upstream',
  'responses-only': 'responses-only/gpt-upstream',
  anthropic: 'anthropic/claude-sonnet-4-5',
} as const

let running: RunningGateway
let engine: SearchEngine
let openrouter: OpenRouterProvider

before(async () => {
  engine = await openEngine({
    results: [{ url: 'https://example.com/falcons', title: 'Falcons', content: 'Falcons are fast.' }],
  })
  running = await startGateway({
    isComplete: true,
    config: {
      models: {
        ...Object.fromEntries(
          Object.values(upstreams).map((name) => [
            name,
            { prices: { input_per_million: 1000, output_per_million: 2000 } },
          ]),
        ),
        pair: { targets: ['native/gpt-upstream', 'chat-only/gpt-upstream'] },
        'chat-only/small': { context_length: 2000 },
      },
      plugins: {
        web: { searxng: { base_url: engine.url } },
        moderation: { apply: 'on-request', engine: 'local', rules: { secrets: { words: ['falcon nine'] } } },
      },
    },
  })
})
beforeEach(() => {
  openrouter = client()
})
after(async () => {
  await running.close()
  await engine[Symbol.asyncDispose]()
})

function client(apiKey = running.key): OpenRouterProvider {
  return createOpenRouter({ apiKey, baseURL: `${running.url}/api/v1`, appName: 'Test', appUrl: 'https://example.com' })
}

/** What the SDK says about an answer besides its text. */
interface OpenRouterMetadata {
  readonly provider: string
  readonly usage: { readonly cost?: number; readonly totalTokens: number }
  readonly reasoning_details?: readonly Json[]
  readonly annotations?: readonly { readonly file: { readonly name: string; readonly content: readonly Json[] } }[]
}

function metadataOf(answer: { readonly providerMetadata: unknown }): OpenRouterMetadata {
  return (answer.providerMetadata as { readonly openrouter: OpenRouterMetadata }).openrouter
}

const sentText = (): string => running.upstream.last().bytes.toString()
const sentTo = (): string => running.upstream.last().path.split('/')[1]!

/** A call that the SDK does not repeat. */
function ask(name: string, settings: OpenRouterChatSettings = {}, prompt = 'Hello'): ReturnType<typeof generateText> {
  return generateText({ model: openrouter.chat(name, settings), prompt, maxRetries: 0 })
}

const tools = {
  get_weather: tool({
    description: 'The weather',
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `warm in ${city}`,
  }),
}
const calls = [
  { id: 'call_one', name: 'get_weather', arguments: '{"city":"Köln"}' },
  { id: 'call_two', name: 'get_weather', arguments: '{"city":"大阪"}' },
]
const weather = z.object({ city: z.string(), celsius: z.number() })
const value = { city: 'Köln', celsius: 21.5 }

for (const [instance, name] of Object.entries(upstreams))
  describe(`the SDK on ${instance}`, () => {
    it('generates a text, with its usage and cost', async () => {
      const answer = await ask(name, { usage: { include: true }, maxTokens: 50, temperature: 0.5 })
      assert.equal(answer.text, text)
      assert.equal(answer.finishReason, 'stop')
      assert.deepEqual([answer.usage.inputTokens, answer.usage.outputTokens, answer.usage.totalTokens], [7, 5, 12])
      assert.equal(metadataOf(answer).usage.cost, 0.017)
      assert.equal(sentTo(), instance)
    })

    it('streams a text, with its usage and cost', async () => {
      const stream = streamText({ model: openrouter.chat(name, { usage: { include: true } }), prompt: 'Hello' })
      let said = ''
      for await (const piece of stream.textStream) said += piece
      assert.equal(said, text)
      assert.equal(await stream.finishReason, 'stop')
      assert.equal((await stream.usage).totalTokens, 12)
      assert.equal(metadataOf({ providerMetadata: await stream.providerMetadata }).usage.cost, 0.017)
    })

    it('runs a loop of parallel tool calls', async () => {
      running.upstream.answer(answerIn({ calls }), answerIn({ text: 'Warm in both.' }))
      const answer = await generateText({
        model: openrouter.chat(name),
        prompt: 'How warm is it?',
        tools,
        stopWhen: stepCountIs(3),
      })
      assert.equal(answer.text, 'Warm in both.')
      assert.deepEqual(
        answer.steps[0]?.toolResults.map(({ output }) => output),
        ['warm in Köln', 'warm in 大阪'],
      )
      assert.match(sentText(), /warm in 大阪/)
    })

    it('streams a loop of parallel tool calls', async () => {
      running.upstream.answer(answerIn({ text: 'Let me see. ', calls }), answerIn({ text: 'Warm in both.' }))
      const stream = streamText({
        model: openrouter.chat(name),
        prompt: 'How warm is it?',
        tools,
        stopWhen: stepCountIs(3),
      })
      let said = ''
      for await (const piece of stream.textStream) said += piece
      assert.equal(said, 'Let me see. Warm in both.')
      assert.deepEqual(
        (await stream.steps)[0]?.toolCalls.map(({ input }) => input),
        [{ city: 'Köln' }, { city: '大阪' }],
      )
    })

    it('generates an object, and streams one', async () => {
      running.upstream.answer(answerIn({ text: JSON.stringify(value) }), answerIn({ text: JSON.stringify(value) }))
      const whole = await generateObject({ model: openrouter.chat(name), schema: weather, prompt: 'Hello' })
      assert.deepEqual(whole.object, value)
      assert.match(sentText(), /"celsius"/)
      const stream = streamObject({ model: openrouter.chat(name), schema: weather, prompt: 'Hello' })
      let newest: unknown
      for await (const part of stream.partialObjectStream) newest = part
      assert.deepEqual(newest, value)
      assert.deepEqual(await stream.object, value)
    })

    it('says what went wrong, as its own error', async () => {
      running.upstream.answer(failure(503))
      await assert.rejects(ask(name), (error) => {
        assert.ok(APICallError.isInstance(error), String(error))
        assert.equal(error.statusCode, 502)
        assert.match(error.message, /503/)
        assert.equal(((error.data as Json)['error'] as Json)['code'], 'provider_error')
        assert.equal(error.isRetryable, true)
        return true
      })
    })

    it('heals an object', async () => {
      running.upstream.answer(answerIn({ text: 'Here it is:\n```json\n{city: "Köln", "celsius": 21.5,}\n```' }))
      const { object } = await generateObject({
        model: openrouter.chat(name, { plugins: [{ id: 'response-healing' }] }),
        schema: weather,
        prompt: 'Hello',
      })
      assert.deepEqual(object, value)
    })

    it('searches the web, and gets the source', async () => {
      const cited = 'They are [fast](https://example.com/falcons).'
      running.upstream.answer(answerIn({ text: cited }), answerIn({ text: cited }))
      const plugins: OpenRouterChatSettings['plugins'] = [{ id: 'web', max_results: 3, engine: 'searxng' }]
      const answer = await ask(name, { plugins }, 'How fast are falcons?')
      assert.match(sentText(), /Falcons are fast\./)
      assert.equal(engine.requests.at(-1)!.query.get('q'), 'How fast are falcons?')
      assert.deepEqual(
        answer.sources.map((source) => source.sourceType === 'url' && [source.url, source.title]),
        [['https://example.com/falcons', 'Falcons']],
      )
      const stream = streamText({ model: openrouter.chat(name, { plugins }), prompt: 'How fast are falcons?' })
      assert.equal(await stream.text, cited)
      assert.equal((await stream.sources).length, 1)
    })
  })

describe('reasoning', () => {
  const thinking = { type: 'thinking', thinking: 'Let me think about it.', signature: 'c2lnbmF0dXJl' }
  const blocks = [thinking, { type: 'text', text: 'Done.' }]
  const tooled = [thinking, { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Köln' } }]
  const thoughtful: Script = (call) =>
    call.json['stream'] === true ? streamed(messageRecords({}, blocks)) : whole(messageBody({}, blocks))

  it('is asked for and comes back, whole and streamed', async () => {
    running.upstream.answer(thoughtful, thoughtful)
    const settings: OpenRouterChatSettings = { reasoning: { max_tokens: 2000 }, maxTokens: 4000 }
    const answer = await ask(upstreams.anthropic, settings)
    assert.deepEqual(running.upstream.last().json['thinking'], { type: 'enabled', budget_tokens: 2000 })
    assert.equal(answer.reasoningText, thinking.thinking)
    assert.equal(answer.text, 'Done.')
    const stream = streamText({ model: openrouter.chat(upstreams.anthropic, settings), prompt: 'Hello' })
    assert.equal(await stream.reasoningText, thinking.thinking)
    assert.equal(await stream.text, 'Done.')
  })

  for (const streams of [false, true])
    it(`survives a tool turn with its signature${streams ? ' that was streamed' : ''}`, async () => {
      const first: Answer = streams ? streamed(messageRecords({}, tooled)) : whole(messageBody({}, tooled))
      running.upstream.answer(first, thoughtful)
      const model = openrouter.chat(upstreams.anthropic, { reasoning: { effort: 'low' }, maxTokens: 8000 })
      const options = { model, prompt: 'How warm is it?', tools, stopWhen: stepCountIs(3) }
      assert.equal(streams ? await streamText(options).text : (await generateText(options)).text, 'Done.')
      const [, assistant] = running.upstream.last().json['messages'] as { readonly content: readonly Json[] }[]
      assert.deepEqual(assistant?.content.slice(0, 1), [thinking])
    })

  it('is left out where it is to be', async () => {
    running.upstream.answer(thoughtful)
    const answer = await ask(upstreams.anthropic, { reasoning: { max_tokens: 2000, exclude: true }, maxTokens: 4000 })
    assert.equal(answer.reasoningText, undefined)
    running.upstream.answer(thoughtful)
    assert.equal((await ask(upstreams.anthropic, { includeReasoning: false })).reasoningText, undefined)
  })

  it('of an upstream that says it as text comes back', async () => {
    const body = chatBody() as { choices: { message: Json }[] }
    body.choices[0]!.message['reasoning'] = 'Hm.'
    running.upstream.answer(
      whole(body),
      streamed([
        record(chatChunk({ role: 'assistant', reasoning: 'Hm.' })),
        record(chatChunk({ content: 'Yes' }, { finish_reason: 'stop' })),
        record('[DONE]'),
      ]),
    )
    assert.equal((await ask(upstreams['chat-only'])).reasoningText, 'Hm.')
    const stream = streamText({ model: openrouter.chat(upstreams['chat-only']), prompt: 'Hello' })
    assert.equal(await stream.reasoningText, 'Hm.')
  })
})

describe('the settings of OpenRouter', () => {
  it('models: the next one answers where the first fails', async () => {
    running.upstream.answer(failure(500))
    const answer = await ask(upstreams.native, { models: [upstreams['chat-only']] })
    assert.equal(answer.text, text)
    assert.equal(sentTo(), 'chat-only')
  })

  it('provider: its keys choose the target', async () => {
    const routed = async (provider: OpenRouterChatSettings['provider']): Promise<string> => {
      await ask('pair', { provider })
      return sentTo()
    }
    assert.equal(await routed({ order: ['chat-only', 'native'] }), 'chat-only')
    assert.equal(await routed({ only: ['chat-only'], allow_fallbacks: false }), 'chat-only')
    assert.equal(await routed({ ignore: ['chat-only'] }), 'native')
    assert.equal(
      await routed({ only: ['chat-only'], sort: 'price', max_price: { prompt: '1000', completion: 2000 } }),
      'chat-only',
    )
    for (const provider of [
      { zdr: true },
      { data_collection: 'deny' },
      { quantizations: ['fp8'] },
      { max_price: { prompt: '1' } },
      { only: ['nobody'] },
    ])
      await assert.rejects(routed(provider), (error) => {
        assert.ok(APICallError.isInstance(error))
        assert.equal(error.statusCode, 400)
        assert.equal(((error.data as Json)['error'] as Json)['code'], 'routing_error')
        return true
      })
  })

  it('file-parser: a file becomes text, its annotation comes back, and goes out again', async () => {
    const plugins: OpenRouterChatSettings['plugins'] = [{ id: 'file-parser', pdf: { engine: 'pdf-text' } }]
    const model = openrouter.chat(upstreams['chat-only'], { plugins })
    const data = pdf(['The secret ingredient is thyme.'])
    const file = { type: 'file' as const, data, mediaType: 'application/pdf', filename: 'recipe.pdf' }
    const question = { role: 'user' as const, content: [{ type: 'text' as const, text: 'What is in it?' }, file] }
    const answer = await generateText({ model, messages: [question] })
    assert.match(sentText(), /The secret ingredient is thyme\./)
    const [annotation] = metadataOf(answer).annotations ?? []
    assert.equal(annotation?.file.name, 'recipe.pdf')
    assert.match(JSON.stringify(annotation.file.content), /thyme/)

    const stream = streamText({ model, messages: [question] })
    await stream.consumeStream()
    assert.equal(metadataOf({ providerMetadata: await stream.providerMetadata }).annotations?.length, 1)

    await generateText({
      model,
      messages: [question, ...answer.response.messages, { role: 'user', content: 'And what else?' }],
    })
    assert.match(sentText(), /The secret ingredient is thyme\./)
    assert.doesNotMatch(sentText(), /"annotations"|"hash"/)

    const nameless = { type: 'file' as const, data, mediaType: 'application/pdf' }
    const said = await generateText({ model, messages: [{ role: 'user', content: [nameless] }] })
    assert.equal(metadataOf(said).annotations?.length, 1)
  })

  it('context-compression: a conversation that is too long fits', async () => {
    const messages = Array.from({ length: 41 }, (_, index) => ({
      role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content: `Part ${index}. ${'Some words to fill the context. '.repeat(12)}`,
    }))
    const model = openrouter.chat('chat-only/small', { extraBody: { plugins: [{ id: 'context-compression' }] } })
    assert.equal((await generateText({ model, messages })).text, text)
    assert.ok((running.upstream.last().json['messages'] as unknown[]).length < 41)
    assert.match(sentText(), /Part 40\./)
    const off = openrouter.chat('chat-only/small', { extraBody: { transforms: [] } })
    await generateText({ model: off, messages })
    assert.equal((running.upstream.last().json['messages'] as unknown[]).length, 41)
  })

  it('moderation: what is flagged is refused, and only where it is named', async () => {
    const prompt = 'Tell me of falcon nine'
    assert.equal((await ask(upstreams.native, {}, prompt)).text, text)
    const before = running.upstream.calls.length
    await assert.rejects(ask(upstreams.native, { plugins: [{ id: 'moderation' }] }, prompt), (error) => {
      assert.ok(APICallError.isInstance(error))
      const said = (error.data as Json)['error'] as Json
      assert.deepEqual([error.statusCode, said['code']], [400, 'content_blocked'])
      assert.match(JSON.stringify(said['details']), /secrets/)
      return true
    })
    assert.equal(running.upstream.calls.length, before)
  })

  it('plugins that are not here are an error that names those that are', async () => {
    await assert.rejects(
      ask(upstreams.native, { plugins: [{ id: 'auto-router', allowed_models: ['*'] }] }),
      (error) => {
        assert.ok(APICallError.isInstance(error))
        assert.equal(error.statusCode, 400)
        assert.match(error.message, /"auto-router".*Available: .*response-healing/)
        return true
      },
    )
  })

  it('what else it can send is taken', async () => {
    const answer = await ask(upstreams.native, {
      usage: { include: true },
      user: 'somebody',
      parallelToolCalls: false,
      logitBias: { 50256: -100 },
      logprobs: 2,
      topK: 40,
      topP: 0.9,
      debug: { echo_upstream_body: true },
      cache_control: { type: 'ephemeral' },
      extraBody: { min_p: 0.1, top_a: 0.2, repetition_penalty: 1.1, route: 'fallback', session_id: 'conversation' },
    })
    assert.equal(answer.text, text)
    assert.equal((await ask(upstreams.anthropic, { cache_control: { type: 'ephemeral' }, topK: 40 })).text, text)
    assert.equal(running.upstream.last().json['top_k'], 40)
  })

  it('caches the prompt where its parts say so', async () => {
    await generateText({
      model: openrouter.chat(upstreams.anthropic),
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Long.', providerOptions: { openrouter: { cacheControl: { type: 'ephemeral' } } } },
            { type: 'text', text: 'Hello' },
          ],
        },
      ],
    })
    assert.match(sentText(), /"cache_control":\{"type":"ephemeral"\}/)
  })

  it('sends embeddings too', async () => {
    const { embedding } = await embed({
      model: openrouter.textEmbeddingModel('native/embed-upstream'),
      value: 'Hello',
    })
    assert.deepEqual(embedding, [0.25, -0.5, 1])
  })
})

describe('errors of the gateway', () => {
  it('come as those of the SDK, with their message', async () => {
    const cases: readonly (readonly [call: () => PromiseLike<unknown>, status: number, message: RegExp])[] = [
      [() => generateText({ model: client('gw_live_wrong').chat(upstreams.native), prompt: 'Hello' }), 401, /key/i],
      [() => ask('nobody/has-this'), 400, /nobody\/has-this/],
      [() => ask('openrouter/auto'), 400, /openrouter\/auto/],
      [() => ask(upstreams.native, { provider: { sort: 'beauty' } }), 400, /sort/],
    ]
    for (const [call, status, message] of cases)
      await assert.rejects(Promise.resolve(call()), (error) => {
        assert.ok(APICallError.isInstance(error), String(error))
        assert.equal(error.statusCode, status)
        assert.match(error.message, message)
        return true
      })
  })

  it('in the middle of a stream end it with that error', async () => {
    running.upstream.answer(streamed([record(chatChunk({ role: 'assistant', content: 'Half' }))], { ending: 'cut' }))
    const errors: unknown[] = []
    const stream = streamText({
      model: openrouter.chat(upstreams['chat-only']),
      prompt: 'Hello',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    })
    let said = ''
    for await (const part of stream.fullStream) if (part.type === 'text-delta') said += part.text
    assert.equal(said, 'Half')
    assert.equal(errors.length, 1)
    assert.match(JSON.stringify(errors[0]), /provider_error/)
  })
})
