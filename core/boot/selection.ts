import type { JsonObject, PluginDefinition } from '../contract/plugin.ts'
import type { ProviderDefinition } from '../contract/provider.ts'
import type { Problem } from '../services/problems.ts'
import { nearest } from '../services/spelling.ts'
import { configPath } from './config-path.ts'
import { isTable } from './config-tree.ts'
import type { ConfigTree } from './config-tree.ts'
import type { Definition, Discovery, PackageDescriptor, PackageKind } from './discover.ts'
import { memoryPackage } from './discover.ts'

/** Plugins that are on unless the config says `enabled = false`, in their given order. */
export const defaultPlugins: readonly string[] = [
  'identity',
  'auth',
  'rate-limit',
  'budget',
  'pricing',
  'models',
  'target-health',
  'router',
  'usage-log',
]

/** Bundled plugins that need no credential: a client may name them without any config. */
export const onRequestPlugins: readonly string[] = ['file-parser', 'context-compression', 'response-healing']

/** A plugin definition that is in memory, with what would stand under `[plugins.NAME]`. */
export type MemoryPlugin = readonly [definition: PluginDefinition, settings?: JsonObject]

/** A provider definition that is in memory, what would stand under `[providers.INSTANCE]`, and the instance's name. */
export type MemoryProvider = readonly [definition: ProviderDefinition, settings?: JsonObject, instance?: string]

/** A plugin that will run. */
export interface ChosenPlugin {
  readonly definition: PluginDefinition
  readonly descriptor: PackageDescriptor
  /** Why it stands where it stands: `default`, `config[0]`. */
  readonly origin: string
}

/** A provider instance that will be made. */
export interface ChosenProvider {
  readonly instance: string
  readonly definition: ProviderDefinition
  readonly descriptor: PackageDescriptor
}

/** What the config, the environment and the defaults choose among everything installed. */
export interface Selection {
  readonly plugins: readonly ChosenPlugin[]
  readonly providers: readonly ChosenProvider[]
  /** Everything installed, packages in memory in place of those they replace. */
  readonly packages: readonly PackageDescriptor[]
  readonly problems: readonly Problem[]
}

/** What {@link selectPackages} chooses from. */
export interface SelectionOptions {
  readonly built: ConfigTree
  readonly discovery: Discovery
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly plugins?: readonly MemoryPlugin[]
  readonly providers?: readonly MemoryProvider[]
}

/**
 * Decides which plugins and provider instances there are, loads their code and no other, and writes the sections that
 * the defaults stand for into the tree.
 */
export async function selectPackages(options: SelectionOptions): Promise<Selection> {
  const { built, discovery, plugins: memoryPlugins = [], providers: memoryProviders = [] } = options
  const problems: Problem[] = []
  const memory = [
    ...memoryPlugins.map(([definition]) => memoryPackage('plugin', definition)),
    ...memoryProviders.map(([definition]) => memoryPackage('provider', definition)),
  ]
  const installed = new Map(
    [...discovery.packages, ...memory].map((descriptor) => [`${descriptor.kind} ${descriptor.name}`, descriptor]),
  )
  const find = (kind: PackageKind, name: string): PackageDescriptor | undefined => installed.get(`${kind} ${name}`)
  const load = async (descriptor: PackageDescriptor): Promise<Definition | undefined> => {
    const loaded = await descriptor.load()
    if ('definition' in loaded) return loaded.definition
    problems.push(loaded.problem)
    return undefined
  }

  const pluginTable = section(built, 'plugins')
  for (const [definition, settings = {}] of memoryPlugins)
    pluginTable[definition.name] = { ...structuredClone(settings), ...table(pluginTable[definition.name]) }
  const plugins: ChosenPlugin[] = []
  for (const { name, origin } of pluginNames(pluginTable, memoryPlugins)) {
    const descriptor = find('plugin', name)
    if (descriptor === undefined) {
      problems.push(unknownPackage('plugin', name, configPath(['plugins', name]), [...installed.values()], discovery))
      continue
    }
    const definition = await load(descriptor)
    if (definition === undefined) continue
    if (!Object.hasOwn(pluginTable, name)) pluginTable[name] = {}
    plugins.push({ definition: definition as PluginDefinition, descriptor, origin })
  }

  const providerTable = section(built, 'providers')
  if (Object.keys(providerTable).length === 0 && memoryProviders.length === 0)
    await addDefaultProviders(options, providerTable, load)
  for (const [definition, settings = {}, instance = definition.name] of memoryProviders)
    providerTable[instance] = { type: definition.name, ...structuredClone(settings), ...table(providerTable[instance]) }
  const providers: ChosenProvider[] = []
  for (const [instance, value] of Object.entries(providerTable)) {
    const { type } = table(value)
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(instance)) {
      problems.push({
        path: configPath(['providers', instance]),
        message: 'the name of a provider is the prefix of its models: letters, digits, ".", "_" and "-" only',
      })
      continue
    }
    const name = typeof type === 'string' ? type : instance
    const descriptor = find('provider', name)
    if (descriptor === undefined) {
      const path = configPath(['providers', instance, ...(typeof type === 'string' ? ['type'] : [])])
      if (!built.broken.has(path))
        problems.push(unknownPackage('provider', name, path, [...installed.values()], discovery))
      continue
    }
    const definition = await load(descriptor)
    if (definition !== undefined) providers.push({ instance, definition: definition as ProviderDefinition, descriptor })
  }
  return { plugins, providers, packages: [...installed.values()], problems }
}

/** Names of plugins that are on, in their given order: defaults, then those a client may name, then the config's. */
function pluginNames(
  configured: Readonly<Record<string, unknown>>,
  memory: readonly MemoryPlugin[],
): { name: string; origin: string }[] {
  const inMemory = new Set(memory.map(([{ name }]) => name))
  const named = Object.keys(configured)
  const names = new Map<string, string>()
  for (const name of defaultPlugins) names.set(name, 'default')
  for (const name of onRequestPlugins) if (!named.includes(name)) names.set(name, 'default')
  for (const [index, name] of named.entries())
    if (!names.has(name)) names.set(name, inMemory.has(name) ? 'memory' : `config[${index}]`)
  return [...names]
    .filter(([name]) => table(configured[name])['enabled'] !== false)
    .map(([name, origin]) => ({ name, origin }))
}

/** Makes the instances for which every environment variable is set. */
async function addDefaultProviders(
  { built, discovery, environment }: SelectionOptions,
  providerTable: Record<string, unknown>,
  load: (descriptor: PackageDescriptor) => Promise<Definition | undefined>,
): Promise<void> {
  for (const descriptor of discovery.packages) {
    if (descriptor.kind !== 'provider' || descriptor.source !== 'bundled') continue
    const definition = (await load(descriptor)) as ProviderDefinition | undefined
    for (const { instance, environment: variables, options = {} } of definition?.defaults ?? []) {
      if (!Object.keys(variables).every((variable) => Boolean(environment[variable]))) continue
      const values = Object.entries(variables).map(([variable, option]) => [option, environment[variable]] as const)
      providerTable[instance] = { type: descriptor.name, ...structuredClone(options), ...Object.fromEntries(values) }
      for (const [variable, option] of Object.entries(variables))
        built.sources.set(configPath(['providers', instance, option]), { kind: 'environment', variables: [variable] })
    }
  }
}

function unknownPackage(
  kind: PackageKind,
  name: string,
  path: string,
  installed: readonly PackageDescriptor[],
  { missing }: Discovery,
): Problem {
  const names = installed.filter((descriptor) => descriptor.kind === kind).map((descriptor) => descriptor.name)
  const [near] = nearest(name, names)
  const uninstalled = missing.filter((dependency) => dependency.includes(name))
  let hint = `Installed: ${names.toSorted().join(', ') || 'none'}.`
  if (near !== undefined) hint = `Did you mean "${near}"?`
  else if (uninstalled.length > 0)
    hint = `package.json names ${uninstalled[0]!}, which is not installed: run npm install.`
  else if (kind === 'provider') hint += ' For a compatible upstream set type = "openai" and base_url.'
  return { path, message: `no installed ${kind} is called "${name}"`, hint }
}

/** A top-level section of the tree, made if it is missing. One that is no table is left for validation. */
function section({ tree }: ConfigTree, name: string): Record<string, unknown> {
  if (!Object.hasOwn(tree, name)) tree[name] = {}
  return table(tree[name])
}

function table(value: unknown): Record<string, unknown> {
  return isTable(value) ? value : {}
}
