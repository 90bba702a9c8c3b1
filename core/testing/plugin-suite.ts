import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv } from 'ajv'
import type { Hooks, JsonObject, PluginDefinition, StreamEvent } from '../contract/plugin.ts'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayOverrides } from '../index.ts'
import { fakeProvider, textEvents } from './fake-provider.ts'
import { harness } from './harness.ts'
import type { Harness, HarnessRequest } from './harness.ts'

export interface PluginSuiteOptions {
  /** Options the plugin can be set up with, as under `[plugins.NAME]`; needed if it has required ones. */
  readonly options?: JsonObject
  /** Params a client may send, for a plugin that has some. */
  readonly params?: JsonObject
  /** Other plugins it needs, for their services. */
  readonly plugins?: readonly PluginDefinition[]
  /** A database, for a plugin that uses one. */
  readonly database?: () => Promise<NonNullable<GatewayOverrides['database']>>
}

const dialects = ['chat', 'responses', 'completions', 'embeddings'] as const

/**
 * The tests every plugin must pass: its schemas are sound, its setups are independent, its stop is safe, and whatever
 * happens to an exchange it is settled once, on every endpoint, streamed or not.
 */
export function pluginSuite(definition: PluginDefinition, options: PluginSuiteOptions = {}): void {
  const start = async (provider = fakeProvider()): Promise<Harness> =>
    harness({
      plugins: [
        ...(options.plugins ?? []),
        [definition, { ...options.options, ...(definition.params && { apply: 'always' }) }],
      ],
      provider,
      ...(options.database && { database: await options.database() }),
    })

  describe(`plugin contract: ${definition.name}`, () => {
    it('has sound schemas that refuse unknown keys', () => {
      const ajv = new Ajv({ strict: false, useDefaults: true })
      const validate = ajv.compile(definition.options)
      assert.equal(validate({ ...structuredClone(options.options) }), true, JSON.stringify(validate.errors))
      assert.equal(
        validate({ ...structuredClone(options.options), 'no-such-option': 1 }),
        false,
        'unknown options pass',
      )
      if (!definition.params) return
      const validateParams = ajv.compile(definition.params)
      assert.equal(validateParams({ ...structuredClone(options.params) }), true, JSON.stringify(validateParams.errors))
    })

    it('implements only hooks that exist and that it may have', async () => {
      await using gateway = await start()
      assert.ok(gateway.gateway.plan.plugins.some((plugin) => plugin.definition.name === definition.name))
    })

    it('sets up independent instances, and stops without start and twice', async () => {
      const first = await start()
      const second = await start()
      assert.notEqual(hooksOf(first, definition), hooksOf(second, definition))
      await first.stop()
      await hooksOf(first, definition).stop?.()
      const answer = await second.send()
      assert.ok(answer.status < 500, `the other instance answers ${answer.status}`)
      await second.stop()
    })

    for (const dialect of dialects)
      for (const streamed of dialect === 'embeddings' ? [false] : [false, true]) {
        const request: HarnessRequest = { dialect }
        const name = `${dialect}${streamed ? ', streamed' : ''}`
        const call = async (gateway: Harness, signal = new AbortController().signal): Promise<void> => {
          if (!streamed) {
            await gateway.send({}, { ...request, signal })
            return
          }
          const { records, outcome } = await gateway.stream({}, { ...request, signal })
          for await (const _ of records);
          await outcome
        }

        it(`settles a completed exchange once: ${name}`, async () => {
          await using gateway = await start()
          await call(gateway)
          assert.deepEqual(outcomesOf(gateway), ['completed'])
        })

        it(`settles a failing upstream once: ${name}`, async () => {
          await using gateway = await start(fakeProvider(failing))
          await call(gateway)
          assert.equal(gateway.outcomes.length, 1)
        })

        it(`settles a cut answer once: ${name}`, async () => {
          await using gateway = await start(fakeProvider(cut))
          await call(gateway)
          assert.equal(gateway.outcomes.length, 1)
        })

        it(`settles an aborted exchange once: ${name}`, async () => {
          const provider = fakeProvider(endless)
          await using gateway = await start(provider)
          const controller = new AbortController()
          const answer = call(gateway, controller.signal)
          while (provider.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
          controller.abort()
          await answer
          assert.equal(gateway.outcomes.length, 1)
          assert.ok(
            provider.calls.every(({ signal }) => signal.aborted),
            'the upstream goes on',
          )
        })
      }

    it('leaves nothing behind when it stops', async () => {
      const gateway = await start()
      await gateway.send()
      await gateway.stop()
      assert.equal(gateway.clock.pending, 0, 'timers are left')
    })
  })
}

function hooksOf({ gateway }: Harness, { name }: PluginDefinition): Hooks {
  return gateway.plan.plugins.find(({ definition }) => definition.name === name)!.hooks
}

function outcomesOf(gateway: Harness): readonly string[] {
  return gateway.outcomes.map(({ status }) => status)
}

/** Fails before its first event. */
function failing(): never {
  throw gatewayError('provider_error', 'Upstream provider returned error: scripted')
}

/** Ends in the middle. */
function* cut(): Generator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 2)
}

/** Says a little and then nothing more until it is left. */
async function* endless(call: { readonly signal: AbortSignal }): AsyncGenerator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 3)
  await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
}
