/** Very large input: an answer or a clean refusal, before long, whatever is so large about it. */

import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { checkAlive, hello, sendHostile } from './hostile-body.ts'
import type { Json } from './scripted-upstream.ts'

let running: RunningGateway

before(async () => {
  running = await startGateway()
})
after(() => running.close())
afterEach(() => checkAlive(running))

const send = (path: string, body: string): Promise<number> => sendHostile(running, path, body)

describe('size', { timeout: 120_000 }, () => {
  const many = <T>(count: number, item: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => item(index))
  const megabytes = 'x'.repeat(10 * 1024 * 1024)
  const mostBusyMs = 5_000
  const cases: Readonly<Record<string, readonly [chat: () => Json, responses?: () => Json]>> = {
    'a hundred thousand tools': [
      () => ({
        tools: many(100_000, (index) => ({ type: 'function', function: { name: `f${index}`, parameters: {} } })),
      }),
      () => ({
        tools: many(100_000, (index) => ({ type: 'function', name: `f${index}`, parameters: {}, strict: false })),
      }),
    ],
    'tools of one name': [
      () => ({ tools: many(20_000, () => ({ type: 'function', function: { name: 'f', parameters: {} } })) }),
    ],
    'tens of thousands of messages': [
      () => ({ messages: many(30_000, (index) => ({ role: index % 2 ? 'assistant' : 'user', content: 'x' })) }),
      () => ({ input: many(30_000, (index) => ({ role: index % 2 ? 'assistant' : 'user', content: 'x' })) }),
    ],
    'calls and results of one id': [
      () => ({
        messages: [
          {
            role: 'assistant',
            tool_calls: many(20_000, () => ({ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } })),
          },
          ...many(20_000, () => ({ role: 'tool', tool_call_id: 'c', content: 'x' })),
        ],
      }),
    ],
    'calls in reverse': [
      () => ({
        messages: [
          {
            role: 'assistant',
            tool_calls: many(20_000, (index) => ({
              id: `c${index}`,
              type: 'function',
              function: { name: 'f', arguments: '{}' },
            })),
          },
          ...many(20_000, (index) => ({ role: 'tool', tool_call_id: `c${20_000 - index}`, content: 'x' })),
        ],
      }),
    ],
    'messages of one side': [() => ({ messages: many(30_000, () => ({ role: 'user', content: 'x' })) })],
    'tens of thousands of calls and results': [
      () => ({
        messages: [
          {
            role: 'assistant',
            tool_calls: many(30_000, (index) => ({
              id: `c${index}`,
              type: 'function',
              function: { name: 'f', arguments: '{}' },
            })),
          },
          ...many(30_000, (index) => ({ role: 'tool', tool_call_id: `c${index}`, content: 'x' })),
        ],
      }),
    ],
    'tens of thousands of results without calls': [
      () => ({ messages: many(30_000, (index) => ({ role: 'tool', tool_call_id: `c${index}`, content: 'x' })) }),
      () => ({ input: many(30_000, (index) => ({ type: 'function_call_output', call_id: `c${index}`, output: 'x' })) }),
    ],
    'tens of thousands of parts': [
      () => ({ messages: [{ role: 'user', content: many(30_000, () => ({ type: 'text', text: 'x' })) }] }),
    ],
    'tens of thousands of wrong parts': [
      () => ({ messages: many(30_000, () => ({ role: 'user', content: [{ type: 'text' }] })) }),
    ],
    'tens of thousands of unknown fields': [
      () => Object.fromEntries(many(30_000, (index) => [`field_${index}`, index])),
    ],
    'tens of thousands of plugins': [() => ({ plugins: many(30_000, (index) => ({ id: `p${index}` })) })],
    'tens of thousands of models': [() => ({ models: many(30_000, (index) => `native/m${index}`) })],
    'tens of thousands of unknown models': [() => ({ models: many(30_000, (index) => `nowhere/m${index}`) })],
    'ten megabytes of text': [
      () => ({ messages: [{ role: 'user', content: megabytes }] }),
      () => ({ input: megabytes }),
    ],
    'ten megabytes of base64': [
      () => ({
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${megabytes}` } }] },
        ],
      }),
    ],
    'ten megabytes of tool arguments': [
      () => ({
        messages: [
          {
            role: 'assistant',
            tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: megabytes } }],
          },
          { role: 'tool', tool_call_id: 'c', content: 'x' },
        ],
      }),
    ],
    'names of ten megabytes': [
      () => ({
        tools: [{ type: 'function', function: { name: megabytes.slice(8_000_000) } }],
        tool_choice: { type: 'function', function: { name: megabytes.slice(8_000_000) } },
        user: megabytes,
      }),
    ],
    'a key of ten megabytes': [() => ({ [megabytes]: 1 })],
    'ten megabytes where another type is wanted': [() => ({ temperature: megabytes }), () => ({ text: megabytes })],
    'a schema of tens of thousands of fields': [
      () => ({
        response_format: {
          type: 'json_schema',
          json_schema: {
            name: 'x',
            schema: {
              type: 'object',
              properties: Object.fromEntries(many(30_000, (index) => [`p${index}`, { type: 'string' }])),
            },
          },
        },
      }),
    ],
    'so many choices': [() => ({ n: 1_000_000_000 })],
  }
  for (const [title, [chat, responses]] of Object.entries(cases))
    it(title, async () => {
      for (const model of ['native/m', 'responses-only/m', 'anthropic/claude-sonnet-4-5']) {
        await timed(() => send('/v1/chat/completions', JSON.stringify({ model, messages: hello, ...chat() })))
        if (responses)
          await timed(() => send('/v1/responses', JSON.stringify({ model, input: 'Hello', ...responses() })))
      }
    })

  it('the name of a model', async () => {
    for (const model of [megabytes, `native/${megabytes}`, `nowhere/${megabytes}`, 'a/'.repeat(500_000)])
      await timed(() => send('/v1/chat/completions', JSON.stringify({ model, messages: hello })))
  })

  it('of inputs', async () => {
    await timed(() => send('/v1/embeddings', JSON.stringify({ model: 'native/m', input: many(30_000, () => 'x') })))
    await timed(() => send('/v1/embeddings', JSON.stringify({ model: 'native/m', input: many(30_000, () => [1, 2]) })))
    await timed(() => send('/v1/completions', JSON.stringify({ model: 'native/m', prompt: many(30_000, () => 'x') })))
  })

  /** No request of a few megabytes may stop everybody else for long. Upstream and client count too: they are in here. */
  async function timed(work: () => Promise<unknown>): Promise<void> {
    const before = process.cpuUsage()
    await work()
    const { user, system } = process.cpuUsage(before)
    const busyMs = (user + system) / 1000
    assert.ok(busyMs < mostBusyMs, `took ${busyMs} ms`)
  }
})
