import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerOf } from '../contract/answer.ts'
import type { GenerateRequest, JsonObject } from '../contract/canonical.ts'
import type { ProviderDefinition, Target, TransportProvider } from '../contract/provider.ts'
import { checkWhole } from './decode-checks.ts'
import { harness } from './harness.ts'
import type { Harness } from './harness.ts'
import { checkDefaults, setUpProvider } from './provider-suite.ts'
import { checkSchema } from './schema-checks.ts'

/** What {@link transportSuite} needs to know of a provider. */
export interface TransportSuiteOptions {
  /** Options the provider can be set up with, as under `[providers.INSTANCE]`. */
  readonly options?: JsonObject
  /** A model that answers; default `model-1`. */
  readonly model?: string
}

const target = (model: string): Target => ({
  provider: 'suite',
  model,
  name: `suite/${model}`,
  requested: `suite/${model}`,
})

const greeting: GenerateRequest = {
  operation: 'generate',
  dialect: 'chat',
  stream: true,
  extra: {},
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello there, how are you?' }] }],
}

/**
 * The tests every provider with a transport of its own (`send`) must pass: sound answers on every endpoint it says it
 * serves, streamed and not, and an end when the signal says so.
 *
 * Call it at the top level of a test file.
 */
export function transportSuite(definition: ProviderDefinition, suite: TransportSuiteOptions = {}): void {
  const { options, model = 'model-1' } = suite
  const setUp = async (): Promise<TransportProvider> => {
    const provider = await setUpProvider(definition, options)
    assert.ok(provider.send, 'this provider speaks HTTP: use providerSuite')
    return provider
  }
  const start = (): Promise<Harness> =>
    harness({ providers: [[definition, options ?? {}, 'suite']], config: { routing: { default_provider: 'suite' } } })

  describe(`provider contract: ${definition.name}`, () => {
    it('has sound options that refuse unknown keys', () => {
      checkSchema('options', definition.options, options)
      checkDefaults(definition)
    })

    it('answers from start to finish', async () => {
      const provider = await setUp()
      const signal = new AbortController().signal
      const before = structuredClone(greeting)
      const events = await Array.fromAsync(await provider.send(greeting, target(model), signal))
      checkWhole(events)
      assert.deepEqual(greeting, before, 'send changed the request')
    })

    it('ends when its signal is aborted', async () => {
      const provider = await setUp()
      const controller = new AbortController()
      const events = (await provider.send(greeting, target(model), controller.signal))[Symbol.asyncIterator]()
      await events.next()
      controller.abort()
      const rest = []
      try {
        for (let next = await events.next(); !next.done; next = await events.next()) rest.push(next.value)
      } catch {
        // Throwing the reason is the plainest way to end.
      }
      assert.ok(
        rest.every(({ type }) => type !== 'finish'),
        'an aborted answer goes on to its finish: look at the signal between events',
      )
    })

    it('does not begin when its signal is aborted already', async () => {
      const provider = await setUp()
      await assert.rejects(
        async () => Array.fromAsync(await provider.send(greeting, target(model), AbortSignal.abort())),
        'an answer was made although the signal was aborted: call signal.throwIfAborted()',
      )
    })

    it('serves what its capabilities say, streamed as whole', async () => {
      const { capabilities } = await setUp()
      await using gateway = await start()
      for (const operation of capabilities.operations)
        for (const dialect of operation === 'generate' ? (['chat', 'responses'] as const) : [operation]) {
          const body = { model: `suite/${model}` }
          const whole = await gateway.send(body, { dialect })
          assert.equal(whole.status, 200, `${dialect}: ${JSON.stringify(whole.body)}`)
          assert.equal(whole.outcome.status, 'completed')
          if (dialect === 'embeddings') continue
          const streamed = await gateway.stream(body, { dialect })
          for await (const _ of streamed.records);
          const outcome = await streamed.outcome
          assert.equal(outcome.status, 'completed', `${dialect}, streamed`)
          assert.deepEqual(outcome.usage, whole.outcome.usage, `${dialect}: usage of the streamed and the whole answer`)
          assert.equal(outcome.finishReason, whole.outcome.finishReason)
        }
    })

    it('gives every call an answer of its own', async () => {
      const provider = await setUp()
      const signal = new AbortController().signal
      const [first, second] = await Promise.all(
        [greeting, greeting].map(async (request) =>
          Array.fromAsync(await provider.send(request, target(model), signal)),
        ),
      )
      const contentOf = (events: typeof first): unknown =>
        answerOf(events ?? []).choices.map(({ finishReason }) => finishReason)
      assert.deepEqual(contentOf(first), contentOf(second), 'two calls at once disturb each other')
    })

    it('stops without having done anything, and twice', async () => {
      const provider = await setUp()
      await provider.stop?.()
      await provider.stop?.()
    })
  })
}
