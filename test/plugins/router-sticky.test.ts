/** Conversations that stay at the target whose prompt cache they use. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Message, ModelPrices, Usage } from '@hadrian/core/plugin'
import { StickyTargets } from '../../plugins/router/sticky.ts'
import type { KnownHealth } from './fixed-health.ts'
import { route, startRouter, target } from './routed-request.ts'
import type { RequestInit, TestedRouter } from './routed-request.ts'

const cheaper: ModelPrices = { input: 1_000_000, output: 1_000_000, cachedInput: 100_000 }
const targets = ['a/m', 'b/m', 'c/m'].map((name) => target(name, { prices: cheaper }))

function said(role: Message['role'], text: string): Message {
  return { role, content: [{ type: 'text', text }] }
}

const talk: RequestInit = { messages: [said('system', 'Be kind.'), said('user', 'Hello')] }

/** Has a call answered by b, which read from its cache. */
function answeredByB(router: TestedRouter, request = talk, usage: Partial<Usage> = { cachedInputTokens: 500 }): void {
  router.route(targets, request).settle('b/m', usage)
}

describe('sticky routing', () => {
  it('goes on where the cache was read or written', async () => {
    for (const usage of [{ cachedInputTokens: 1 }, { cacheWriteTokens: 1 }]) {
      const router = await startRouter()
      assert.deepEqual(router.route(targets, talk).names, ['a/m', 'b/m', 'c/m'])
      answeredByB(router, talk, usage)
      const next = { messages: [...talk.messages!, said('assistant', 'Hi'), said('user', 'More')] }
      assert.deepEqual(router.route(targets, next).names, ['b/m', 'a/m', 'c/m'])
    }
  })

  it('is off without a use of the cache, and when nothing was answered', async () => {
    const router = await startRouter()
    for (const usage of [{}, { cachedInputTokens: 0, cacheWriteTokens: 0 }]) answeredByB(router, talk, usage)
    router.route(targets, talk).settle('b/m')
    assert.deepEqual(router.route(targets, talk).names, ['a/m', 'b/m', 'c/m'])
  })

  it('is off where cached input is not known to be cheaper', async () => {
    const same: ModelPrices = { ...cheaper, cachedInput: cheaper.input }
    const { cachedInput: _, ...without } = cheaper
    for (const prices of [same, without, undefined]) {
      const router = await startRouter()
      const dear = ['a/m', 'b/m'].map((name) => target(name, { ...(prices && { prices }) }))
      router.route(dear, talk).settle('b/m', { cachedInputTokens: 5 })
      assert.deepEqual(router.route(dear, talk).names, ['a/m', 'b/m'])
    }
  })

  it('ends ten minutes after the last use, or as the option says', async () => {
    for (const [options, idleMs] of [
      [{}, 600_000],
      [{ sticky_idle_ms: 1000 }, 1000],
    ] as const) {
      // prettier-ignore
      const router = await startRouter({ options })
      answeredByB(router)
      await router.clock.advance(idleMs - 1)
      assert.equal(router.route(targets, talk).names[0], 'b/m')
      answeredByB(router)
      await router.clock.advance(idleMs - 1)
      assert.equal(router.route(targets, talk).names[0], 'b/m')
      await router.clock.advance(1)
      assert.equal(router.route(targets, talk).names[0], 'a/m')
    }
  })

  it('can be switched off', async () => {
    const router = await startRouter({ options: { sticky_idle_ms: 0 } })
    answeredByB(router)
    assert.equal(router.route(targets, talk).names[0], 'a/m')
  })

  it('is for the same principal, model and conversation', async () => {
    const router = await startRouter()
    answeredByB(router)
    const first = (request: RequestInit, from = targets) => router.route(from, request).names[0]
    assert.equal(first(talk), 'b/m')
    assert.equal(first({ ...talk, principal: 'another' }), 'a/m')
    assert.equal(first({ messages: [said('system', 'Be kind.'), said('user', 'Bye')] }), 'a/m')
    assert.equal(first({ messages: [said('system', 'Be rude.'), said('user', 'Hello')] }), 'a/m')
    assert.equal(first({ messages: [said('user', 'Hello')] }), 'a/m')
    assert.equal(first(talk, targets.map((each) => ({ ...each, requested: 'other' }))), 'a/m') // prettier-ignore
  })

  it('knows a conversation by session_id, x-session-id, prompt_cache_key or its opening, in this order', async () => {
    const names = { extra: { session_id: 's' }, headers: { 'x-session-id': 'h' }, promptCacheKey: 'p', ...talk }
    const { extra, headers, promptCacheKey } = names
    const bare = { messages: [said('user', 'Something else')] }
    const steps: readonly (readonly [full: RequestInit, part: RequestInit])[] = [
      [names, { ...bare, extra }],
      [
        { ...talk, headers, promptCacheKey },
        { ...bare, headers },
      ],
      [
        { ...talk, promptCacheKey },
        { ...bare, promptCacheKey },
      ],
    ]
    for (const [full, part] of steps) {
      const router = await startRouter()
      answeredByB(router, full)
      assert.equal(router.route(targets, part).names[0], 'b/m')
      assert.equal(router.route(targets, talk).names[0], 'a/m', 'the opening does not count beside a name')
    }
  })

  it('tells openings with media, tool calls and long texts apart', async () => {
    const image = (url: string): Message => ({ role: 'user', content: [{ type: 'media', kind: 'image', url }] })
    const call = (name: string): Message => ({
      role: 'assistant',
      content: [{ type: 'tool_call', id: '1', name, arguments: '{}' }],
    })
    const pairs = [
      [image('https://a.example/1'), image('https://a.example/2')],
      [call('f'), call('g')],
      [said('user', 'x'.repeat(20_000)), said('user', 'x'.repeat(20_001))],
    ] as const
    for (const [one, other] of pairs) {
      const router = await startRouter()
      answeredByB(router, { messages: [one] })
      assert.equal(router.route(targets, { messages: [one] }).names[0], 'b/m')
      assert.equal(router.route(targets, { messages: [other] }).names[0], 'a/m')
    }
  })

  it('has nothing to go by without a name and a message', async () => {
    const router = await startRouter()
    answeredByB(router, { messages: [] })
    assert.equal(router.route(targets, { messages: [] }).names[0], 'a/m')
  })

  it('counts by the messages as they were routed, whatever later plugins make of them', async () => {
    const router = await startRouter()
    const routed = router.route(targets, talk)
    Object.assign(routed.exchange, { request: { ...routed.exchange.request, messages: [said('user', 'Changed')] } })
    routed.settle('b/m', { cachedInputTokens: 5 })
    assert.equal(router.route(targets, talk).names[0], 'b/m')
  })

  it('is not used with an order or a sort, of the request, the suffix or the operator', async () => {
    const router = await startRouter()
    answeredByB(router)
    assert.equal(router.route(targets, { ...talk, provider: { order: ['c'] } }).names[0], 'c/m')
    assert.equal(router.route(targets, { ...talk, provider: { sort: 'price' } }).names[0], 'a/m')
    const suffixed = targets.map((each) => ({ ...each, suffix: 'floor' as const }))
    assert.equal(router.route(suffixed, talk).names[0], 'a/m')
    const sorting = await startRouter({ options: { sort: 'price' } })
    answeredByB(sorting)
    assert.equal(sorting.route(targets, talk).names[0], 'a/m')
  })

  it('waits while the target is not healthy, and never brings back one that a filter removed', async () => {
    const health: Record<string, KnownHealth> = {}
    const router = await startRouter({ health })
    answeredByB(router)
    for (const state of ['degraded', 'open'] as const) {
      health['b/m'] = { state }
      assert.deepEqual(router.route(targets, talk).names, ['a/m', 'c/m', 'b/m'])
    }
    for (const { name } of targets) health[name] = { state: 'degraded' }
    assert.deepEqual(router.route(targets, talk).names, ['a/m', 'b/m', 'c/m'])
    for (const { name } of targets) delete health[name]
    assert.equal(router.route(targets, talk).names[0], 'b/m')
    assert.deepEqual(router.route(targets, { ...talk, provider: { ignore: ['b'] } }).names, ['a/m', 'c/m'])
  })

  it('holds before what the operator prefers and before chance, not before what fits', async () => {
    const router = await startRouter({ options: { prefer: ['c'] }, random: () => 0.999 })
    answeredByB(router)
    assert.equal(router.route(targets, talk).names[0], 'b/m')
    const small = targets.map((each) => (each.provider === 'b' ? target('b/m', { contextLength: 5 }) : each))
    assert.equal(router.route(small, { ...talk, inputTokens: 6 }).names[0], 'c/m')
  })

  it('outlives a reload of the config', async () => {
    const retained = new Map<string, object>()
    answeredByB(await startRouter({ retained }))
    const { names } = (await startRouter({ retained })).route(targets, talk)
    assert.equal(names[0], 'b/m')
  })

  it('is told by explain', async () => {
    const router = await startRouter()
    answeredByB(router)
    assert.deepEqual(router.hooks.explain?.(router.route(targets, talk).exchange, {}), {
      ordered_by: 'balance price',
      first_is_random: false,
      conversation_stays_at: 'b/m',
    })
  })

  it('remembers nothing of a request with one target', async () => {
    const router = await startRouter()
    router.route([targets[1]!], talk).settle('b/m', { cachedInputTokens: 5 })
    assert.equal(router.route(targets, talk).names[0], 'a/m')
  })

  it('keeps the 20,000 conversations used last, and drops idle ones', () => {
    const kept = new StickyTargets()
    const moment = (nowMs: number): { nowMs: number; idleMs: number } => ({ nowMs, idleMs: 100 })
    for (let index = 0; index < 20_000; index++) kept.keep(`${index}`, 'm', 'a/m', moment(0))
    kept.keep('0', 'm', 'a/m', moment(1))
    kept.keep('new', 'm', 'a/m', moment(1))
    assert.equal(kept.size, 20_000)
    assert.equal(kept.find('0', 'm', moment(1)), 'a/m')
    assert.equal(kept.find('1', 'm', moment(1)), undefined)
    kept.keep('late', 'm', 'a/m', moment(100))
    assert.equal(kept.size, 3)
  })
})

describe('session_id', () => {
  it('is a string of at most 256 characters, of a request for one target too', async () => {
    for (const session_id of ['x'.repeat(257), 5, {}, ['x']]) {
      const routing = route([target('a/m')], { extra: { session_id } })
      await assert.rejects(routing, { status: 400, code: 'invalid_request_error', param: 'session_id' })
    }
    for (const session_id of ['x'.repeat(256), '', null, undefined])
      assert.deepEqual((await route([target('a/m')], { extra: { session_id } })).names, ['a/m'])
  })
})
