/** Clients and upstreams that try to get around what calls cost, and around limits. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject, Outcome } from '../../core/contract/plugin.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { gate, streamed, whole } from './scripted-upstream.ts'
import { chatBody, record } from './wire-answers.ts'

/** A dollar per token, so that dollars in tests are tokens. */
const aDollar = { input_per_million: 1_000_000, output_per_million: 1_000_000 }

describe('a budget', () => {
  let running: RunningGateway

  before(async () => {
    running = await startGateway({
      isComplete: true,
      config: { plugins: { pricing: { unknown: 'default', default_prices: aDollar, reported_cost: 'prefer' } } },
    })
  })
  after(() => running.close())

  async function admin(method: string, path: string, body?: JsonObject): Promise<JsonObject> {
    const response = await fetch(running.url + path, {
      method,
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    return (await response.json()) as JsonObject
  }

  async function keyWith(settings: JsonObject): Promise<{ readonly authorization: string }> {
    const { key } = await admin('POST', '/admin/v1/api-keys', settings)
    return { authorization: `Bearer ${key as string}` }
  }

  const budgetOf = (dollars: number): JsonObject => ({ budgets: [{ period: 'monthly', limit_usd: dollars }] })

  /** Takes what the upstream has of an answer, and hangs up before it says what it counted. */
  async function hangUp(path: string, body: JsonObject, pieces: readonly string[]): Promise<Outcome> {
    const headers = await keyWith(budgetOf(1_000_000_000))
    const rest = gate()
    running.upstream.answer(streamed([...pieces, rest.wait]))
    const controller = new AbortController()
    const response = await running.post(path, { ...body, stream: true }, { headers, signal: controller.signal })
    await response.body!.getReader().read()
    const { length } = running.outcomes
    controller.abort()
    const outcome = (await running.ended(length + 1)).at(-1)!
    rest.open()
    return outcome
  }

  it('holds completions to the ceiling that upstreams heed', async () => {
    const headers = await keyWith(budgetOf(1000))
    const prompt = { model: 'native/m', prompt: 'Hi', max_completion_tokens: 1 }
    await running.post('/api/v1/completions', { ...prompt, max_tokens: 100_000 }, { headers })
    const { max_tokens: clamped } = running.upstream.last().json
    assert.ok((clamped as number) < 1000, `${String(clamped)} tokens were let through`)
    await running.post('/api/v1/completions', prompt, { headers })
    assert.equal(running.upstream.last().json['max_tokens'], 16)
  })

  it('is not exceeded by thinking', async () => {
    const headers = await keyWith(budgetOf(60_000))
    const ask = (reasoning: JsonObject, ceiling: number): JsonObject => ({
      model: 'anthropic/claude-sonnet-4-5',
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: ceiling,
      reasoning,
    })
    await running.post('/api/v1/chat/completions', ask({ max_tokens: 50_000 }, 16), { headers })
    assert.deepEqual(
      [running.upstream.last().json['max_tokens'], running.upstream.last().json['thinking']],
      [16, undefined],
    )
    await running.post('/api/v1/chat/completions', ask({ max_tokens: 50_000 }, 4000), { headers })
    assert.deepEqual(
      [running.upstream.last().json['max_tokens'], running.upstream.last().json['thinking']],
      [4000, { type: 'enabled', budget_tokens: 3800 }],
    )
  })

  it('pays for all of an input whose answer a client leaves at the last moment', async () => {
    const chunk = record({ choices: [{ index: 0, text: 'Yes', delta: { content: 'Yes' } }] })
    const ids = Array.from({ length: 1000 }, (_, id) => id)
    for (const prompt of [ids, [ids.slice(0, 400), ids.slice(400)]]) {
      const { status, usage } = await hangUp('/api/v1/completions', { model: 'native/m', prompt }, [chunk])
      assert.deepEqual([status, usage?.inputTokens, usage?.estimated], ['aborted', 1000, true])
    }
    const chat = async (content: unknown): Promise<number> => {
      const body = { model: 'native/m', max_tokens: 100, messages: [{ role: 'user', content }] }
      return (await hangUp('/api/v1/chat/completions', body, [chunk])).usage!.inputTokens
    }
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }
    assert.equal(await chat([image, image]), 2000)
    assert.equal(
      await chat([{ type: 'input_audio', input_audio: { data: 'A'.repeat(640_000), format: 'wav' } }]),
      640,
      'ten seconds',
    )
    const bytes = Buffer.alloc(100_000, 0xff).toString('base64')
    assert.ok((await chat([{ type: 'file', file: { filename: 'a.pdf', file_data: bytes } }])) > 3000)
    assert.equal(await chat('漢字'.repeat(500)), 750)
  })

  it('pays for the bytes of an answer that was left', async () => {
    const chunk = record({ choices: [{ index: 0, delta: { content: '漢字'.repeat(500) } }] })
    const body = { model: 'native/m', max_tokens: 5000, messages: [{ role: 'user', content: 'Hi' }] }
    const { usage } = await hangUp('/api/v1/chat/completions', body, [chunk])
    assert.equal(usage?.outputTokens, 750)
  })

  it('pays for streams of every kind by the count of the upstream, which it asks for', async () => {
    const headers = await keyWith(budgetOf(1_000_000))
    const counted = { id: 'x', created: 1, model: 'm', choices: [] }
    for (const [path, body, choice] of [
      ['/api/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }, { delta: { content: 'Hello' } }],
      ['/api/v1/completions', { prompt: 'Hi' }, { text: 'Hello' }],
    ] as const) {
      const usage = { prompt_tokens: 70, completion_tokens: 80, total_tokens: 150 }
      const pieces = [
        record({ ...counted, choices: [{ index: 0, ...choice, finish_reason: 'stop' }] }),
        record({ ...counted, usage }),
        record('[DONE]'),
      ]
      running.upstream.answer(streamed(pieces))
      const { length } = running.outcomes
      const response = await running.post(path, { model: 'native/m', stream: true, ...body }, { headers })
      assert.doesNotMatch(await response.text(), /"usage"/)
      assert.deepEqual(running.upstream.last().json['stream_options'], { include_usage: true })
      const outcome = (await running.ended(length + 1)).at(-1)!
      assert.deepEqual([outcome.usage?.inputTokens, outcome.usage?.estimated], [70, undefined])
    }
  })

  it('is spent by a cost beyond all numbers', async () => {
    const headers = await keyWith(budgetOf(10_000))
    const body = { model: 'native/m', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }
    const usage = { prompt_tokens: 1, completion_tokens: 1, cost: 1e308 }
    running.upstream.answer(whole({ ...chatBody(), usage }))
    assert.equal((await running.post('/api/v1/chat/completions', body, { headers })).status, 200)
    assert.equal((await running.post('/api/v1/chat/completions', body, { headers })).status, 402)
  })
})
