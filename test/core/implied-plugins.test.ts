import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { GenerateRequest, PluginDefinition, Target } from '../../core/contract/plugin.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'

interface Asked {
  readonly request: GenerateRequest
  readonly targets: readonly Target[]
}

/** A plugin that takes part where the first message is long, and remembers the params of its hook. */
function lengthy(): {
  readonly plugin: PluginDefinition
  readonly asked: Asked[]
  readonly ran: unknown[]
} {
  const asked: Asked[] = []
  const ran: unknown[] = []
  const plugin = definePlugin({
    name: 'lengthy',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    params: { type: 'object', properties: { depth: { type: 'integer' } }, additionalProperties: false },
    setup: () => ({
      implied(request, targets) {
        asked.push({ request, targets })
        return JSON.stringify(request.messages).includes('long')
      },
      transform(_exchange, params) {
        ran.push(params)
      },
    }),
  })
  return { plugin, asked, ran }
}

const long = { messages: [{ role: 'user', content: 'a long one' }] }

describe('a plugin that may be implied', () => {
  it('runs with the params of the operator where it says so, and only there', async () => {
    const { plugin, asked, ran } = lengthy()
    await using site = await harness({ plugins: [[plugin, { params: { depth: 3 } }]] })
    await site.send()
    assert.deepEqual(ran, [])
    await site.send(long)
    assert.deepEqual(ran, [{ depth: 3 }])
    assert.deepEqual(
      asked.map(({ targets }) => targets.map(({ name }) => name)),
      [['fake/fake-model'], ['fake/fake-model']],
    )
  })

  it('is not asked where the client names or disables it', async () => {
    const { plugin, asked, ran } = lengthy()
    await using site = await harness({ plugins: [plugin] })
    await site.send({ ...long, plugins: [{ id: 'lengthy', enabled: false }] })
    assert.deepEqual(ran, [])
    await site.send({ plugins: [{ id: 'lengthy', depth: 1 }] })
    assert.deepEqual(ran, [{ depth: 1 }])
    assert.deepEqual(asked, [])
  })

  it('is not asked where the operator applies it always', async () => {
    const { plugin, asked, ran } = lengthy()
    await using site = await harness({ plugins: [[plugin, { apply: 'always' }]] })
    await site.send()
    assert.deepEqual(ran, [{}])
    assert.deepEqual(asked, [])
  })

  it('is shown among the plugins of the exchange, beside those that are named', async () => {
    const { plugin } = lengthy()
    const names: (readonly string[])[] = []
    const other = definePlugin({
      name: 'other',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      params: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ settle: (exchange) => void names.push(exchange.requestPlugins) }),
    })
    await using site = await harness({ plugins: [plugin, other] })
    await site.send({ ...long, plugins: [{ id: 'other' }] })
    assert.deepEqual(names, [['other', 'lengthy']])
  })

  it('fails the request if it throws', async () => {
    const broken = definePlugin({
      name: 'broken',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      params: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({
        implied() {
          throw new Error('broken')
        },
      }),
    })
    await using site = await harness({ plugins: [broken] })
    const { status } = await site.send()
    assert.equal(status, 500)
    assert.equal(site.provider.calls.length, 0)
  })

  it('cannot be one without params', async () => {
    const plugin = definePlugin({
      name: 'paramless',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ implied: () => true }),
    })
    await assert.rejects(harness({ plugins: [plugin] }), /"implied" without "params"/)
  })
})

describe('a deadline of a plugin’s own', () => {
  const sleeping = (settings: object = {}): Promise<Awaited<ReturnType<typeof harness>>> =>
    harness({
      plugins: [
        [
          definePlugin({
            name: 'sleeping',
            api: 1,
            timeoutMs: 20_000,
            options: { type: 'object', properties: {}, additionalProperties: false },
            setup: ({ clock }) => ({
              transform: () => new Promise<void>((resolve) => void clock.after(15_000, resolve)),
            }),
          }),
          settings as Record<string, unknown>,
        ],
      ],
      provider: fakeProvider(),
    })

  it('stands in place of the five seconds', async () => {
    await using site = await sleeping()
    const answer = site.send()
    await site.clock.advance(15_000)
    assert.equal((await answer).status, 200)
  })

  it('yields to the operator’s', async () => {
    await using site = await sleeping({ timeout_ms: 1000 })
    const answer = site.send()
    await site.clock.advance(1000)
    assert.equal((await answer).status, 500)
  })
})
