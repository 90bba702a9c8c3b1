import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { inspect } from 'node:util'
import { setupKeys } from '../boot/plan.ts'
import type { JsonObject, Outcome, PluginDefinition } from '../contract/plugin.ts'
import { definePlugin, GatewayError } from '../contract/plugin.ts'
import type { GatewayOverrides } from '../index.ts'
import { fakeProvider, textEvents } from './fake-provider.ts'
import type { FakeProvider, FakeScript } from './fake-provider.ts'
import { harness } from './harness.ts'
import type { Harness, HarnessRequest } from './harness.ts'
import { checkInbound, strangeHeaders } from './inbound-checks.ts'
import { checkSchema } from './schema-checks.ts'
import { countSettles } from './settle-count.ts'
import type { CountedPlugin } from './settle-count.ts'
import { breakingOff, cut, endless, failing } from './upstream-scripts.ts'

/** What {@link pluginSuite} needs to know of a plugin. */
export interface PluginSuiteOptions {
  /**
   * Options the plugin can be set up with, as under `[plugins.NAME]`; needed if it has required ones. They must let a
   * plain greeting pass.
   */
  readonly options?: JsonObject
  /** Params a client may send, for a plugin that has some. */
  readonly params?: JsonObject
  /** Other plugins it needs, for their services. */
  readonly plugins?: readonly PluginDefinition[]
  /** A database, for a plugin that uses one. Called once; the suite closes it. */
  readonly database?: () => Promise<NonNullable<GatewayOverrides['database']>>
}

/** A plugin under test in a gateway. */
interface Trial extends AsyncDisposable {
  readonly gateway: Harness
  readonly plugin: CountedPlugin
}

const dialects = ['chat', 'responses', 'completions', 'embeddings'] as const

/** How an upstream may go wrong, and what that makes of the exchange. */
const failures = [
  ['an upstream that fails at once', failing],
  ['an answer that is cut', cut],
  ['an answer that breaks off with an error', breakingOff],
] as const

/**
 * The tests every plugin must pass: its schemas are sound, its setups are independent, its stop is safe, and whatever
 * happens to an exchange, on every endpoint, streamed or not, its hooks cope and it is settled once.
 *
 * Call it at the top level of a test file.
 */
export function pluginSuite(definition: PluginDefinition, options: PluginSuiteOptions = {}): void {
  let database: ReturnType<NonNullable<PluginSuiteOptions['database']>> | undefined
  const start = async (
    setting: { readonly provider?: FakeProvider; readonly refuser?: PluginDefinition; readonly start?: boolean } = {},
  ): Promise<Trial> => {
    const plugin = countSettles(definition)
    const settings = { ...options.options, ...(definition.params && { apply: 'always', params: options.params ?? {} }) }
    if (options.database) database ??= options.database()
    const gateway = await harness({
      plugins: [
        ...(options.plugins ?? []),
        [plugin.definition, settings],
        ...(setting.refuser ? [setting.refuser] : []),
      ],
      ...(setting.provider && { provider: setting.provider }),
      ...(setting.start !== undefined && { start: setting.start }),
      ...(database && { database: await database }),
    })
    return { gateway, plugin, [Symbol.asyncDispose]: () => gateway.stop() }
  }

  describe(`plugin contract: ${definition.name}`, () => {
    after(async () => (await database)?.close())

    it('has sound schemas that refuse unknown keys', () => {
      checkSchema('options', definition.options, options.options)
      if (definition.params) checkSchema('params', definition.params, options.params)
    })

    it('has hooks that exist', async () => {
      await using trial = await start()
      for (const hooks of trial.plugin.hooks)
        assert.deepEqual(
          Object.keys(hooks).filter((name) => !setupKeys.includes(name)),
          [],
          'setup returned something that is no hook, so it would never be called',
        )
    })

    it('sets up independent instances', async () => {
      await using other = await start()
      const first = await start()
      assert.notEqual(first.plugin.hooks[0], other.plugin.hooks[0], 'setup returned the same object twice')
      await exchange(first.gateway)
      await first.gateway.stop()
      await exchange(other.gateway)
      assertSound(other, ['completed'])
    })

    it('stops without start, and twice', async () => {
      const { gateway, plugin } = await start({ start: false })
      await gateway.stop()
      await plugin.hooks[0]?.stop?.()
      assertQuiet(gateway, definition)
    })

    it('leaves nothing behind when it stops', async () => {
      // The first time loads modules and opens what is shared.
      const warm = await start()
      await exchange(warm.gateway)
      await warm.gateway.stop()
      const before = await openResources()
      const { gateway } = await start()
      await exchange(gateway)
      await exchange(gateway, { streamed: true })
      await gateway.stop()
      assert.equal(gateway.clock.pending, 0, 'timers of the clock are left: cancel them in stop')
      const left = Object.entries(await openResources()).filter(([kind, count]) => count > (before[kind] ?? 0))
      assert.deepEqual(left, [], 'timers, sockets or threads are left: close them in stop')
    })

    it('takes a call without credentials, or with strange ones', async () => {
      await using trial = await start()
      for (const headers of strangeHeaders) await checkInbound(trial.plugin.hooks[0]!, headers)
    })

    for (const dialect of dialects)
      for (const streamed of dialect === 'embeddings' ? [false] : [false, true])
        describe(`${dialect}${streamed ? ', streamed' : ''}`, () => checkEndings(start, { dialect, streamed }))

    for (const hook of ['authorize', 'admit', 'transform', 'reserve'] as const)
      it(`settles an exchange that another plugin refuses in ${hook}`, async () => {
        await using trial = await start({ refuser: refuser(hook) })
        assert.equal(await exchange(trial.gateway), 418)
        assertSound(trial, ['refused'])
      })
  })
}

/** However an exchange ends, the plugin is told so once; one gateway goes through it all, as a real one does. */
function checkEndings(
  start: (setting: { readonly provider: FakeProvider }) => Promise<Trial>,
  way: { readonly dialect: (typeof dialects)[number]; readonly streamed: boolean },
): void {
  let script: FakeScript
  const provider = fakeProvider((call, number) => script(call, number))
  let trial: Trial
  before(async () => {
    trial = await start({ provider })
  })
  after(() => trial?.gateway.stop())
  let seen = 0
  const assertEnded = (outcome: Outcome['status']): void => {
    const outcomes = trial.plugin.outcomes.slice(seen)
    seen = trial.plugin.outcomes.length
    assertSound({ ...trial, plugin: { ...trial.plugin, outcomes } }, [outcome])
  }

  it('settles a completed exchange once', async () => {
    script = () => textEvents('Hello there.')
    const status = await exchange(trial.gateway, way)
    assert.equal(status, 200, `a greeting is answered with ${status}; pass options that let it through`)
    assertEnded('completed')
  })

  for (const [what, failure] of failures.slice(0, way.dialect === 'embeddings' ? 1 : undefined))
    it(`settles ${what} once`, async () => {
      script = failure
      await exchange(trial.gateway, way)
      assertEnded('failed')
    })

  it('settles an aborted exchange once', async () => {
    script = endless
    const made = provider.calls.length
    const controller = new AbortController()
    const answered = new AbortController()
    const answer = exchange(trial.gateway, { ...way, signal: controller.signal }).finally(() => answered.abort())
    while (provider.calls.length === made && !answered.signal.aborted)
      await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await answer
    assertEnded('aborted')
    // The provider hears of it at once, and gets this turn of the event loop to end.
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(
      provider.calls.every(({ ended }) => ended),
      'the upstream goes on after the client has left: pass exchange.signal on, and leave the events you were given',
    )
  })
}

/** A plugin that says no at one place of the pipeline. */
function refuser(hook: 'authorize' | 'admit' | 'transform' | 'reserve'): PluginDefinition {
  return definePlugin({
    name: 'suite-refuser',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    setup: () => ({
      [hook]: () => {
        throw new GatewayError('suite_refused', 418, 'The suite says no')
      },
    }),
  })
}

/** Sends a greeting and reads the answer to its end. Returns its status. */
async function exchange(
  gateway: Harness,
  { streamed, ...request }: HarnessRequest & { readonly streamed?: boolean } = {},
): Promise<number> {
  if (!streamed) return (await gateway.send({}, request)).status
  const { status, records, outcome } = await gateway.stream({}, request)
  for await (const _ of records);
  await outcome
  return status
}

function assertSound({ gateway, plugin }: Trial, outcomes: readonly string[]): void {
  assert.deepEqual(plugin.outcomes, outcomes, 'how the exchanges ended for the plugin')
  assertQuiet(gateway, plugin.definition)
}

/** No hook of the plugin threw what it should not have: such a failure is only seen in the log. */
function assertQuiet(gateway: Harness, { name }: PluginDefinition): void {
  const lines = gateway.log.filter(
    ({ level, fields }) =>
      (level === 'error' || fields['hook'] !== undefined) &&
      (fields['plugin'] === name || fields['part'] === `plugins.${name}`),
  )
  assert.deepEqual(
    lines.map(({ message, fields }) => `${message}: ${inspect(causeOf(fields))}`),
    [],
    `${name} failed`,
  )
}

function causeOf({ error }: Readonly<Record<string, unknown>>): unknown {
  return (error as Error | undefined)?.cause ?? error
}

/** What keeps the process alive or will call back, by kind. */
async function openResources(): Promise<Readonly<Record<string, number>>> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo().toSorted())
    if (/Timeout|TCP|UDP|TLS|Pipe|Worker|MessagePort|Watch|FSEvent|Process/.test(kind))
      counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
