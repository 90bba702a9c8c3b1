/** Searches that upstreams make by themselves. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { fakeProvider, harness, textEvents } from '@hadrian/core/testing'
import type { GenerateRequest, JsonObject, WebSearchRequest } from '../../core/contract/plugin.ts'
import web from '../../plugins/web/index.ts'
import { searchesWeb } from '../../providers/anthropic/web-search.ts'
import { startGateway } from '../e2e/gateway.ts'
import type { RunningGateway } from '../e2e/gateway.ts'
import { cutEvery, streamed, whole } from '../e2e/scripted-upstream.ts'
import { chatBody, record } from '../e2e/wire-answers.ts'
import { anthropicProvider, requestOf, targetOf as claude } from '../providers/anthropic-upstream.ts'
import { instanceOf, targetOf } from '../providers/openai-instance.ts'
import { openEngine } from './search-engine.ts'

const wanted: WebSearchRequest = {
  maxUses: 3,
  includeDomains: ['example.com', '*.example.org', 'example.net/blog'],
  userLocation: { type: 'approximate', city: 'Bern' },
}

describe('web: native search on the wire', () => {
  it('is a tool of the Messages API', async () => {
    const provider = await anthropicProvider()
    const encode = (fields: Partial<GenerateRequest>) => {
      const { wire, warnings } = provider.encode(requestOf(fields), claude('claude-sonnet-4-5'))
      return { body: wire.body as JsonObject, warned: warnings.map(({ message }) => message) }
    }
    const tool = {
      type: 'web_search_20250305',
      name: 'web_search',
      max_uses: 3,
      allowed_domains: ['example.com', 'example.org', 'example.net/blog'],
      user_location: { type: 'approximate', city: 'Bern' },
    }
    const alone = encode({ webSearch: wanted })
    assert.deepEqual(alone.body['tools'], [tool])
    assert.match(alone.warned.join(), /\*\.example\.org was sent as example\.org/)
    const own = { type: 'function', name: 'f' } as const
    const beside = encode({ webSearch: { excludeDomains: ['x.com'] }, tools: [own], toolChoice: 'auto' }).body
    assert.deepEqual(
      (beside['tools'] as JsonObject[]).map((each) => each['name']),
      ['f', 'web_search'],
    )
    assert.deepEqual((beside['tools'] as JsonObject[])[1]!['blocked_domains'], ['x.com'])
    assert.deepEqual(encode({ webSearch: {}, tools: [own], toolChoice: 'none' }).body['tool_choice'], undefined)
    assert.match(encode({ webSearch: {}, tools: [own], toolChoice: 'required' }).warned.join(), /not searched/)
    assert.equal(encode({}).body['tools'], undefined)
    assert.throws(() => encode({ webSearch: { includeDomains: ['a.com'], excludeDomains: ['b.com'] } }), {
      status: 400,
      message: /not both/,
    })
  })

  it('is known of models of Anthropic', () => {
    const can = (model: string) => searchesWeb(claude(model))
    assert.deepEqual(
      ['claude-sonnet-4-5', 'claude-opus-5', 'claude-3-7-sonnet-latest', 'claude-3-5-haiku-latest'].map(can),
      [true, true, true, true],
    )
    assert.deepEqual(['claude-3-haiku-20240307', 'claude-3-opus-latest', 'claude-2.1', 'claude-instant-1'].map(can), [
      false,
      false,
      false,
      false,
    ])
  })

  it('is web_search_options of Chat Completions', async () => {
    const provider = await instanceOf({ base_url: 'https://api.openai.com/v1' })
    const sent = { web_search_options: { search_context_size: 'low' } }
    const request = requestOf({ webSearch: { ...wanted, excludeDomains: ['x.com'] }, extra: sent })
    const { wire, warnings } = provider.encode(request, targetOf('gpt-4o-search-preview'))
    assert.deepEqual((wire.body as JsonObject)['web_search_options'], {
      user_location: { type: 'approximate', approximate: { city: 'Bern' } },
      search_context_size: 'low',
    })
    assert.deepEqual(
      warnings.map(({ param }) => param),
      ['plugins.web.max_uses', 'plugins.web.include_domains', 'plugins.web.exclude_domains'],
    )
    const bare = provider.encode(requestOf({ webSearch: {} }), targetOf('gpt-4o-search-preview')).wire
      .body as JsonObject
    assert.deepEqual(bare['web_search_options'], {})
    const none = provider.encode(requestOf({}), targetOf('gpt-4o-search-preview')).wire.body as JsonObject
    assert.equal('web_search_options' in none, false)
  })

  it('is a tool of the Responses API', async () => {
    const provider = await instanceOf({ base_url: 'https://api.openai.com/v1' })
    const own = { type: 'function', name: 'f' } as const
    const request = requestOf({
      dialect: 'responses',
      webSearch: { ...wanted, excludeDomains: ['x.com'] },
      tools: [own],
    })
    const { wire, warnings } = provider.encode(request, targetOf('gpt-5'))
    assert.deepEqual((wire.body as { tools: unknown[] }).tools[1], {
      type: 'web_search',
      filters: { allowed_domains: ['example.com', 'example.org', 'example.net'] },
      user_location: { type: 'approximate', city: 'Bern' },
    })
    assert.deepEqual(
      warnings.map(({ param }) => param),
      [
        'plugins.web.max_uses',
        'plugins.web.exclude_domains',
        'plugins.web.include_domains',
        'plugins.web.include_domains',
      ],
    )
    const asked = { type: 'native', dialect: 'responses', value: { type: 'web_search_preview' } } as const
    const twice = requestOf({ dialect: 'responses', webSearch: {}, tools: [asked] })
    assert.deepEqual((provider.encode(twice, targetOf('gpt-5')).wire.body as JsonObject)['tools'], [asked.value])
  })

  it('is known of models of OpenAI, by API', async () => {
    const { capabilities } = await instanceOf({ base_url: 'https://api.openai.com/v1' })
    const can = (dialect: 'chat' | 'responses', ...models: string[]) =>
      models.map((model) => capabilities.webSearch(requestOf({ dialect }), targetOf(model)))
    assert.deepEqual(can('chat', 'gpt-4o-search-preview', 'gpt-4o-mini-search-preview', 'gpt-5-search-api'), [
      true,
      true,
      true,
    ])
    assert.deepEqual(can('chat', 'gpt-4o', 'gpt-5', 'gpt-5-research'), [false, false, false])
    assert.deepEqual(can('responses', 'gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-5.2', 'o4-mini'), [
      true,
      true,
      true,
      true,
      true,
    ])
    assert.deepEqual(can('responses', 'gpt-4.1-nano', 'gpt-3.5-turbo', 'gpt-4o-audio-preview', 'o1'), [
      false,
      false,
      false,
      false,
    ])
    const elsewhere = await instanceOf({ base_url: 'http://127.0.0.1:9/v1' })
    const info = { id: 'gpt-5', supportedParameters: ['web_search_options'] }
    const ask = elsewhere.capabilities.webSearch
    assert.deepEqual(
      [ask(requestOf({}), targetOf('gpt-4o-search-preview')), ask(requestOf({}), targetOf('x', info))],
      [false, true],
    )
  })
})

describe('web: native or not', () => {
  const question = { messages: [{ role: 'user', content: 'How fast is a falcon?' }] }
  /** `fake/able` searches by itself, `fake/unable` does not. */
  async function gateway(options: JsonObject = {}) {
    const provider = fakeProvider(() => textEvents('Fast.'), { webSearch: (_, { model }) => model.startsWith('able') })
    return harness({ provider, plugins: [[web, options]] })
  }
  const send = async (running: Awaited<ReturnType<typeof gateway>>, models: string[], params: JsonObject = {}) => {
    const body = { ...question, model: models[0], models, plugins: [{ id: 'web', ...params }] }
    const { status, body: answer } = await running.send(body, { headers: { 'x-hadrian-metadata': 'enabled' } })
    const call = running.provider.calls.at(-1)
    return {
      status,
      answer,
      native: call?.request.webSearch,
      messages: call?.request.messages.length,
      target: call?.target.name,
    }
  }

  it('is what a target does by itself, with what the client asks of it', async () => {
    await using engine = await openEngine({ results: [] })
    await using running = await gateway({ searxng: { base_url: engine.url } })
    const params = {
      max_uses: 2,
      include_domains: ['Example.com'],
      user_location: { type: 'approximate', country: 'CH' },
    }
    const { native, messages } = await send(running, ['fake/able'], params)
    assert.deepEqual(native, {
      maxUses: 2,
      includeDomains: ['example.com'],
      userLocation: { type: 'approximate', country: 'CH' },
    })
    assert.equal(messages, 1)
    assert.equal(engine.requests.length, 0)
    assert.equal((await send(running, ['fake/unable'])).messages, 2)
    assert.equal((await send(running, ['fake/able'], { engine: 'searxng' })).messages, 2)
    assert.equal(engine.requests.length, 2)
  })

  it('is an engine’s where only some of the targets could', async () => {
    await using engine = await openEngine({ results: [] })
    await using running = await gateway({ searxng: { base_url: engine.url } })
    const { native, messages, target } = await send(running, ['fake/able', 'fake/unable'])
    assert.deepEqual([native, messages, target], [undefined, 2, 'fake/able'])
  })

  it('routes away from targets that cannot', async () => {
    await using running = await gateway()
    for (const params of [{}, { engine: 'native' }]) {
      const { native, target, answer } = await send(running, ['fake/unable', 'fake/able'], params)
      assert.deepEqual([native, target], [{}, 'fake/able'])
      assert.match(JSON.stringify(answer['hadrian_metadata']), /"fake\/unable","removed_by":"web: /)
    }
    assert.equal((await send(running, ['fake/unable'], { engine: 'native' })).status, 400)
    assert.equal((await send(running, ['fake/able', 'fake/able-too'], { engine: 'native' })).status, 200)
  })
})

describe('web: native citations', () => {
  let running: RunningGateway
  const parameters = { supported_parameters: ['web_search_options'] }
  before(async () => {
    running = await startGateway({
      config: { models: { 'native/gpt-search': parameters } },
      overrides: { plugins: [[web]] },
    })
  })
  after(() => running.close())

  const text = 'Falcons are fast (example.com).'
  const place = { url: 'https://example.com/f', title: 'F', start_index: 17, end_index: 30 }
  const nested = { type: 'url_citation', url_citation: place }

  async function ask(dialect: 'chat' | 'responses', model: string, stream: boolean): Promise<JsonObject[]> {
    const body = dialect === 'chat' ? { messages: [{ role: 'user', content: 'Hi' }] } : { input: 'Hi' }
    const path = dialect === 'chat' ? '/api/v1/chat/completions' : '/api/v1/responses'
    const asked = {
      ...body,
      model,
      stream,
      plugins: [{ id: 'web' }],
      ...(stream && dialect === 'chat' && { stream_options: { include_usage: true } }),
    }
    const response = await running.post(path, asked)
    const answer = await response.text()
    assert.equal(response.status, 200, answer)
    if (!stream) return [JSON.parse(answer) as JsonObject]
    const lines = answer.split('\n').filter((line) => line.startsWith('data: {'))
    return lines.map((line) => JSON.parse(line.slice('data: '.length)) as JsonObject)
  }

  /** Annotations and usage, wherever a dialect has them. */
  function read(answer: readonly JsonObject[]): { annotations: unknown; usage: JsonObject } {
    const last = answer.at(-1)!
    const response = (last['response'] ?? last) as JsonObject
    const usage = response['usage'] as JsonObject
    if (Array.isArray(response['output'])) {
      const message = (response['output'] as JsonObject[]).find(({ type }) => type === 'message')!
      const annotations = (message['content'] as { annotations: unknown[] }[]).flatMap((content) => content.annotations)
      return { annotations, usage }
    }
    const choices = answer.flatMap((each) => (each['choices'] ?? []) as { message?: JsonObject; delta?: JsonObject }[])
    return { annotations: choices.flatMap(({ message, delta }) => (message ?? delta)?.['annotations'] ?? []), usage }
  }

  for (const stream of [false, true]) {
    const how = stream ? 'streamed' : 'whole'

    it(`of a search model come through Chat Completions, ${how}`, async () => {
      for (const dialect of ['chat', 'responses'] as const) {
        const model = 'native/gpt-search'
        const body = chatBody({ text })
        const [choice] = body['choices'] as [{ message: Record<string, unknown> }]
        choice.message['annotations'] = [nested]
        const chunk = (delta: JsonObject, finish: string | null = null) =>
          record({
            id: 'a',
            object: 'chat.completion.chunk',
            created: 1,
            model: 'm',
            choices: [{ index: 0, delta, finish_reason: finish }],
          })
        const chunks = [
          chunk({ role: 'assistant', content: 'Falcons are ' }),
          chunk({ content: 'fast (example.com).' }),
          chunk({ annotations: [nested] }),
          chunk({}, 'stop'),
          record('[DONE]'),
        ]
        if (dialect === 'responses') {
          const item = {
            id: 'msg_1',
            type: 'message',
            role: 'assistant',
            status: 'completed',
            content: [{ type: 'output_text', text, annotations: [{ type: 'url_citation', ...place }], logprobs: [] }],
          }
          const response = {
            id: 'resp_1',
            object: 'response',
            created_at: 1,
            status: 'completed',
            model: 'm',
            output: [item],
            usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
          }
          const added = {
            type: 'response.output_text.annotation.added',
            item_id: 'msg_1',
            output_index: 0,
            content_index: 0,
            annotation_index: 0,
            annotation: { type: 'url_citation', ...place },
          }
          const records = [
            { type: 'response.created', response: { ...response, status: 'in_progress', output: [] } },
            {
              type: 'response.output_item.added',
              output_index: 0,
              item: { ...item, status: 'in_progress', content: [] },
            },
            { type: 'response.output_text.delta', item_id: 'msg_1', output_index: 0, content_index: 0, delta: text },
            added,
            { type: 'response.output_item.done', output_index: 0, item },
            { type: 'response.completed', response },
          ].map((each, index) => record({ ...each, sequence_number: index }, each.type))
          running.upstream.answer(stream ? streamed(cutEvery(records.join(''), 13)) : whole(response))
        } else running.upstream.answer(stream ? streamed(cutEvery(chunks.join(''), 13)) : whole(body))
        const { annotations } = read(await ask(dialect, model, stream))
        assert.deepEqual(annotations, [dialect === 'chat' ? nested : { type: 'url_citation', ...place }])
        const sent = running.upstream.last().json
        if (dialect === 'chat') assert.deepEqual(sent['web_search_options'], {})
        else assert.deepEqual(sent['tools'], [{ type: 'web_search' }])
        assert.equal('plugins' in sent, false)
      }
    })

    it(`of Anthropic come through both dialects, ${how}, with the number of searches`, async () => {
      const usage = { input_tokens: 5, output_tokens: 5, server_tool_use: { web_search_requests: 2 } }
      const citation = {
        type: 'web_search_result_location',
        url: place.url,
        title: 'F',
        cited_text: 'fast',
        encrypted_index: 'x',
      }
      const blocks = [
        { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'falcons' } },
        { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] },
        { type: 'text', text: 'Falcons are ' },
        { type: 'text', text: 'fast', citations: [citation] },
      ]
      const message = {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'claude',
        stop_reason: 'end_turn',
        usage,
        content: blocks,
      }
      const records = [
        { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
        ...blocks.flatMap((block, index) => [
          {
            type: 'content_block_start',
            index,
            content_block: block.type === 'text' ? { type: 'text', text: '' } : block,
          },
          ...(block.type === 'text'
            ? [{ type: 'content_block_delta', index, delta: { type: 'text_delta', text: block.text } }]
            : []),
          ...(block.citations
            ? [{ type: 'content_block_delta', index, delta: { type: 'citations_delta', citation } }]
            : []),
          { type: 'content_block_stop', index },
        ]),
        { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage },
        { type: 'message_stop' },
      ].map((each) => record(each, each.type))
      const found = { url: place.url, title: 'F', content: 'fast', start_index: 12, end_index: 16 }
      for (const dialect of ['chat', 'responses'] as const) {
        running.upstream.answer(stream ? streamed(cutEvery(records.join(''), 11)) : whole(message))
        const { annotations, usage: shown } = read(await ask(dialect, 'anthropic/claude-sonnet-4-5', stream))
        assert.deepEqual(annotations, [
          dialect === 'chat'
            ? { type: 'url_citation', url_citation: found }
            : // The text it is in is a part of its own here.
              { type: 'url_citation', ...found, start_index: 0, end_index: 4 },
        ])
        assert.deepEqual(shown['server_tool_use'], { web_search_requests: 2 })
        assert.deepEqual(running.upstream.last().json['tools'], [{ type: 'web_search_20250305', name: 'web_search' }])
      }
    })
  }

  it('are refused with 400 where Anthropic would take only one list of domains', async () => {
    const calls = running.upstream.calls.length
    const plugins = [{ id: 'web', include_domains: ['a.com'], exclude_domains: ['b.com'] }]
    const body = { model: 'anthropic/claude-sonnet-4-5', messages: [{ role: 'user', content: 'Hi' }], plugins }
    const response = await running.post('/api/v1/chat/completions', body)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /"code":"invalid_request_error".*not both/)
    assert.equal(running.upstream.calls.length, calls)
  })
})
