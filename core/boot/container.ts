import { asFunction, asValue, createContainer, InjectionMode, AwilixResolutionError } from 'awilix'
import { isGatewayError } from '../contract/plugin.ts'
import type {
  Clock,
  Hooks,
  JsonObject,
  Logger,
  PluginDefinition,
  RequestMistake,
  Services,
} from '../contract/plugin.ts'
import { firstLine } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import { withDeadline } from './deadline.ts'

/** A plugin to set up, its options validated. */
export interface PluginToSetUp {
  readonly definition: PluginDefinition
  readonly options: JsonObject
}

/** A plugin that cannot be set up. */
export type LeftOut = Pick<PluginDefinition, 'name' | 'provides'>

/** What came of setting plugins up. */
export interface SetUp {
  /** Hooks by plugin, of those whose setup succeeded; in the order of their setups. */
  readonly hooks: ReadonlyMap<string, Hooks>
  /** The core's services and those plugins provide. */
  readonly services: ReadonlyMap<string, unknown>
  /** Why the gateway cannot start; the plugins that were set up must then be stopped. */
  readonly problems: readonly Problem[]
}

/** What {@link setUpPlugins} needs besides the plugins. */
export interface SetUpOptions {
  /** The core's services by name, without `logger`, which every plugin has one of its own of. */
  readonly services: Readonly<Omit<Services, 'logger'>>
  /** Services of installed plugins that may be off, each with its plugin: for hints. */
  readonly offered?: ReadonlyMap<string, string>
  /** Plugins with a mistake that is told already: they and those that need their services are passed over. */
  readonly leftOut?: readonly LeftOut[]
  readonly logger: (plugin: string) => Logger
  readonly clock: Clock
  /** Deadline of each setup; default 30 seconds. */
  readonly timeoutMs?: number
}

/** Given to every plugin, besides the services. */
const ownServices: readonly string[] = ['options', 'logger']

/**
 * Sets every plugin up once, as an awilix singleton: those that provide services before those that require them, apart
 * from that in the given order. A plugin sees only what it destructures, and nothing else is resolved for it.
 */
export async function setUpPlugins(plugins: readonly PluginToSetUp[], options: SetUpOptions): Promise<SetUp> {
  const { services, logger, clock, timeoutMs = 30_000 } = options
  const core = new Set([...Object.keys(services), ...ownServices])
  const providers = new Map<string, string>()
  const failed = new Set((options.leftOut ?? []).map(({ name }) => name))
  const definitions = plugins.map(({ definition }) => definition)
  const problems: Problem[] = [...checkProvided([...definitions, ...(options.leftOut ?? [])], core, providers)]
  problems.push(...checkRequired(plugins, core, providers, options.offered))
  const { sorted, cycle } = sortByServices(plugins, providers, failed)
  if (cycle) problems.push(cycle)
  if (problems.length > 0) return { hooks: new Map(), services: new Map(Object.entries(services)), problems }

  const container = createContainer({ injectionMode: InjectionMode.PROXY, strict: true })
  const available = new Map<string, unknown>(Object.entries(services))
  for (const [name, value] of available) container.register(name, asValue(value))
  const hooks = new Map<string, Hooks>()
  for (const { definition, options: pluginOptions } of sorted) {
    const { name } = definition
    if ((definition.requires ?? []).some((service) => failed.has(providers.get(service) ?? ''))) {
      failed.add(name)
      continue
    }
    const registration = `plugin:${name}`
    container.register(
      registration,
      asFunction((injected: Services & { options: JsonObject }) => definition.setup(injected))
        .singleton()
        .inject(() => ({ options: pluginOptions, logger: logger(name) })),
    )
    try {
      const returned = await withDeadline(clock, timeoutMs, () => container.resolve<Hooks | undefined>(registration))
      const plugin = returned ?? {}
      hooks.set(name, plugin)
      for (const service of definition.provides ?? []) {
        const value = plugin.services?.[service]
        if (value === undefined) throw new Error(`says it provides the service "${service}", and setup returned none`)
        available.set(service, value)
        container.register(service, asValue(value))
      }
      const undeclared = Object.keys(plugin.services ?? {}).filter((key) => !definition.provides?.includes(key))
      if (undeclared.length > 0)
        throw new Error(`setup returned the service "${undeclared[0]!}", which is not listed in "provides"`)
    } catch (error) {
      failed.add(name)
      problems.push(...describeFailure(name, error, providers, [...available.keys(), ...ownServices]))
    }
  }
  return { hooks, services: available, problems }
}

function checkProvided(
  plugins: readonly LeftOut[],
  core: ReadonlySet<string>,
  providers: Map<string, string>,
): Problem[] {
  const problems: Problem[] = []
  for (const { name, provides } of plugins)
    for (const service of provides ?? []) {
      const other = core.has(service) ? 'the core' : providers.get(service)
      if (other === undefined) providers.set(service, name)
      else
        problems.push({
          path: `plugins.${name}`,
          message: `provides the service "${service}", which ${other === 'the core' ? other : `"${other}"`} provides already`,
          ...(other !== 'the core' && { hint: 'Switch one of them off with enabled = false.' }),
        })
    }
  return problems
}

/** All services that are required and missing, in one problem. */
function checkRequired(
  plugins: readonly PluginToSetUp[],
  core: ReadonlySet<string>,
  providers: ReadonlyMap<string, string>,
  offered: ReadonlyMap<string, string> = new Map(),
): Problem[] {
  const missing = new Map<string, string[]>()
  for (const { definition } of plugins)
    for (const service of definition.requires ?? [])
      if (!core.has(service) && !providers.has(service))
        missing.set(service, [...(missing.get(service) ?? []), `"${definition.name}"`])
  if (missing.size === 0) return []
  const lines = [...missing].map(([service, users]) => `"${service}" (required by ${users.join(' and ')})`)
  const hints = [...missing.keys()].map((service) => {
    const plugin = offered.get(service)
    if (plugin !== undefined)
      return `"${service}" is provided by the plugin "${plugin}": enable it with [plugins.${plugin}].`
    return didYouMean(service, [...core, ...providers.keys()]) ?? `Nothing installed provides "${service}".`
  })
  return [{ path: 'plugins', message: `services are missing: ${lines.join(', ')}`, hint: hints.join(' ') }]
}

/** Stable: among the plugins whose services are all there, the first in the given order comes next. */
function sortByServices(
  plugins: readonly PluginToSetUp[],
  providers: ReadonlyMap<string, string>,
  leftOut: ReadonlySet<string>,
): { readonly sorted: PluginToSetUp[]; readonly cycle?: Problem } {
  const waiting = [...plugins]
  const done = new Set(leftOut)
  const sorted: PluginToSetUp[] = []
  const blocking = ({ definition }: PluginToSetUp): string[] =>
    (definition.requires ?? []).filter((service) => {
      const provider = providers.get(service)
      return provider !== undefined && !done.has(provider)
    })
  while (waiting.length > 0) {
    const next = waiting.findIndex((plugin) => blocking(plugin).length === 0)
    if (next === -1) {
      const edges = waiting.flatMap((plugin) =>
        blocking(plugin).map(
          (service) => `"${plugin.definition.name}" requires "${service}" of "${providers.get(service)!}"`,
        ),
      )
      return {
        sorted,
        cycle: { path: 'plugins', message: `plugins require each other's services in a cycle: ${edges.join(', ')}` },
      }
    }
    const [plugin] = waiting.splice(next, 1)
    done.add(plugin!.definition.name)
    sorted.push(plugin!)
  }
  return { sorted }
}

/** An `invalidRequest` of a setup is about its options, which a schema cannot check to the end: each mistake is told. */
function describeFailure(
  plugin: string,
  error: unknown,
  providers: ReadonlyMap<string, string>,
  available: readonly string[],
): Problem[] {
  const path = `plugins.${plugin}`
  const mistakes =
    isGatewayError(error) && error.code === 'invalid_request_error' ? error.details?.['errors'] : undefined
  if (Array.isArray(mistakes))
    return (mistakes as RequestMistake[]).map((mistake) => ({
      path: `${path}.${mistake.path}`,
      message: mistake.message,
    }))
  const service = error instanceof AwilixResolutionError ? unresolved(error) : undefined
  if (service === undefined) return [{ path, message: `setup failed: ${firstLine(error)}` }]
  const provider = providers.get(service)
  const hint =
    provider === undefined
      ? (didYouMean(service, available) ?? `Services: ${available.toSorted().join(', ')}.`)
      : `"${provider}" provides it: the plugin must list it in "requires".`
  return [{ path, message: `setup asks for the service "${service}", which does not exist`, hint }]
}

/** The name awilix could not resolve, which it gives in its message only. */
function unresolved(error: Error): string | undefined {
  return /Could not resolve '(.+?)'/.exec(error.message)?.[1]
}
