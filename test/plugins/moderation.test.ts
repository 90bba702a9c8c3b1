/** Prompts and answers judged by a moderation endpoint on a real socket, and by rules. */

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import type { BillableCall, StreamEvent } from '@hadrian/core/plugin'
import { fakeProvider, harness, pluginSuite, textEvents } from '@hadrian/core/testing'
import type { FakeScript, Harness, HarnessOptions } from '@hadrian/core/testing'
import { StartupError, describeProblem } from '../../core/index.ts'
import type { JsonObject } from '../../core/contract/plugin.ts'
import moderation from '../../plugins/moderation/index.ts'
import { gate } from '../e2e/scripted-upstream.ts'
import { openModeration } from './moderation-endpoint.ts'
import type { ModerationServer } from './moderation-endpoint.ts'

const rules = { birds: { words: ['falcon'] } }

pluginSuite(moderation, { options: { engine: 'local', rules } })

let endpoint: ModerationServer
before(async () => {
  endpoint = await openModeration()
})
after(() => endpoint.close())
let asked = 0
beforeEach(() => {
  endpoint.trouble()
  endpoint.hold(undefined)
  asked = endpoint.requests.length
})

/** The requests since the test began. */
const requests = () => endpoint.requests.slice(asked)
const inputs = () => requests().flatMap(({ input }) => input)

interface Setup extends Omit<HarnessOptions, 'plugins' | 'provider'> {
  readonly options?: JsonObject
  readonly script?: FakeScript
  readonly plugins?: NonNullable<HarnessOptions['plugins']>
}

function start({ options = {}, script, plugins = [], ...rest }: Setup = {}): Promise<Harness> {
  const settings = { engine: 'openai', api_key: 'secret', base_url: endpoint.url, ...options }
  return harness({ plugins: [[moderation, settings], ...plugins], provider: fakeProvider(script), ...rest })
}

const startLocal = (setup: Setup = {}): Promise<Harness> =>
  start({ ...setup, options: { engine: 'local', rules, ...setup.options } })

const says = (text: string): JsonObject => ({ messages: [{ role: 'user', content: text }] })

function errorOf(body: JsonObject): JsonObject & { readonly details?: JsonObject } {
  const { request_id: _, ...error } = body['error'] as JsonObject
  return error
}

const blocked = (...categories: string[]): JsonObject => ({
  type: 'invalid_request_error',
  code: 'content_blocked',
  message: 'The content was blocked by policy',
  param: null,
  details: { plugin: 'moderation', categories },
})

/** A script that counts how many of its events were taken. */
function counted(pieces: readonly string[]): { readonly script: FakeScript; readonly taken: () => number } {
  let taken = 0
  return {
    taken: () => taken,
    *script() {
      yield { type: 'start' }
      for (const text of pieces) {
        taken++
        yield { type: 'text', text }
      }
      yield { type: 'finish', reason: 'stop' }
    },
  }
}

async function textOf(gateway: Harness, body: JsonObject = {}): Promise<{ text: string; error?: JsonObject }> {
  const answer = await gateway.stream(body)
  let text = ''
  let error: JsonObject | undefined
  for await (const { data } of answer.records) {
    if (typeof data === 'string') continue
    if (data['error']) error = errorOf(data)
    for (const { delta } of (data['choices'] ?? []) as { delta: { content?: string } }[]) text += delta.content ?? ''
  }
  if (answer.status !== 200) error = errorOf(JSON.parse(answer.text()) as JsonObject)
  return { text, ...(error && { error }) }
}

describe('a prompt before the endpoint', () => {
  it('is refused with its categories, and no model is called', async () => {
    await using gateway = await start()
    const { status, body, outcome } = await gateway.send(says('Where does the falcon nest?'))
    assert.equal(status, 400)
    assert.deepEqual(errorOf(body), blocked('violence'))
    assert.equal(outcome.status, 'refused')
    assert.equal(outcome.plugin, 'moderation')
    assert.equal(gateway.provider.calls.length, 0)
    assert.deepEqual(requests(), [
      { model: 'omni-moderation-latest', input: ['Where does the falcon nest?'], key: 'Bearer secret' },
    ])
  })

  it('passes if it is good', async () => {
    await using gateway = await start()
    assert.equal((await gateway.send(says('A sparrow?'))).status, 200)
    assert.deepEqual(inputs(), ['A sparrow?', 'Hello there.'])
  })

  it('is judged as a whole: all messages, results and tools, those of one message together', async () => {
    await using gateway = await start({ options: { check: ['input'] } })
    const { status } = await gateway.send({
      messages: [
        { role: 'system', content: 'Be nice.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'one' },
            { type: 'text', text: 'two' },
          ],
        },
        {
          role: 'assistant',
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'find', arguments: '{"a":"\\u0062"}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: 'found' },
      ],
      tools: [{ type: 'function', function: { name: 'find', description: 'Finds.' } }],
    })
    assert.equal(status, 200)
    assert.deepEqual(inputs(), ['Be nice.', 'one\ntwo', 'find\n{"a":"b"}', 'found', 'find\nFinds.'])
    assert.equal(requests().length, 1)
  })

  it('is sent in requests of bounded size, and long texts in pieces that overlap', async () => {
    await using gateway = await start({ options: { check: ['input'] } })
    const long = Array.from({ length: 3000 }, (_, number) => `word${number}`).join(' ')
    const { status } = await gateway.send({
      messages: [
        { role: 'user', content: long },
        ...Array.from({ length: 70 }, (_, number) => ({ role: 'user', content: `message ${number}` })),
      ],
    })
    assert.equal(status, 200)
    for (const { input } of requests()) {
      assert.ok(input.length <= 32)
      for (const each of input) assert.ok((each as string).length <= 8000)
    }
    const pieces = inputs().filter((input) => !(input as string).startsWith('message')) as string[]
    assert.equal(pieces.length, 4)
    let joined = pieces[0]!
    for (const piece of pieces.slice(1)) {
      assert.ok(joined.endsWith(piece.slice(0, 200)))
      joined += piece.slice(200)
    }
    assert.equal(joined, long)
    assert.equal(inputs().length, 74)
    // The bad word stands across the end of a piece.
    const { status: refused } = await gateway.send(says(`${'a'.repeat(7997)}falcon${'b'.repeat(9000)}`))
    assert.equal(refused, 400)
  })

  it('longer than max_chars cannot be judged', async () => {
    await using gateway = await start({ options: { max_chars: 100 } })
    assert.equal((await gateway.send(says('a'.repeat(101)))).status, 503)
    assert.equal(requests().length, 0)
  })

  it('is not sent again while its verdict is known, for the same caller', async () => {
    await using gateway = await start({ options: { check: ['input'], cache_seconds: 60 } })
    const turns = [{ role: 'user', content: 'One.' }]
    await gateway.send({ messages: turns })
    await gateway.send({
      messages: [...turns, { role: 'assistant', content: 'Two.' }, { role: 'user', content: 'Three.' }],
    })
    assert.deepEqual(
      requests().map(({ input }) => input),
      [['One.'], ['Two.', 'Three.']],
    )
    await gateway.send({ messages: turns }, { principal: { id: 'somebody else' } })
    assert.equal(requests().length, 3)
    for (let time = 0; time < 2; time++) assert.equal((await gateway.send(says('falcon'))).status, 400)
    assert.equal(requests().length, 4)
    await gateway.clock.advance(60_000)
    await gateway.send({ messages: turns })
    assert.equal(requests().length, 5)
  })

  it('is always sent with cache_seconds = 0, and the least used of a full cache again', async () => {
    await using uncached = await start({ options: { check: ['input'], cache_seconds: 0 } })
    for (let time = 0; time < 2; time++) await uncached.send(says('One.'))
    assert.equal(requests().length, 2)
    await using small = await start({ options: { check: ['input'], cache_entries: 2 } })
    for (const text of ['a', 'b', 'a', 'c', 'a', 'b']) await small.send(says(text))
    assert.deepEqual(inputs().slice(2), ['a', 'b', 'c', 'b'])
  })

  it('counts by the wanted categories and thresholds', async () => {
    const cases = [
      [{ categories: ['sexual'] }, 200],
      [{ categories: ['violence'] }, 400],
      [{ thresholds: { violence: 0.95 } }, 200],
      [{ thresholds: { sexual: 0.4 } }, 400],
      [{ categories: ['sexual'], thresholds: { sexual: 0.41, violence: 0 } }, 200],
      // A name the endpoint does not know would never be found.
      [{ categories: ['sexul'] }, 503],
      [{ thresholds: { sexul: 0.5 } }, 503],
    ] as const
    for (const [options, expected] of cases) {
      await using gateway = await start({ options })
      assert.equal((await gateway.send(says('falcon'))).status, expected, JSON.stringify(options))
    }
    await using gateway = await start({ options: { thresholds: { sexual: 0.4 } } })
    assert.deepEqual(errorOf((await gateway.send(says('falcon'))).body).details?.['categories'], ['violence', 'sexual'])
  })

  it('is repeated to the client only where the operator wants it, and never whole', async () => {
    await using gateway = await start({ options: { show_excerpt: true } })
    const { body } = await gateway.send(says(`falcon ${'x'.repeat(200)}`))
    assert.equal(errorOf(body).details?.['flagged_input'], `falcon ${'x'.repeat(93)}`)
    await using silent = await start()
    const refused = await silent.send(says('falcon in private'))
    assert.ok(!JSON.stringify(refused.body).includes('private'))
    assert.ok(!JSON.stringify(silent.log).includes('private'))
  })

  it('only earns a warning with action = "warn"', async () => {
    await using gateway = await start({ options: { action: 'warn' } })
    const { status, body } = await gateway.send(says('falcon'), { headers: { 'x-hadrian-metadata': 'enabled' } })
    assert.equal(status, 200)
    assert.deepEqual((body['hadrian_metadata'] as JsonObject)['warnings'], [
      { code: 'content_flagged', message: 'The prompt was flagged by moderation: violence' },
    ])
  })

  it('has its images judged where the operator wants it', async () => {
    const image = (url: string): JsonObject => ({
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
    })
    await using gateway = await start({ options: { check: ['input'], images: true } })
    assert.equal((await gateway.send(image('https://example.com/falcon.png'))).status, 400)
    assert.equal((await gateway.send(image('data:image/png;base64,AAAA'))).status, 200)
    assert.equal((await gateway.send(image('data:image/png;base64,AAAA'))).status, 200)
    assert.deepEqual(inputs(), [
      { type: 'image_url', image_url: { url: 'https://example.com/falcon.png' } },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
    ])
    const { status } = await gateway.send(
      { input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'file-1' }] }] },
      { dialect: 'responses' },
    )
    assert.equal(status, 503)
    await using blind = await start({ options: { check: ['input'] } })
    assert.equal((await blind.send(image('https://example.com/falcon.png'))).status, 200)
    assert.equal(inputs().length, 2)
  })
})

describe('a check that comes to no result', () => {
  for (const trouble of ['broken', 'cut', 'nonsense', 'short', 'shapeless', 'throttled'] as const)
    it(`never counts as passed: ${trouble}`, async () => {
      await using gateway = await start()
      endpoint.trouble(trouble, trouble)
      const { status, headers, body } = await gateway.send(says('good'))
      assert.equal(status, 503)
      assert.equal(headers['Retry-After'], '5')
      assert.equal(errorOf(body)['code'], 'moderation_unavailable')
      assert.equal(gateway.provider.calls.length, 0)
      assert.ok(
        gateway.log.some(({ level, message }) => level === 'warn' && message === 'moderation came to no result'),
      )
      assert.ok(!JSON.stringify(gateway.log).includes('secret'))
      // The next one is asked about afresh.
      endpoint.trouble()
      assert.equal((await gateway.send(says('good'))).status, 200)
    })

  it('is tried once more where that may help', async () => {
    await using gateway = await start({ options: { check: ['input'] } })
    for (const trouble of ['broken', 'cut'] as const) {
      endpoint.trouble(trouble)
      assert.equal((await gateway.send(says(`good ${trouble}`))).status, 200)
    }
    assert.equal(requests().length, 4)
    endpoint.trouble('throttled')
    assert.equal((await gateway.send(says('good again'))).status, 503)
    assert.equal(requests().length, 5)
  })

  it('ends at its deadline', async () => {
    await using gateway = await start({ options: { request_timeout_ms: 1000 } })
    endpoint.trouble('silent')
    const answer = gateway.send(says('good'))
    await endpoint.received(asked + 1)
    await gateway.clock.advance(1000)
    assert.equal((await answer).status, 503)
  })

  it('lets a text through with on_error = "allow", with a warning', async () => {
    await using gateway = await start({ options: { on_error: 'allow', check: ['input'] } })
    endpoint.trouble('broken', 'broken')
    const { status, body } = await gateway.send(says('falcon'), { headers: { 'x-hadrian-metadata': 'enabled' } })
    assert.equal(status, 200)
    assert.match(JSON.stringify((body['hadrian_metadata'] as JsonObject)['warnings']), /moderation_failed/)
  })

  it('lets a streamed answer through whole with on_error = "allow"', async () => {
    const script = (): StreamEvent[] => textEvents('one two three four falcon six')
    await using gateway = await start({ options: { on_error: 'allow', check: ['output'], window_chars: 5 }, script })
    endpoint.trouble(...Array.from({ length: 50 }, () => 'throttled' as const))
    assert.deepEqual(await textOf(gateway), { text: 'one two three four falcon six' })
  })

  it('breaks a stream off', async () => {
    const script = (): StreamEvent[] => textEvents('one two three four')
    await using gateway = await start({ options: { check: ['output'], window_chars: 4, overlap_chars: 0 }, script })
    endpoint.trouble(undefined, 'throttled')
    const { text, error } = await textOf(gateway)
    assert.equal(text, 'one ')
    assert.equal(error?.['code'], 'moderation_unavailable')
  })
})

describe('a check that costs', () => {
  function purse(refuses: boolean) {
    const reserved: number[] = []
    return {
      reserved,
      plugin: definePlugin({
        name: 'purse',
        api: 1,
        options: { type: 'object', properties: {}, additionalProperties: false },
        setup: () => ({
          reserve(_exchange, call: BillableCall) {
            if (!call.purchase) return
            reserved.push(call.purchase.costMicros)
            if (refuses) throw gatewayError('budget_exceeded', 'No money')
          },
        }),
      }),
    }
  }

  it('is bought, and nothing is charged for one without a result', async () => {
    const { plugin, reserved } = purse(false)
    await using gateway = await start({ options: { check: ['input'], usd_per_request: 0.002 }, plugins: [plugin] })
    const { outcome } = await gateway.send(says('good'))
    assert.deepEqual(outcome.purchases, [{ item: 'moderation', costMicros: 2000 }])
    assert.equal(outcome.usage?.costMicros, 2000)
    assert.deepEqual(reserved, [2000])
    endpoint.trouble('throttled')
    assert.deepEqual((await gateway.send(says('other'))).outcome.purchases, [])
  })

  it('is refused by a budget as such, also with on_error = "allow"', async () => {
    const { plugin } = purse(true)
    const options = { check: ['input'], usd_per_request: 0.002, on_error: 'allow' }
    await using gateway = await start({ options, plugins: [plugin] })
    assert.equal((await gateway.send(says('good'))).status, 402)
    assert.equal(requests().length, 0)
  })
})

describe('a prompt judged alongside the call', () => {
  for (const streamed of [false, true])
    it(`is refused though the answer has begun, which no client sees${streamed ? ', streamed' : ''}`, async () => {
      const { script } = counted(['so ', 'it ', 'is'])
      const held = gate()
      endpoint.hold(held.wait)
      await using gateway = await start({ options: { mode: 'alongside', check: ['input'] }, script })
      const answer = gateway.send({ ...says('falcon'), stream: streamed })
      await endpoint.received(asked + 1)
      while (gateway.provider.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
      held.open()
      const { status, body, outcome } = await answer
      assert.equal(status, 400)
      assert.deepEqual(errorOf(body), blocked('violence'))
      assert.equal(outcome.attempts.length, 1)
      assert.ok(gateway.provider.calls[0]?.signal.aborted)
    })

  it('does not wait for the model to be refused, which is left then, and its input is charged', async () => {
    async function* script(call: { readonly signal: AbortSignal }): AsyncGenerator<StreamEvent> {
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve))
      yield* textEvents('too late')
    }
    await using gateway = await start({ options: { mode: 'alongside' }, script })
    const { status, outcome } = await gateway.send(says('falcon'))
    assert.equal(status, 400)
    assert.ok(gateway.provider.calls[0]?.signal.aborted)
    assert.equal(outcome.attempts.length, 1)
    assert.ok(outcome.usage?.estimated && outcome.usage.inputTokens > 0, 'the upstream was at work on it')
  })

  it('passes, at the speed of the slower of the two', async () => {
    await using gateway = await start({ options: { mode: 'alongside', check: ['input'] } })
    assert.equal((await gateway.send(says('good'))).status, 200)
    assert.equal(requests().length, 1)
  })

  it('that could not be judged is refused too, and no other target is tried', async () => {
    await using gateway = await start({ options: { mode: 'alongside', check: ['input'] } })
    endpoint.trouble('broken', 'broken')
    assert.equal((await gateway.send(says('good'))).status, 503)
    assert.ok(gateway.provider.calls.length <= 1)
  })
})

describe('an answer before the endpoint', () => {
  it('is a clean 400 where it is not streamed', async () => {
    await using gateway = await start({ script: () => textEvents('The falcon flies.') })
    const { status, body, outcome } = await gateway.send()
    assert.equal(status, 400)
    assert.deepEqual(errorOf(body), blocked('violence'))
    assert.equal(outcome.status, 'failed')
    assert.deepEqual(outcome.usage && [outcome.usage.inputTokens, outcome.usage.outputTokens], [3, 2])
  })

  it('is judged once where it is not streamed', async () => {
    await using gateway = await start({ script: () => textEvents('word '.repeat(400)), options: { check: ['output'] } })
    assert.equal((await gateway.send()).status, 200)
    assert.deepEqual(inputs(), ['word '.repeat(400)])
  })

  it('streams in windows: what was not judged with what follows it is held back', async () => {
    const options = { check: ['output'], window_chars: 10, overlap_chars: 4 }
    const { script, taken } = counted(['aaaaa', 'bbbbb', 'ccccc', 'ddddd', 'eeeee'])
    await using gateway = await start({ options, script })
    const answer = await gateway.stream()
    const said = (): string =>
      answer
        .text()
        .match(/(?<="content":")[^"]*/g)
        ?.join('') ?? ''
    await answer.records.next()
    await answer.records.next()
    assert.equal(said(), 'aaaaa')
    assert.equal(taken(), 2)
    for await (const _ of answer.records);
    assert.equal(said(), 'aaaaabbbbbcccccdddddeeeee')
    // Each window begins with the end of the one before.
    assert.deepEqual(inputs(), ['aaaaabbbbb', 'aaabbbbbcccccddddd', 'cccdddddeeeee'])
  })

  it('ends with an error when a window is flagged; nothing of that window has left, and the model is', async () => {
    const options = { check: ['output'], window_chars: 10, overlap_chars: 6 }
    const { script, taken } = counted([
      'good text ',
      'more of it ',
      'the fal',
      'con is',
      ' here',
      ...Array.from({ length: 100 }, () => 'later '),
    ])
    await using gateway = await start({ options, script })
    const { text, error } = await textOf(gateway)
    assert.deepEqual(error, blocked('violence'))
    assert.equal(text, 'good text ')
    assert.ok(taken() < 20, `${taken()} pieces were taken`)
    assert.ok(gateway.provider.calls[0]?.ended)
  })

  it('is a clean 400 when the first window is flagged', async () => {
    await using gateway = await start({ script: () => textEvents('The falcon flies.') })
    const answer = await gateway.stream()
    assert.equal(answer.status, 400)
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  })

  it('leaves without what nobody judged: prose in the object of the provider', async () => {
    const script = (): StreamEvent[] => [
      { type: 'start', native: { system_fingerprint: 'some words', service_tier: 'default' } },
      ...textEvents('Hello').slice(1),
    ]
    await using gateway = await start({ options: { check: ['output'] }, script })
    assert.ok(!('system_fingerprint' in (await gateway.send()).body))
  })

  it('does not wait for ever for another text of it', async () => {
    const options = { check: ['output'], window_chars: 1000, overlap_chars: 10 }
    // The first call has no end, so its last piece waits; those of the second may not heap up behind it.
    const pieces: StreamEvent[] = [
      { type: 'tool_call', index: 0, id: 'a', name: 'find', arguments: '{"a":"' },
      { type: 'tool_call', index: 1, id: 'b', name: 'find', arguments: '{"b":"' },
      ...Array.from({ length: 100 }, (): StreamEvent => ({ type: 'tool_call', index: 1, arguments: 'x'.repeat(1000) })),
    ]
    let taken = 0
    async function* script(): AsyncGenerator<StreamEvent> {
      yield { type: 'start' }
      for (const piece of pieces) {
        taken++
        yield piece
      }
      yield { type: 'finish', reason: 'tool_calls' }
    }
    await using gateway = await start({ options, script })
    const answer = await gateway.stream()
    await answer.records.next()
    assert.ok(taken > 60 && taken < 75, `${taken} pieces were taken before the first went out`)
    for await (const _ of answer.records);
    assert.equal(answer.text().match(/x{1000}/g)?.length, 100)
  })

  it('that breaks off still gives what is good', async () => {
    function* script(): Generator<StreamEvent> {
      yield* textEvents('good text').slice(0, -2)
      throw gatewayError('provider_error', 'cut')
    }
    await using gateway = await start({ options: { check: ['output'] }, script })
    const { text, error } = await textOf(gateway)
    assert.equal(text, 'good text')
    assert.equal(error?.['code'], 'provider_error')
  })
})

describe('rules', () => {
  it('name what they found', async () => {
    const many = {
      birds: { words: ['falcon', 'eagle'] },
      cards: { patterns: [String.raw`\b\d{4}-\d{4}\b`] },
      cats: { words: ['lion'] },
    }
    await using gateway = await startLocal({ options: { rules: many } })
    const { body } = await gateway.send(says('An eagle at 1234-5678'))
    assert.deepEqual(errorOf(body), blocked('birds', 'cards'))
    assert.equal((await gateway.send(says('Eagles of 12345-5678'))).status, 200)
    assert.equal(requests().length, 0)
  })

  it('read through the escapes of arguments', async () => {
    await using gateway = await startLocal()
    const call = (text: string): JsonObject => ({
      messages: [
        { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'find', arguments: text } }] },
        { role: 'tool', tool_call_id: 'a', content: 'x' },
      ],
    })
    assert.equal((await gateway.send(call(String.raw`{"a":"f\u0061lcon"}`))).status, 400)
    assert.equal((await gateway.send(call(String.raw`{"a":"x\nfalcon"}`))).status, 400)
    assert.equal((await gateway.send(call(String.raw`{"a":"f\\u0061lcon"}`))).status, 200)
  })

  it('are looked for among the tokens the model did not choose', async () => {
    const token = (others: readonly string[]): JsonObject => ({
      token: 'dove',
      logprob: -0.1,
      top_logprobs: others.map((each) => ({ token: each, logprob: -1 })),
    })
    for (const [others, isKept] of [
      [['hawk'], true],
      [[' falcon'], false],
    ] as const) {
      const script = (): StreamEvent[] => [
        { type: 'start', native: { system_fingerprint: 'falcon' } },
        { type: 'text', text: 'dove', logprobs: [token(others)] },
        { type: 'finish', reason: 'stop' },
      ]
      await using gateway = await startLocal({ script })
      const { status, body } = await gateway.send()
      assert.equal(status, 200)
      assert.ok(!JSON.stringify(body).includes('falcon'))
      assert.equal(JSON.stringify(body).includes('top_logprobs'), isKept)
    }
  })

  it('hold back only what may be the beginning of a match', async () => {
    const { script, taken } = counted(['Hello ', 'again, f', 'al', 'ling leaves'])
    await using gateway = await startLocal({ script })
    const answer = await gateway.stream()
    await answer.records.next()
    for (const [text, pieces] of [
      ['Hello ', 1],
      ['again, f', 4],
    ] as const) {
      const { value } = await answer.records.next()
      assert.ok(JSON.stringify(value?.data).includes(`"content":"${text}"`))
      assert.equal(taken(), pieces)
    }
    answer.abort()
    await answer.outcome
  })
})

describe('the start', () => {
  async function refused(options: JsonObject): Promise<string> {
    const error = await harness({ plugins: [[moderation, options]] }).then(
      async (gateway) => {
        await gateway.stop()
        return 'it started'
      },
      (failure: unknown) => failure,
    )
    assert.ok(error instanceof StartupError, String(error))
    return error.problems.map((problem) => describeProblem(problem)).join('\n')
  }

  it('fails with what is missing or cannot be used', async () => {
    assert.match(await refused({}), /api_key/)
    assert.match(await refused({ engine: 'local' }), /rules/)
    assert.match(await refused({ engine: 'local', rules, images: true }), /images/)
    assert.match(await refused({ engine: 'local', rules: { birds: {} } }), /rules\.birds.*at least one/)
    assert.match(
      await refused({ engine: 'local', rules: { birds: { patterns: ['a+'] } } }),
      /rules\.birds.*upper bound/,
    )
    assert.match(await refused({ engine: 'local', rules, failure: 'open' }), /plugins\.moderation\.failure/)
    assert.match(await refused({ engine: 'local', rules: { birds: { word: ['x'] } } }), /word/)
  })
})

describe('a client', () => {
  const named = { plugins: [{ id: 'moderation' }] }

  it('cannot switch it off, nor weaken it', async () => {
    await using gateway = await startLocal()
    for (const entry of [{ enabled: false }, { check: [] }, { action: 'warn' }]) {
      const { status, body } = await gateway.send({ plugins: [{ id: 'moderation', ...entry }] })
      assert.equal(status, 400)
      assert.equal(errorOf(body)['code'], 'invalid_request_error')
    }
    assert.equal((await gateway.send({ ...says('falcon'), ...named })).status, 400)
  })

  it('asks for it where the operator leaves that to clients', async () => {
    const script = (): StreamEvent[] => textEvents('The falcon flies.')
    await using gateway = await startLocal({ options: { apply: 'on-request' }, script })
    assert.equal((await gateway.send(says('falcon'))).status, 200)
    assert.equal((await gateway.send({ ...says('falcon'), ...named })).status, 400)
    assert.equal(gateway.provider.calls.length, 1)
    assert.equal((await gateway.send(named)).status, 400)
    const tokens = { dialect: 'embeddings' } as const
    assert.equal((await gateway.send({ input: [[1, 2]] }, tokens)).status, 200)
    const refused = await gateway.send({ input: [[1, 2]], ...named }, tokens)
    assert.equal(errorOf(refused.body)['code'], 'unsupported')
  })
})
