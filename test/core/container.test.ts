import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { setUpPlugins } from '../../core/boot/container.ts'
import type { SetUp, SetUpOptions } from '../../core/boot/container.ts'
import type { PluginDefinition } from '../../core/contract/plugin.ts'
import { systemClock } from '../../core/services/clock.ts'
import { lines, manualClock, recordingLogger } from './boot-fixtures.ts'

type Partly = Partial<Omit<PluginDefinition, 'setup'>> & { readonly setup?: (services: never) => unknown }

const plugin = (name: string, parts: Partly = {}): PluginDefinition =>
  ({ name, api: 1, options: { type: 'object' }, setup: () => ({}), ...parts }) as PluginDefinition

function setUp(definitions: readonly PluginDefinition[], options: Partial<SetUpOptions> = {}): Promise<SetUp> {
  return setUpPlugins(
    definitions.map((definition) => ({ definition, options: { of: definition.name } })),
    {
      services: { clock: systemClock, db: 'the database' },
      logger: () => recordingLogger(),
      clock: systemClock,
      ...options,
    },
  )
}

test('a plugin gets its options, a logger of its own and the services it names', async () => {
  const logger = recordingLogger()
  const seen: unknown[] = []
  const { problems, hooks } = await setUp(
    [
      plugin('a', {
        setup: ({ options, logger, db }: Record<string, unknown>) => {
          seen.push(options, logger, db)
          return { start: () => undefined }
        },
      }),
    ],
    { logger: (name) => (name === 'a' ? logger : recordingLogger()) },
  )
  assert.deepEqual(problems, [])
  assert.deepEqual(seen, [{ of: 'a' }, logger, 'the database'])
  assert.equal(typeof hooks.get('a')?.start, 'function')
})

test('setup is called once, on its definition, and may be asynchronous', async () => {
  let calls = 0
  const definition = plugin('a', {
    async setup(this: PluginDefinition) {
      calls += 1
      await Promise.resolve()
      return { routes: [], services: { of: this.name } }
    },
    provides: ['of'],
  })
  const { services, problems } = await setUp([
    definition,
    plugin('b', { requires: ['of'], setup: ({ of }) => of && {} }),
  ])
  assert.deepEqual(problems, [])
  assert.equal(services.get('of'), 'a')
  assert.equal(calls, 1)
})

test('nothing is resolved that a plugin does not destructure', async () => {
  const services = {
    get db(): unknown {
      throw new Error('was asked for')
    },
    clock: systemClock,
  }
  let setUps = 0
  const { problems } = await setUp([plugin('a', { setup: ({ clock }) => (clock ? ((setUps += 1), {}) : {}) })], {
    services: Object.defineProperty({ clock: systemClock }, 'unused', {
      get: () => services.db,
      enumerable: false,
    }),
  })
  assert.deepEqual(problems, [])
  assert.equal(setUps, 1)
})

test('services are set up before their users, whatever the given order', async () => {
  const order: string[] = []
  const noting = (name: string, parts: Partly, services?: object): PluginDefinition =>
    plugin(name, { ...parts, setup: () => (order.push(name), { services }) })
  const { problems } = await setUp([
    noting('a', { requires: ['b-service'] }),
    noting('x', {}),
    noting('b', { provides: ['b-service'], requires: ['c-service'] }, { 'b-service': 1 }),
    noting('c', { provides: ['c-service'] }, { 'c-service': 1 }),
  ])
  assert.deepEqual(problems, [])
  assert.deepEqual(order, ['x', 'c', 'b', 'a'])
})

test('all missing services are one problem that tells who needs and who would provide them', async () => {
  const { problems, hooks } = await setUp(
    [plugin('a', { requires: ['vault', 'dbb'] }), plugin('b', { requires: ['vault', 'nowhere'] })],
    { offered: new Map([['vault', 'safe']]) },
  )
  assert.deepEqual(lines(problems), [
    'plugins: services are missing: "vault" (required by "a" and "b"), "dbb" (required by "a"), "nowhere" (required by "b")' +
      ' ("vault" is provided by the plugin "safe": enable it with [plugins.safe]. Did you mean "db"? Nothing installed provides "nowhere".)',
  ])
  assert.equal(hooks.size, 0)
})

test('asking for a service that does not exist is a problem naming plugin and service', async () => {
  const { problems } = await setUp([
    plugin('a', { setup: ({ databse }) => databse }),
    plugin('b', { setup: async ({ late }) => late }),
    plugin('c', { provides: ['late'], setup: () => ({ services: { late: 1 } }) }),
    plugin('d', { setup: ({ dbx }) => dbx }),
  ])
  assert.deepEqual(lines(problems), [
    'plugins.a: setup asks for the service "databse", which does not exist (Services: clock, db, logger, options.)',
    'plugins.b: setup asks for the service "late", which does not exist ("c" provides it: the plugin must list it in "requires".)',
    'plugins.d: setup asks for the service "dbx", which does not exist (Did you mean "db"?)',
  ])
})

test('a setup that throws is a problem, its users are left out, the others are set up', async () => {
  const { problems, hooks } = await setUp([
    plugin('a', {
      provides: ['s'],
      setup: () => {
        throw new Error('no way\n  at somewhere')
      },
    }),
    plugin('b', { requires: ['s'] }),
    plugin('c'),
  ])
  assert.deepEqual(lines(problems), ['plugins.a: setup failed: no way'])
  assert.deepEqual([...hooks.keys()], ['c'])
})

test('a setup that does not end is a problem', async () => {
  const clock = manualClock()
  const started = setUp([plugin('a', { setup: () => new Promise(() => clock.advance(30_000)) })], { clock })
  assert.deepEqual(lines((await started).problems), ['plugins.a: setup failed: did not finish within 30 seconds'])
})

test('what a plugin provides must be declared, returned and its own', async () => {
  const { problems } = await setUp([
    plugin('a', { provides: ['s'] }),
    plugin('b', { setup: () => ({ services: { t: 1 } }) }),
  ])
  assert.deepEqual(lines(problems), [
    'plugins.a: setup failed: says it provides the service "s", and setup returned none',
    'plugins.b: setup failed: setup returned the service "t", which is not listed in "provides"',
  ])
  const twice = await setUp([plugin('a', { provides: ['s', 'db'] }), plugin('b', { provides: ['s'] })])
  assert.deepEqual(lines(twice.problems), [
    'plugins.a: provides the service "db", which the core provides already',
    'plugins.b: provides the service "s", which "a" provides already (Switch one of them off with enabled = false.)',
  ])
})

test('a cycle of services is a problem that prints its edges', async () => {
  const { problems } = await setUp([
    plugin('a', { provides: ['s'], requires: ['t'] }),
    plugin('b', { provides: ['t'], requires: ['s'] }),
  ])
  assert.deepEqual(lines(problems), [
    'plugins: plugins require each other\'s services in a cycle: "a" requires "t" of "b", "b" requires "s" of "a"',
  ])
})

test('every setup comes after those of the services it requires', async () => {
  const graph = fc.array(fc.array(fc.nat(7), { maxLength: 3 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(graph, async (edges) => {
      const order: number[] = []
      // Edges lead to lower numbers only, so there is no cycle; the given order is the worst one.
      const requires = edges.map((targets, index) => targets.filter((target) => target < index))
      const definitions = requires.map((targets, index) =>
        plugin(`p${index}`, {
          requires: targets.map((target) => `s${target}`),
          provides: [`s${index}`],
          setup: () => (order.push(index), { services: { [`s${index}`]: index + 1 } }),
        }),
      )
      const { problems } = await setUp(definitions.toReversed())
      assert.deepEqual(problems, [])
      for (const [index, targets] of requires.entries())
        for (const target of targets) assert.ok(order.indexOf(target) < order.indexOf(index))
    }),
    { numRuns: 50 },
  )
})
