/** What the kernel asks of a guardrail before it starts, and what a client may not switch off. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import type { GenerateRequest, Hooks, PluginDefinition } from '@hadrian/core/plugin'
import { fakeProvider, harness, textEvents } from '@hadrian/core/testing'
import { StartupError, describeProblem } from '../../core/index.ts'
import blocklist from '../../plugins/blocklist/index.ts'

const noOptions = { type: 'object', properties: {}, additionalProperties: false } as const

function guardrail(hooks: Hooks, more: Partial<PluginDefinition> = {}): PluginDefinition {
  return definePlugin({
    name: 'guard',
    api: 1,
    options: noOptions,
    guardrail: { input: true, output: true },
    ...more,
    setup: () => hooks,
  })
}

/** Refuses everything it sees. */
const judging: Hooks = {
  transform() {
    throw gatewayError('content_blocked', 'No')
  },
  event: () => undefined,
}

async function refusedStart(...plugins: Parameters<typeof harness>[0][]): Promise<string> {
  const error = await harness(plugins[0]).then(
    async (started) => {
      await started.stop()
      throw new Error('it started')
    },
    (failure: unknown) => failure,
  )
  assert.ok(error instanceof StartupError, String(error))
  return error.problems.map((problem) => describeProblem(problem)).join('\n')
}

describe('a guardrail', () => {
  it('without a hook for what it says it guards stops the start, all of it at once', async () => {
    const said = await refusedStart({ plugins: [guardrail({})] })
    assert.match(said, /guard.*input/)
    assert.match(said, /guard.*output/)
    const onlyInput = await refusedStart({ plugins: [guardrail({ transform() {} })] })
    assert.match(onlyInput, /output/)
    assert.doesNotMatch(onlyInput, /guards input/)
  })

  it('that only watches answers stops the start', async () => {
    assert.match(await refusedStart({ plugins: [guardrail({ transform() {}, observe() {} })] }), /output/)
  })

  it('may not fail open', async () => {
    const said = await refusedStart({ plugins: [[guardrail(judging), { failure: 'open' }]] })
    assert.match(said, /plugins\.guard\.failure/)
  })

  it('with params runs unasked, and no client can switch it off', async () => {
    const named = guardrail(judging, { params: noOptions })
    await using gateway = await harness({ plugins: [named] })
    for (const dialect of ['chat', 'responses'] as const) {
      assert.equal((await gateway.send({}, { dialect })).status, 400)
      const { status, body } = await gateway.send({ plugins: [{ id: 'guard', enabled: false }] }, { dialect })
      assert.equal(status, 400)
      const error = body['error'] as { code: string; param: string; message: string }
      assert.equal(error.code, 'invalid_request_error')
      assert.equal(error.param, 'plugins[0].enabled')
      assert.match(error.message, /cannot be disabled/)
    }
    assert.equal(gateway.provider.calls.length, 0)
  })

  it('with params is off for a client only where the operator lets it be', async () => {
    const named = guardrail(judging, { params: noOptions })
    await using gateway = await harness({ plugins: [[named, { client_may_disable: true }]] })
    assert.equal((await gateway.send()).status, 400)
    assert.equal((await gateway.send({ plugins: [{ id: 'guard' }] })).status, 400)
    assert.equal((await gateway.send({ plugins: [{ id: 'guard', enabled: false }] })).status, 200)
  })
})

/** Puts this in front of the prompt, whenever its hook comes. */
function adding(hooks: (add: (request: GenerateRequest) => GenerateRequest) => Hooks): PluginDefinition {
  const message = { role: 'system', content: [{ type: 'text', text: 'Look at the falcon.' }] } as const
  return definePlugin({
    name: 'adder',
    api: 1,
    options: noOptions,
    order: { after: ['blocklist'] },
    setup: () => hooks((request) => ({ ...request, messages: [message, ...request.messages] })),
  })
}

describe('a guardrail of prompts sees what others put in after it', () => {
  const transforming = adding((add) => ({ transform: (exchange) => exchange.edit(add) }))
  const turning = adding((add) => ({
    dispatch: async (exchange, next) => {
      await next()
      // Side by side, as a plugin may that asks several models.
      const [reply] = await Promise.all([next(add(exchange.request)), next(add(exchange.request))])
      return reply
    },
  }))

  for (const [how, plugin, calls] of [
    ['in transform', transforming, 0],
    ['in a further turn', turning, 1],
  ] as const)
    for (const dialect of ['chat', 'responses'] as const) {
      it(`${how}, and refuses it: ${dialect}`, async () => {
        await using gateway = await harness({ plugins: [[blocklist, { words: ['falcon'] }], plugin] })
        const { status, body } = await gateway.send({}, { dialect })
        assert.equal(status, 400)
        assert.equal((body['error'] as { code: string }).code, 'content_blocked')
        assert.equal(gateway.provider.calls.length, calls)
      })

      it(`${how}, and redacts it: ${dialect}`, async () => {
        await using gateway = await harness({
          plugins: [[blocklist, { words: ['falcon'], action: 'redact' }], plugin],
        })
        assert.equal((await gateway.send({}, { dialect })).status, 200)
        const last = JSON.stringify(gateway.provider.calls.at(-1)?.request.messages)
        assert.match(last, /Look at the \[redacted\]\./)
      })
    }

  it('and what clients sent before others do anything with it', async () => {
    let searched = 0
    const searching = definePlugin({
      name: 'searching',
      api: 1,
      options: noOptions,
      order: { before: ['blocklist'] },
      setup: () => ({ transform: () => void searched++ }),
    })
    await using gateway = await harness({ plugins: [searching, [blocklist, { words: ['falcon'] }]] })
    assert.equal((await gateway.send({ messages: [{ role: 'user', content: 'A falcon?' }] })).status, 400)
    assert.equal(searched, 0)
    assert.equal((await gateway.send()).status, 200)
    assert.equal(searched, 1)
  })

  it('and leaves the request of the exchange as it was', async () => {
    let after: GenerateRequest | undefined
    const watching = adding((add) => ({
      async dispatch(exchange, next) {
        const before = exchange.request
        const reply = await next(add(before))
        after = exchange.request
        assert.equal(after, before)
        return reply
      },
    }))
    await using gateway = await harness({ plugins: [[blocklist, { words: ['falcon'], action: 'redact' }], watching] })
    assert.equal((await gateway.send()).status, 200)
    assert.ok(after)
  })

  it('and is not asked again for what it has seen', async () => {
    let asked = 0
    const counting = guardrail({ transform: () => void asked++, event: () => undefined }, { name: 'blocklist' })
    await using gateway = await harness({ plugins: [counting] })
    await gateway.send()
    assert.equal(asked, 1)
    await using edited = await harness({ plugins: [counting, transforming] })
    await edited.send()
    assert.equal(asked, 3)
  })
})

describe('the blocklist', () => {
  it('is nothing a client can name', async () => {
    await using gateway = await harness({ plugins: [[blocklist, { words: ['falcon'] }]] })
    for (const enabled of [true, false]) {
      const { status, body } = await gateway.send({ plugins: [{ id: 'blocklist', enabled }] })
      assert.equal(status, 400)
      assert.equal((body['error'] as { param: string }).param, 'plugins[0].id')
    }
  })

  it('says what it cannot use before it starts', async () => {
    const said = await refusedStart({ plugins: [[blocklist, { words: [' '], patterns: ['a+'] }]] })
    assert.match(said, /words\[0\]/)
    assert.match(said, /patterns\[0\]/)
  })

  it('guards only prompts, or only answers, where the operator wants that', async () => {
    const provider = fakeProvider(() => textEvents('The falcon flies.'))
    const prompt = { messages: [{ role: 'user', content: 'A falcon?' }] }
    {
      await using gateway = await harness({ provider, plugins: [[blocklist, { words: ['falcon'], output: false }]] })
      assert.equal((await gateway.send(prompt)).status, 400)
      assert.equal((await gateway.send()).status, 200)
    }
    {
      await using gateway = await harness({ provider, plugins: [[blocklist, { words: ['falcon'], input: false }]] })
      assert.equal(provider.calls.length, 1)
      assert.equal((await gateway.send(prompt)).status, 400)
      assert.equal(provider.calls.length, 2)
    }
  })

  it('takes no token ids, which no guardrail can read, where prompts are guarded', async () => {
    const cases = [
      { dialect: 'embeddings', body: { input: [[1, 2], [3]] }, param: 'input' },
      { dialect: 'embeddings', body: { input: [1, 2] }, param: 'input' },
      { dialect: 'completions', body: { prompt: [1, 2] }, param: 'prompt' },
    ] as const
    await using guarded = await harness({ plugins: [[blocklist, { words: ['falcon'] }]] })
    await using open = await harness()
    for (const { dialect, body, param } of cases) {
      const refused = await guarded.send(body, { dialect })
      assert.equal(refused.status, 400)
      assert.equal((refused.body['error'] as { param: string }).param, param)
      assert.equal((await open.send(body, { dialect })).status, 200)
    }
    assert.equal(guarded.provider.calls.length, 0)
  })
})
