import type { Hooks, ModelBook, PriceBook, Principal, Run, Services } from '../contract/plugin.ts'
import { Connections } from '../pipeline/connections.ts'
import { ModelLists } from '../pipeline/model-lists.ts'
import type { ListTime } from '../pipeline/model-lists.ts'
import type { Plan, ReadyPlugin } from '../pipeline/plan.ts'
import { Pipeline } from '../pipeline/run.ts'
import type { ProviderInstance } from '../pipeline/services.ts'
import { createCatalog } from '../services/catalog.ts'
import { createSafeFetch } from '../services/fetch.ts'
import { releasableMeter } from '../services/plugin-meter.ts'
import { StartupError } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import { catalogEntries, instanceInfo } from './catalog-entries.ts'
import type { LoadedConfig, SelectedPlugin } from './config.ts'
import { setUpPlugins } from './container.ts'
import { createLifecycle } from './lifecycle.ts'
import type { Lifecycle, Part } from './lifecycle.ts'
import { childLogger } from './loggers.ts'
import { resolveOrder } from './order.ts'
import type { Order } from './order.ts'
import { checkPlugin, compilePlan } from './plan.ts'
import type { ProcessParts } from './process-parts.ts'
import { providerSummaries, setUpProviders } from './provider-instances.ts'

/** One config set up and not started: providers, plugins, and what is compiled of them. */
export interface Assembly {
  readonly plan: Plan
  readonly pipeline: Pipeline
  readonly providers: ReadonlyMap<string, ProviderInstance>
  /** The core's services and those plugins provide. */
  readonly services: ReadonlyMap<string, unknown>
  /** Everything with a start or a stop. */
  readonly lifecycle: Lifecycle
}

/** An index on a large table takes long; the database has limits of its own on each statement. */
const databaseStartTimeoutMs = 3_600_000

/**
 * Sets up services, providers and plugins and compiles the plan. The database is not opened, nothing starts, nothing
 * listens.
 *
 * @throws StartupError with everything that keeps the gateway from starting; what was set up is stopped again
 */
export async function assemble(loaded: LoadedConfig, parts: ProcessParts): Promise<Assembly> {
  const { clock, logger, telemetry } = parts
  const { config } = loaded
  const connections = new Connections(parts.connectionPools)
  const meter = releasableMeter(telemetry.meter)
  const fetch = createSafeFetch({ allow: config.fetch.allow, clock })
  const { instances, problems: providerProblems } = await setUpProviders(loaded.providers, {
    clock,
    fetch,
    logger: (provider) => childLogger(logger, { provider }),
  })
  const lists = new ModelLists({ instances, times: listTimes(config), clock, logger, connections })
  let priceBook: PriceBook | undefined
  let modelBook: ModelBook | undefined
  const catalog = createCatalog({
    entries: catalogEntries(config.models),
    providers: providerSummaries(instances),
    instanceInfo: instanceInfo(config.providers),
    defaultProvider: config.routing.default_provider ?? onlyProvider(instances),
    lists,
    priceBook: () => priceBook,
    modelBook: () => modelBook,
  })
  let pipeline: Pipeline | undefined
  const run: Run = (request, principal: Principal, signal) => {
    if (!pipeline) throw new Error('the "run" service cannot be used during setup')
    return pipeline.run(request, principal, signal)
  }

  const { ordered, problems: orderProblems } = orderPlugins(loaded)
  const services: Omit<Services, 'logger'> = {
    clock,
    db: parts.database,
    catalog,
    fetch,
    run,
    journal: parts.journal,
    retain: parts.retained.retain,
    meter: meter.meter,
    tracer: telemetry.tracer,
  }
  const setUp = await setUpPlugins(inOrder(loaded.plugins, ordered), {
    services,
    offered: new Map(loaded.packages.flatMap(({ name, provides }) => provides.map((service) => [service, name]))),
    leftOut: loaded.leftOut,
    logger: (plugin) => childLogger(logger, { plugin }),
    clock,
  })
  priceBook = setUp.services.get('price-book') as PriceBook | undefined
  modelBook = setUp.services.get('model-book') as ModelBook | undefined
  const ready = loaded.plugins.flatMap(({ definition, settings }): ReadyPlugin[] => {
    const hooks = setUp.hooks.get(definition.name)
    return hooks ? [{ definition, settings, hooks }] : []
  })

  const lifecycle = createLifecycle(
    [
      { name: 'connections', stop: () => connections.close() },
      { name: 'model lists', start: () => lists.start(), stop: () => lists.stop() },
      { name: 'fetch', stop: () => fetch.close() },
      { name: 'meter', stop: () => meter.release() },
      tablesPart(loaded.plugins, parts),
      ...[...instances.values()].map(providerPart),
      ...inOrder(loaded.plugins, ordered).flatMap(({ definition }) =>
        pluginPart(definition.name, setUp.hooks.get(definition.name)),
      ),
    ],
    { clock, logger },
  )
  const problems: Problem[] = [
    ...providerProblems,
    ...orderProblems,
    ...setUp.problems,
    ...ready.flatMap(checkPlugin),
    ...checkRoutes(ready),
  ]
  const compiled =
    problems.length === 0 ? compilePlan(ready, ordered.ordered, ordered.warnings) : { plan: undefined, problems: [] }
  problems.push(...compiled.problems)
  if (problems.length > 0 || !compiled.plan) {
    await lifecycle.stop()
    throw new StartupError(problems)
  }
  pipeline = new Pipeline({
    plan: compiled.plan,
    providers: instances,
    catalog,
    routing: {
      defaultModel: config.routing.default_model,
      maxAttempts: config.routing.max_attempts,
      retries: config.routing.retries_per_target,
      retryBudgetMs: config.routing.retry_budget_ms,
      hedgeAfterMs: config.routing.hedge_after_ms,
      hedgeSameTarget: config.routing.hedge_same_target,
    },
    clock,
    logger,
    telemetry,
    connections,
  })
  return { plan: compiled.plan, pipeline, providers: instances, services: setUp.services, lifecycle }
}

/** When each instance is asked for its models. */
function listTimes({ providers }: LoadedConfig['config']): Map<string, ListTime> {
  return new Map(Object.entries(providers).map(([instance, section]) => [instance, section['list_models'] as ListTime]))
}

/** The instance bare model names go to if the config names none: the only real one. Nobody's prompt goes to the test provider unasked. */
function onlyProvider(instances: ReadonlyMap<string, ProviderInstance>): string | undefined {
  const real = [...instances.values()].filter(({ type }) => type !== 'test')
  return real.length === 1 ? real[0]!.name : undefined
}

/** The order of plugins. A cycle is a problem among others, so the given order then stands in for it. */
function orderPlugins({ plugins, packages }: LoadedConfig): {
  readonly ordered: Order
  readonly problems: readonly Problem[]
} {
  const orderable = plugins.map(({ definition, order, origin }) => ({ name: definition.name, ...order, origin }))
  const known = packages.filter(({ kind }) => kind === 'plugin').map(({ name }) => name)
  try {
    return { ordered: resolveOrder(orderable, known), problems: [] }
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    const ordered = orderable.map(({ name, origin }) => ({ name, reason: origin }))
    return { ordered: { ordered, warnings: [] }, problems: error.problems }
  }
}

function inOrder(plugins: readonly SelectedPlugin[], { ordered }: Order): SelectedPlugin[] {
  const byName = new Map(plugins.map((plugin) => [plugin.definition.name, plugin]))
  return ordered.map(({ name }) => byName.get(name)!)
}

/** Brings every plugin's tables up to date, before the first plugin starts. */
function tablesPart(plugins: readonly SelectedPlugin[], parts: ProcessParts): Part {
  return {
    name: 'database',
    startTimeoutMs: databaseStartTimeoutMs,
    async start() {
      // Without tables of any plugin the database is opened by its first use, if there ever is one.
      for (const { definition } of plugins)
        if (definition.migrations) await parts.migrate(definition.name, definition.migrations)
    },
  }
}

function providerPart({ name, provider }: ProviderInstance): Part {
  return { name: `providers.${name}`, ...(provider.stop && { stop: () => provider.stop!() }) }
}

function pluginPart(name: string, hooks: Hooks | undefined): Part[] {
  if (!hooks) return []
  return [
    {
      name: `plugins.${name}`,
      ...(hooks.start && { start: () => hooks.start!() }),
      ...(hooks.stop && { stop: () => hooks.stop!() }),
    },
  ]
}

/** Two plugins with one endpoint: only the first would ever be called. */
function checkRoutes(plugins: readonly ReadyPlugin[]): Problem[] {
  const owners = new Map<string, string>()
  const problems: Problem[] = []
  for (const { definition, hooks } of plugins)
    for (const { method, path } of hooks.routes ?? []) {
      const shape = `${method} ${path.replaceAll(/:\w+/g, ':')}`
      const owner = owners.get(shape)
      if (owner === undefined) owners.set(shape, definition.name)
      else
        problems.push({
          path: `plugins.${definition.name}`,
          message: `has the route ${method} ${path}, which the plugin "${owner}" has too`,
        })
    }
  return problems
}
