/** Context compression through the whole gateway: when it acts, for whom, what it sends and what it reports. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerateRequest, JsonObject, Part, Warning } from '@hadrian/core/plugin'
import { gatewayError } from '@hadrian/core/plugin'
import { fakeProvider, harness, pluginSuite, textEvents } from '@hadrian/core/testing'
import type { FakeScript, Harness } from '@hadrian/core/testing'
import contextCompression from '../../plugins/context-compression/index.ts'

pluginSuite(contextCompression)

const models = {
  small: { targets: ['fake/s'], context_length: 1_000 },
  old: { targets: ['fake/o'], context_length: 8_192 },
  middling: { targets: ['fake/m'], context_length: 9_000 },
  large: { targets: ['fake/l'], context_length: 100_000 },
  unknown: { targets: ['fake/u'] },
  claude: { targets: ['fake/claude-3'], context_length: 200_000 },
  both: { targets: ['fake/s', 'fake/l'] },
} as const

function start(settings: JsonObject = {}, script?: FakeScript): Promise<Harness> {
  return harness({
    plugins: [[contextCompression, settings]],
    config: { models },
    ...(script && { provider: fakeProvider(script) }),
  })
}

/** About 12 tokens a message, besides what stands around it. */
function chat(count: number, words = 10): JsonObject[] {
  return [
    { role: 'system', content: 'You are good.' },
    ...Array.from({ length: count - 1 }, (_, index) => ({
      role: index % 2 === 0 ? 'user' : 'assistant',
      content: `Number ${index}: ${'word '.repeat(words)}`,
    })),
    { role: 'user', content: 'And now?' },
  ]
}

const named = { plugins: [{ id: 'context-compression' }] }
const metadata = { headers: { 'x-hadrian-metadata': 'enabled' } }

function warningsOf(body: JsonObject): readonly Warning[] {
  return (body['hadrian_metadata'] as { warnings: readonly Warning[] }).warnings
}

function textsOf({ messages }: GenerateRequest): string[] {
  return messages.flatMap(({ content }) => content.flatMap((part: Part) => (part.type === 'text' ? [part.text] : [])))
}

describe('a conversation that is too long', () => {
  it('is sent without its middle, which is reported', async () => {
    await using gateway = await start()
    const messages = chat(100)
    const { status, body } = await gateway.send({ model: 'small', messages, max_tokens: 100 }, metadata)
    assert.equal(status, 200)
    const sent = textsOf(gateway.provider.calls[0]!.request)
    const given = messages.map(({ content }) => content as string)
    const gap = given.indexOf(sent.find((text, index) => text !== given[index])!)
    const kept = sent.findIndex((text, index) => text !== given[index])
    assert.deepEqual(sent, [...given.slice(0, kept), ...given.slice(gap)])
    assert.ok(kept > 3 && gap < given.length - 3, `${kept} ${gap}`)
    const [warning] = warningsOf(body)
    assert.equal(warning?.code, 'context_compressed')
    const { tokens_before: before, tokens_after: after, ...counts } = warning.details as Record<string, number>
    assert.deepEqual(counts, {
      target: 'fake/s',
      messages_before: 101,
      messages_dropped: 101 - sent.length,
      messages_cut: 0,
    })
    // 30 % are left for the tokenizer of another vendor.
    assert.ok(before! > 1_500 && after! <= 900 / 1.3 && after! > 600, `${before} ${after}`)
  })

  it('is sent so on responses too, items whole', async () => {
    await using gateway = await start()
    const input = [
      { role: 'user', content: 'Find it.' },
      ...Array.from({ length: 40 }, (_, index) => [
        { type: 'function_call', call_id: `c${index}`, name: 'find', arguments: '{"page": 1}' },
        { type: 'function_call_output', call_id: `c${index}`, output: 'nothing here '.repeat(10) },
      ]).flat(),
    ]
    const { status, body } = await gateway.send(
      { model: 'small', input, instructions: 'Be good.' },
      { dialect: 'responses', ...metadata },
    )
    assert.equal(status, 200)
    const { messages } = gateway.provider.calls[0]!.request
    const parts = messages.flatMap(({ content }) => content)
    const calls = parts.flatMap((part) => (part.type === 'tool_call' ? [part.id] : []))
    const results = parts.flatMap((part) => (part.type === 'tool_result' ? [part.toolCallId] : []))
    assert.deepEqual(calls, results)
    assert.ok(calls.length > 4 && calls.length < 40 && calls.includes('c39') && calls.includes('c0'))
    assert.ok(textsOf(gateway.provider.calls[0]!.request).includes('Be good.'))
    assert.equal(warningsOf(body)[0]?.details?.['messages_dropped'], 2 * (40 - calls.length))
  })

  it('is cut where one message is too large alone', async () => {
    await using gateway = await start()
    for (const text of ['x'.repeat(1_000_000), '😀'.repeat(20_000), 'no-blanks,'.repeat(20_000)]) {
      const { status, body } = await gateway.send(
        { model: 'small', messages: [{ role: 'user', content: text }], max_tokens: 100 },
        metadata,
      )
      assert.equal(status, 200)
      const [sent = ''] = textsOf(gateway.provider.calls.at(-1)!.request)
      assert.match(sent, /\n\[\.\.\. \d+ characters left out \.\.\.\]\n/)
      assert.ok(text.startsWith(sent.slice(0, 40)) && text.endsWith(sent.slice(-40)))
      assert.equal(warningsOf(body)[0]?.details?.['messages_cut'], 1)
    }
  })

  it('streams as any other', async () => {
    await using gateway = await start()
    const { status, records, text } = await gateway.stream({ model: 'small', messages: chat(100) }, metadata)
    await Array.fromAsync(records)
    assert.equal(status, 200)
    assert.match(text(), /context_compressed/)
  })

  it('is refused with the numbers if what must be kept does not fit', async () => {
    await using gateway = await start()
    const messages = [
      { role: 'system', content: 'word '.repeat(2_000) },
      { role: 'user', content: 'Hello' },
    ]
    const { status, body } = await gateway.send({ model: 'small', messages, max_tokens: 100 })
    assert.equal(status, 400)
    const { type, code, param, message, details } = body['error'] as Record<string, JsonObject | string>
    assert.deepEqual([type, code, param], ['invalid_request_error', 'invalid_request_error', 'messages'])
    const facts = details as Record<string, number>
    assert.deepEqual([facts['context_length'], facts['output_tokens'], facts['room_tokens']], [1_000, 100, 692])
    assert.ok(facts['smallest_input_tokens']! > 2_000 && facts['input_tokens'] === facts['smallest_input_tokens'])
    assert.match(message as string, /there is room for 692 \(1000 of context, 100 of them for the answer\)/)
    assert.equal(gateway.provider.calls.length, 0)
    const asked = await gateway.send({ model: 'small', max_tokens: 1_000 })
    assert.equal(asked.status, 400)
  })

  it('goes to the next target, uncompressed, if it cannot be made to fit the first', async () => {
    await using gateway = await start()
    const messages = [{ role: 'system', content: 'word '.repeat(2_000) }, ...chat(20)]
    const { status } = await gateway.send({ model: 'small', models: ['small', 'large'], messages })
    assert.equal(status, 200)
    assert.deepEqual(
      gateway.provider.calls.map(({ target, request }) => [target.model, request.messages.length]),
      [['l', messages.length]],
    )
  })

  it('is compressed for the target that needs it only', async () => {
    const script: FakeScript = ({ target }) => {
      if (target.model === 's') throw gatewayError('provider_error', 'down', { retryable: true })
      return textEvents('Hello.')
    }
    await using gateway = await start({}, script)
    const messages = chat(100)
    const { status } = await gateway.send({ model: 'small', models: ['small', 'large'], messages })
    assert.equal(status, 200)
    const [first, second] = gateway.provider.calls.map(({ request }) => request.messages.length)
    assert.ok(first! < 101)
    assert.equal(second, 101)
  })

  it('keeps at most 1,000 messages for Claude, half head, half tail', async () => {
    await using gateway = await start()
    const messages = chat(1_401, 1)
    const { body } = await gateway.send({ model: 'claude', messages, ...named }, metadata)
    const sent = gateway.provider.calls[0]!.request
    assert.equal(sent.messages.length, 1_001)
    assert.deepEqual(
      textsOf(sent),
      [...messages.slice(0, 501), ...messages.slice(902)].map(({ content }) => content),
    )
    assert.equal(warningsOf(body)[0]?.details?.['messages_dropped'], 401)
    await using other = await start({ claude_message_limit: 10 })
    await other.send({ model: 'claude', messages, ...named })
    assert.equal(other.provider.calls[0]!.request.messages.length, 11)
  })
})

describe('what asks for it', () => {
  const sentTo = async (
    model: string,
    more: JsonObject = {},
    settings: JsonObject = {},
  ): Promise<'whole' | 'compressed'> => {
    await using gateway = await start(settings)
    const messages = chat(900)
    const { status } = await gateway.send({ model, messages, ...more })
    assert.equal(status, 200)
    return gateway.provider.calls[0]!.request.messages.length === messages.length ? 'whole' : 'compressed'
  }

  it('is a context of at most 8,192 tokens, or the client', async () => {
    assert.equal(await sentTo('old'), 'compressed')
    assert.equal(await sentTo('middling'), 'whole')
    assert.equal(await sentTo('middling', named), 'compressed')
    assert.equal(await sentTo('middling', { plugins: [{ id: 'context-compression', engine: 'middle-out' }] }), 'compressed') // prettier-ignore
  })

  it('is the older spelling, transforms', async () => {
    assert.equal(await sentTo('middling', { transforms: ['middle-out'] }), 'compressed')
    assert.equal(await sentTo('old', { transforms: [] }), 'whole')
  })

  it('is the operator', async () => {
    assert.equal(await sentTo('middling', {}, { apply: 'always' }), 'compressed')
    assert.equal(await sentTo('middling', {}, { implied_context_length: 9_000 }), 'compressed')
    assert.equal(await sentTo('old', {}, { implied_context_length: 0 }), 'whole')
  })

  it('is off where the client says so', async () => {
    assert.equal(await sentTo('old', { plugins: [{ id: 'context-compression', enabled: false }] }), 'whole')
  })

  it('is not the small target beside the one that answers', async () => {
    const script: FakeScript = ({ target }) => {
      if (target.model === 'o') throw gatewayError('provider_error', 'down', { retryable: true })
      return textEvents('Hello.')
    }
    await using gateway = await start({}, script)
    await gateway.send({ model: 'old', models: ['middling'], messages: chat(900) })
    assert.equal(gateway.provider.calls.at(-1)!.request.messages.length, 901)
  })

  it('cannot be an engine that does not exist', async () => {
    await using gateway = await start()
    for (const [entry, path] of [
      [{ engine: 'outside-in' }, 'plugins[0].engine'],
      [{ depth: 1 }, 'plugins[0]'],
    ] as const) {
      const { status, body } = await gateway.send({ plugins: [{ id: 'context-compression', ...entry }] })
      assert.equal(status, 400)
      assert.equal((body['error'] as JsonObject)['param'], path)
    }
  })

  it('does nothing where the context is unknown, the answer is no text, or there are no messages', async () => {
    assert.equal(await sentTo('unknown', named), 'whole')
    await using gateway = await harness({
      plugins: [contextCompression],
      config: { models: { pictures: { targets: ['fake/p'], context_length: 100, output_modalities: ['image'] } } },
    })
    await gateway.send({ model: 'pictures', messages: chat(100), ...named })
    assert.equal(gateway.provider.calls[0]!.request.messages.length, 101)
    const prompt = 'word '.repeat(1_000)
    await using small = await start()
    assert.equal((await small.send({ model: 'small', prompt, ...named }, { dialect: 'completions' })).status, 200)
    assert.equal(small.provider.calls[0]!.request.extra['prompt'], prompt)
  })
})

describe('a conversation that fits', () => {
  it('is sent as the very same request, without a warning', async () => {
    await using gateway = await start()
    const { body } = await gateway.send({ model: 'small', messages: chat(4), ...named }, metadata)
    assert.deepEqual(warningsOf(body), [])
    // Nearer to the limit it is counted, and still sent as it is.
    const counted = await gateway.send({ model: 'small', messages: chat(20), max_tokens: 50, ...named }, metadata)
    assert.deepEqual(warningsOf(counted.body), [])
    assert.equal(gateway.provider.calls[1]!.request.messages.length, 21)
  })
})

describe('the order of targets', () => {
  const order = async (messages: readonly JsonObject[], more: JsonObject): Promise<readonly string[]> => {
    await using gateway = await start()
    const { body } = await gateway.send({ messages, ...more }, metadata)
    return (body['hadrian_metadata'] as { targets: string[] }).targets
  }

  it('has those first whose context is at least half of what is needed, where the client asks for compression', async () => {
    const long = chat(300)
    const list = { model: 'small', models: ['unknown', 'large'] }
    assert.deepEqual(await order(long, { ...list, ...named }), ['fake/u', 'fake/l', 'fake/s'])
    assert.deepEqual(await order(long, list), ['fake/s', 'fake/u', 'fake/l'])
    assert.deepEqual(await order(chat(60), { ...list, ...named }), ['fake/s', 'fake/u', 'fake/l'])
  })

  it('goes by size where none has', async () => {
    const list = { model: 'small', models: ['old', 'middling'], ...named }
    assert.deepEqual(await order(chat(1_500), list), ['fake/m', 'fake/o', 'fake/s'])
  })
})
