import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import testProvider from '@hadrian/provider-test'

import {
  answerOf,
  type Clock,
  type GenerateRequest,
  isGatewayError,
  type Message,
  type Part,
  type StreamEvent,
  type Tool,
} from '@hadrian/core/provider'

/** A clock that stands until it is told to go on. */
class StandingClock implements Clock {
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()
  #nowMs = 0

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  get waiting(): number {
    return this.#timers.size
  }

  advance(byMs: number): void {
    this.#nowMs += byMs
    for (const timer of this.#timers) {
      if (timer.atMs > this.#nowMs) continue
      this.#timers.delete(timer)
      timer.callback()
    }
  }
}

const silent = (): void => undefined

async function open(
  model: string,
  fields: Partial<GenerateRequest> = {},
  { clock = new StandingClock(), signal }: { clock?: StandingClock; signal?: AbortSignal } = {},
): Promise<AsyncIterator<StreamEvent>> {
  const provider = await testProvider.setup({
    instance: 'test',
    options: { models: [] },
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    clock,
    fetch: () => Promise.reject(new Error('no network')),
  })
  const request: GenerateRequest = {
    operation: 'generate',
    dialect: 'chat',
    stream: true,
    extra: {},
    messages: [user('Hello big world')],
    ...fields,
  }
  const target = { provider: 'test', model, name: `test/${model}`, requested: model }
  return (await provider.send(request, target, signal ?? new AbortController().signal))[Symbol.asyncIterator]()
}

async function rest(events: AsyncIterator<StreamEvent>): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = []
  for (let step = await events.next(); !step.done; step = await events.next()) seen.push(step.value)
  return seen
}

async function ask(model: string, fields: Partial<GenerateRequest> = {}): Promise<StreamEvent[]> {
  return rest(await open(model, fields))
}

function user(text: string): Message {
  return { role: 'user', content: [{ type: 'text', text }] }
}

async function content(model: string, fields: Partial<GenerateRequest> = {}): Promise<readonly Part[] | undefined> {
  return answerOf(await ask(model, fields)).choices[0]?.content
}

/** Lets promises that can settle do so. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

const tools: readonly Tool[] = [
  {
    type: 'function',
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
  { type: 'function', name: 'get_time' },
]

describe('test provider: answers', () => {
  it('echoes the last user message in words, with usage and a finish', async () => {
    assert.deepEqual(await ask('echo'), [
      { type: 'start', model: 'echo' },
      { type: 'text', text: 'You ' },
      { type: 'text', text: 'said: ' },
      { type: 'text', text: 'Hello ' },
      { type: 'text', text: 'big ' },
      { type: 'text', text: 'world' },
      { type: 'usage', usage: { inputTokens: 4, outputTokens: 7 } },
      { type: 'finish', reason: 'stop' },
    ])
  })

  it('has words for silence', async () => {
    assert.deepEqual(await content('echo', { messages: [] }), [{ type: 'text', text: 'You said nothing.' }])
  })

  it('obeys the output limit and stop sequences', async () => {
    const limited = answerOf(await ask('echo', { maxOutputTokens: 3 }))
    assert.deepEqual(limited.choices[0], {
      index: 0,
      content: [{ type: 'text', text: 'You said: He' }],
      finishReason: 'length',
    })
    assert.equal(limited.usage?.outputTokens, 3)
    assert.deepEqual(await content('echo', { stop: ['', 'big', 'zzz'] }), [{ type: 'text', text: 'You said: Hello ' }])
  })

  it('gives several choices in turn', async () => {
    const events = await ask('echo', { n: 2, messages: [user('a')] })
    assert.deepEqual(
      events.filter((event) => event.type === 'text').map((event) => [event.choice, event.text]),
      [
        [0, 'You '],
        [1, 'You '],
        [0, 'said: '],
        [1, 'said: '],
        [0, 'a'],
        [1, 'a'],
      ],
    )
    const answer = answerOf(events)
    assert.deepEqual(
      answer.choices.map((choice) => choice.finishReason),
      ['stop', 'stop'],
    )
    assert.equal(answer.usage?.outputTokens, 6)
  })

  it('calls the tools that are asked for, and answers with their results', async () => {
    const first = { type: 'tool_call', id: 'call_1_0', name: 'get_weather', arguments: '{"city":"text"}' }
    const names = async (text: string, fields: Partial<GenerateRequest> = {}, model = 'echo') =>
      (await content(model, { tools, messages: [user(text)], ...fields }))?.map((part) =>
        part.type === 'tool_call' ? part.name : part.type,
      )
    assert.deepEqual(await content('tools', { tools }), [first])
    assert.deepEqual(await names('hi'), ['text'])
    assert.deepEqual(await names('please use get_time'), ['get_time'])
    assert.deepEqual(await names('use all tools'), ['get_weather', 'get_time'])
    assert.deepEqual(await names('use all tools', { parallelToolCalls: false }), ['get_weather'])
    assert.deepEqual(await names('hi', { toolChoice: 'required' }), ['get_weather'])
    assert.deepEqual(await names('hi', { toolChoice: { name: 'get_time' } }), ['get_time'])
    assert.deepEqual(await names('use all tools', { toolChoice: 'none' }, 'tools'), ['text'])
    const result: Message = {
      role: 'tool',
      content: [{ type: 'tool_result', toolCallId: 'call_1_0', content: [{ type: 'text', text: 'sunny' }] }],
    }
    const messages = [user('hi'), { role: 'assistant' as const, content: [first as Part] }, result]
    assert.deepEqual(await content('tools', { tools, messages }), [{ type: 'text', text: 'The tool said: sunny' }])
  })

  it('ends a turn with calls as such, and cuts arguments inside words', async () => {
    const events = await ask('tools', { tools })
    assert.deepEqual(events.at(-1), { type: 'finish', reason: 'tool_calls' })
    assert.deepEqual(events.filter((event) => event.type === 'tool_call').slice(1, 3), [
      { type: 'tool_call', index: 0, arguments: '{"city":' },
      { type: 'tool_call', index: 0, arguments: '"text"}' },
    ])
  })

  it('warns of tools it cannot call', async () => {
    const hosted: Tool = { type: 'native', dialect: 'responses', value: { type: 'web_search' } }
    assert.equal(answerOf(await ask('echo', { tools: [hosted] })).warnings[0]?.code, 'unsupported_parameter')
  })

  it('thinks before it answers, where the model or the client wants it', async () => {
    for (const [model, reasoning] of [
      ['reasoning', undefined],
      ['echo', { effort: 'low' }],
    ] as const) {
      const answer = answerOf(await ask(model, { reasoning }))
      const [thought, text] = answer.choices[0]!.content
      assert.ok(
        thought?.type === 'reasoning' && thought.signature === 'dGVzdA==' && thought.text?.startsWith('The last'),
      )
      assert.equal(text?.type, 'text')
      assert.equal(answer.usage?.reasoningTokens, Math.ceil(thought.text!.length / 4))
    }
    assert.equal((await content('reasoning', { reasoning: { effort: 'none' } }))?.length, 1)
  })

  it('writes JSON that follows the schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        id: { type: 'string', format: 'uuid' },
        kind: { enum: ['a', 'b'] },
        count: { type: 'integer', minimum: 5, multipleOf: 4 },
        ratio: { type: 'number', exclusiveMinimum: 2, maximum: 3 },
        tags: { type: 'array', minItems: 2, items: { type: 'string', minLength: 6, maxLength: 6 } },
        maybe: { type: ['null', 'boolean'] },
        either: { anyOf: [{ const: 7 }, { type: 'null' }] },
        both: { allOf: [{ properties: { x: { type: 'null' } } }, { $ref: '#/$defs/y' }] },
        tree: { $ref: '#' },
      },
      required: ['id'],
      $defs: { y: { type: 'object', properties: { y: { default: 1 } } } },
    }
    const [part] = (await content('echo', { responseFormat: { type: 'json_schema', name: 'x', schema } }))!
    assert.ok(part?.type === 'text')
    const { tree, ...value } = JSON.parse(part.text) as Record<string, unknown>
    assert.deepEqual(value, {
      id: '00000000-0000-4000-8000-000000000000',
      kind: 'a',
      count: 8,
      ratio: 2.5,
      tags: ['textxx', 'textxx'],
      maybe: true,
      either: 7,
      both: { x: null, y: 1 },
    })
    let leaf = tree as Record<string, unknown>
    while (leaf['tree'] !== undefined) leaf = leaf['tree'] as Record<string, unknown>
    assert.deepEqual(Object.keys(leaf), ['id'], 'a recursive schema ends where only the required is made')
    const [object] = (await content('echo', { responseFormat: { type: 'json_object' }, messages: [user('a')] }))!
    assert.deepEqual(object, { type: 'text', text: '{"answer":"You said: a"}' })
  })

  it('makes do with schemas that refer to themselves without end', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `n${index}`)
    const properties = Object.fromEntries(names.map((name) => [name, { $ref: '#' }]))
    const schemas = [
      { type: 'object', required: names, properties },
      { allOf: names.map(() => ({ $ref: '#' })) },
      { $ref: '#' },
      { anyOf: [{ $ref: '#' }] },
    ]
    for (const schema of schemas) {
      const parts = await content('echo', { responseFormat: { type: 'json_schema', name: 'x', schema } })
      assert.ok(parts?.[0]?.type === 'text')
      JSON.parse(parts[0].text)
    }
  })

  it('completes prompts', async () => {
    const completions = { operation: 'completions', dialect: 'completions', messages: [] } as const
    const answer = answerOf(await ask('echo', { ...completions, n: 2, extra: { prompt: ['a', 'b'] } }))
    assert.deepEqual(
      answer.choices.map(({ content }) => content[0]?.type === 'text' && content[0].text),
      ['You said: a', 'You said: a', 'You said: b', 'You said: b'],
    )
    assert.deepEqual(answer.usage, { inputTokens: 1, outputTokens: 12 })
  })

  it('embeds texts as unit vectors that are near where words are common', async () => {
    const embeddings = { operation: 'embeddings', dialect: 'embeddings', messages: [] } as const
    const embed = async (extra: GenerateRequest['extra']) => {
      const events = await ask('echo', { ...embeddings, extra })
      assert.equal(events.at(-1)?.type, 'finish')
      const part = events.find((event) => event.type === 'part')?.part
      assert.ok(part?.type === 'native' && part.dialect === 'embeddings')
      return (part.value['data'] as { embedding: never }[]).map(({ embedding }) => embedding)
    }
    const input = ['The red fox', 'the red dog!', 'quantum chromodynamics', 'The red fox']
    const vectors: number[][] = await embed({ input })
    const dot = (a: number, b: number) =>
      vectors[a]!.reduce((sum, value, index) => sum + value * vectors[b]![index]!, 0)
    assert.deepEqual(vectors[0], vectors[3])
    assert.equal(vectors[0]!.length, 64)
    assert.ok(Math.abs(dot(0, 0) - 1) < 1e-9)
    assert.ok(dot(0, 1) > 0.4 && dot(0, 2) < 0.4)
    const [encoded]: string[] = await embed({ input: 'The red fox', encoding_format: 'base64', dimensions: 8 })
    assert.equal(Buffer.from(encoded!, 'base64').length, 32)
    await assert.rejects(embed({ input: 'x', dimensions: 0 }), { code: 'invalid_request_error', status: 400 })
  })
})

describe('test provider: faults', () => {
  const statuses = {
    400: [400, false],
    401: [502, true],
    404: [404, true],
    408: [502, 'same'],
    413: [413, false],
    422: [422, false],
    429: [429, 'same'],
    500: [502, 'same'],
    503: [502, 'same'],
    504: [502, 'same'],
    529: [502, 'same'],
  } as const
  for (const [asked, [status, retryable]] of Object.entries(statuses)) {
    it(`refuses with ${asked}`, async () => {
      const headers = asked === '429' || asked === '503' ? { 'Retry-After': '1' } : {}
      await assert.rejects(open(`error-${asked}`), (error) => {
        assert.ok(isGatewayError(error))
        assert.deepEqual([error.status, error.retryable, error.headers], [status, retryable, headers])
        assert.equal(error.details?.['upstream_status'], Number(asked))
        return true
      })
    })
  }

  it('echoes under names that are no faults', async () => {
    for (const model of ['error-200', 'error-x', 'cut-', 'slow-1.5', '__proto__', 'error-after-']) {
      assert.equal((await ask(model)).at(-1)?.type, 'finish')
    }
  })

  it('waits before the first event', async () => {
    const clock = new StandingClock()
    let opened = false
    const opening = open('slow-250', {}, { clock }).then((events) => {
      opened = true
      return events
    })
    await settled()
    clock.advance(249)
    await settled()
    assert.equal(opened, false)
    clock.advance(1)
    assert.equal((await rest(await opening)).at(-1)?.type, 'finish')
    assert.equal(clock.waiting, 0)
  })

  it('waits between pieces, and only when they are pulled', async () => {
    const clock = new StandingClock()
    const events = await open('pace-100', {}, { clock })
    await events.next()
    await events.next()
    await settled()
    assert.equal(clock.waiting, 0, 'nothing runs ahead of the reader')
    let arrived = false
    const next = events.next().then(({ value }) => {
      arrived = true
      return value as StreamEvent
    })
    await settled()
    assert.deepEqual([clock.waiting, arrived], [1, false])
    clock.advance(100)
    assert.deepEqual(await next, { type: 'text', text: 'said: ' })
  })

  it('is cut without a finish', async () => {
    assert.deepEqual(
      (await ask('cut-2')).map((event) => event.type),
      ['start', 'text', 'text'],
    )
    assert.deepEqual(
      (await ask('cut-0')).map((event) => event.type),
      ['start'],
    )
    assert.equal((await ask('cut-100')).at(-1)?.type, 'text')
  })

  it('fails after some pieces', async () => {
    const events = await ask('error-after-3')
    assert.deepEqual(
      events.map((event) => event.type),
      ['start', 'text', 'text', 'text', 'error'],
    )
    const last = events.at(-1)
    assert.ok(last?.type === 'error' && last.error.status === 502)
  })

  it('is malformed, empty, long and silent about usage', async () => {
    const [malformed, ...nothing] = await ask('malformed')
    assert.ok(malformed?.type === 'error' && malformed.error.code === 'provider_error')
    assert.deepEqual(nothing, [])
    assert.deepEqual(await ask('empty'), [
      { type: 'start', model: 'empty' },
      { type: 'usage', usage: { inputTokens: 4, outputTokens: 0 } },
      { type: 'finish', reason: 'stop' },
    ])
    assert.equal((await ask('long-1000')).filter((event) => event.type === 'text').length, 1000)
    assert.equal((await ask('no-usage')).filter((event) => event.type === 'usage').length, 0)
  })

  it('makes a long answer as it is read, not before', async () => {
    const events = await open('long-999999999')
    await events.next()
    assert.deepEqual((await events.next()).value, { type: 'text', text: 'word1 ' })
    await events.return?.()
  })

  it('plays several terms at once', async () => {
    const clock = new StandingClock()
    const opening = assert.rejects(open('slow-5+error-400', {}, { clock }), { status: 400 })
    await settled()
    clock.advance(5)
    await opening
    assert.equal((await ask('tools+cut-2', { tools })).length, 3)
  })

  for (const model of ['hang', 'slow-1000', 'pace-1000']) {
    it(`ends ${model} at once when the signal aborts`, async () => {
      const clock = new StandingClock()
      const controller = new AbortController()
      const reason = new Error('gone')
      const playing = open(model, {}, { clock, signal: controller.signal }).then(rest)
      const refused = assert.rejects(playing, reason)
      await settled()
      controller.abort(reason)
      await refused
      assert.equal(clock.waiting, 0)
    })
  }

  it('does not go on after an abort between two pieces', async () => {
    const controller = new AbortController()
    const events = await open('echo', {}, { signal: controller.signal })
    await events.next()
    controller.abort(new Error('gone'))
    await assert.rejects(events.next(), /gone/)
  })
})

it('lists the models that are worth a try, and those of the operator', async () => {
  const provider = await testProvider.setup({
    instance: 'test',
    options: { models: ['cut-3', 'echo'] },
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    clock: new StandingClock(),
    fetch: () => Promise.reject(new Error('no network')),
  })
  const models = provider.models()
  assert.ok(Array.isArray(models))
  assert.deepEqual(
    (models as { id: string }[]).map(({ id }) => id),
    ['echo', 'tools', 'reasoning', 'cut-3'],
  )
})
