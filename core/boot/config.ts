import type { JsonObject, PluginDefinition, Schema } from '../contract/plugin.ts'
import type { ProviderDefinition } from '../contract/provider.ts'
import type { PluginSettings } from '../pipeline/plan.ts'
import type { JournalSync } from '../services/journal/index.ts'
import { checkConfig } from './config-check.ts'
import { ConfigError } from './config-failure.ts'
import { readConfigFile } from './config-file.ts'
import { checkReferences } from './config-references.ts'
import { composeSchema, pluginKeys, providerKeys } from './config-schema.ts'
import type { PackageSection } from './config-schema.ts'
import { buildConfigTree, isTable } from './config-tree.ts'
import type { LeftOut } from './container.ts'
import type { Source } from './config-tree.ts'
import { discoverPackages } from './discover.ts'
import type { PackageDescriptor } from './discover.ts'
import { selectPackages } from './selection.ts'
import type { ChosenPlugin, ChosenProvider, MemoryPlugin, MemoryProvider } from './selection.ts'
import { takeOutMistakes } from './usable-config.ts'
import type { Usable } from './usable-config.ts'

/** Deadlines of upstream calls, in milliseconds. */
export interface Timeouts {
  readonly connect_ms: number
  readonly first_byte_ms: number
  readonly idle_ms: number
  readonly total_ms: number
}

/** What is known of a model or a target. Prices are dollars. */
export interface ModelInfoConfig {
  readonly name?: string
  readonly context_length?: number
  readonly max_output_tokens?: number
  readonly input_modalities?: readonly string[]
  readonly output_modalities?: readonly string[]
  readonly supported_parameters?: readonly string[]
  readonly quantization?: string
  readonly data_policy?: { readonly retention_days?: number; readonly training?: boolean; readonly region?: string }
  readonly distillable?: boolean
  readonly slug?: string
  readonly weight?: number
  /** As `readPrices` of the contract takes them. */
  readonly prices?: JsonObject
}

/** A catalog entry of the file. */
export interface ModelConfig extends ModelInfoConfig {
  readonly targets?: readonly (string | (ModelInfoConfig & { readonly target: string }))[]
  readonly aliases: readonly string[]
}

/** The config as the file spells it, validated, with defaults filled in. `schemas/config.schema.json` explains each key. */
export interface Config {
  readonly server: {
    readonly host: string
    readonly port: number
    readonly body_limit_bytes: number
    readonly allow_anonymous: boolean
    readonly trusted_proxies: readonly string[]
    readonly shutdown_timeout_ms: number
    readonly keep_alive_interval_ms: number
    readonly metrics: boolean
  }
  readonly database: { readonly url?: string }
  readonly journal: { readonly sync: JournalSync }
  readonly routing: {
    readonly default_provider?: string
    readonly default_model?: string
    readonly max_attempts: number
    readonly retries_per_target: number
    readonly retry_budget_ms: number
    readonly hedge_after_ms?: number
    readonly hedge_same_target: boolean
  }
  readonly timeouts: Timeouts
  readonly providers: Readonly<Record<string, JsonObject>>
  readonly plugins: Readonly<Record<string, JsonObject>>
  readonly models: Readonly<Record<string, ModelConfig>>
  readonly packages: { readonly paths: readonly string[] }
  readonly fetch: { readonly allow: readonly string[] }
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; readonly pretty?: boolean }
  readonly telemetry: { readonly service_name: string }
}

/** A plugin that will run, with what the operator set. */
export interface SelectedPlugin {
  readonly definition: PluginDefinition
  readonly descriptor: PackageDescriptor
  /** Why it stands where it stands: `default`, `config[0]`. */
  readonly origin: string
  readonly settings: PluginSettings
  /** The config's constraints if it has some, else the plugin's own. */
  readonly order: { readonly before: readonly string[]; readonly after: readonly string[] }
  readonly options: JsonObject
}

/** A provider instance that will be made, with what the operator set. */
export interface SelectedProvider {
  readonly instance: string
  readonly definition: ProviderDefinition
  readonly descriptor: PackageDescriptor
  /** Its own deadlines where it has some, else those of all. */
  readonly timeouts: Timeouts
  readonly options: JsonObject
}

/** Everything the start needs to know. */
export interface LoadedConfig {
  readonly config: Config
  /** The file it came from, or undefined if there is none. */
  readonly file: string | undefined
  readonly directory: string
  readonly plugins: readonly SelectedPlugin[]
  /** Plugins that would be among them but for a mistake in their section; always empty in a config that can run. */
  readonly leftOut: readonly LeftOut[]
  readonly providers: readonly SelectedProvider[]
  /** Everything installed, used or not. */
  readonly packages: readonly PackageDescriptor[]
  /** What the config was validated against: the core's schema and that of every package in use. */
  readonly schema: Schema
  /** By config path; a value without an entry is a default. */
  readonly sources: ReadonlyMap<string, Source>
}

/** Where the config comes from. */
export interface ConfigOptions {
  /** Path of the file; default: HADRIAN_CONFIG, then `hadrian.toml` of the working directory, then no file. */
  readonly configFile?: string
  /** The content of a file, parsed already, instead of a file. */
  readonly config?: JsonObject
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly workingDirectory?: string
  /** Directory of the running core, replaced in tests. */
  readonly core?: string
  readonly plugins?: readonly MemoryPlugin[]
  readonly providers?: readonly MemoryProvider[]
}

/**
 * Reads the config, finds and loads the packages it needs, and validates everything against one composed schema.
 *
 * A file without any `[providers.*]` leaves the providers to the environment, as if there were no file.
 *
 * @throws StartupError with every mistake at once
 */
export async function loadConfig(options: ConfigOptions = {}): Promise<LoadedConfig> {
  const { environment = process.env, workingDirectory = process.cwd() } = options
  const file = options.config
    ? { path: undefined, directory: workingDirectory, content: options.config }
    : readConfigFile(options.configFile, environment, workingDirectory)
  const built = buildConfigTree(file.content, environment)
  const { packages } = built.tree
  const paths = isTable(packages) && Array.isArray(packages['paths']) ? packages['paths'] : []
  const discovery = discoverPackages({
    directory: file.directory,
    paths: paths.filter((path): path is string => typeof path === 'string'),
    ...(options.core !== undefined && { core: options.core }),
  })
  const selection = await selectPackages({
    built,
    discovery,
    environment,
    ...(options.plugins && { plugins: options.plugins }),
    ...(options.providers && { providers: options.providers }),
  })
  const { schema, problems } = composeSchema(packageSections(built.tree, selection.plugins, selection.providers))
  const mistakes = [
    ...built.problems,
    ...discovery.problems,
    ...selection.problems,
    ...problems,
    ...checkConfig(built, schema),
    ...checkReferences(built, selection.plugins),
  ]
  const load = (used: Used): LoadedConfig => {
    const config = built.tree as unknown as Config
    return {
      config,
      file: file.path,
      directory: file.directory,
      plugins: used.plugins.map((plugin) => selectPlugin(plugin, config)),
      leftOut: used.leftOut ?? [],
      providers: used.providers.map((provider) => selectProvider(provider, config)),
      packages: selection.packages,
      schema: used.schema,
      sources: built.sources,
    }
  }
  if (mistakes.length === 0) return load({ ...selection, schema })
  const compose = (kept: readonly ChosenPlugin[], instances: readonly ChosenProvider[]): Schema =>
    composeSchema(packageSections(built.tree, kept, instances)).schema
  const usable = takeOutMistakes(built, selection, mistakes, compose)
  throw new ConfigError(mistakes, usable && load(usable))
}

/** What of a config becomes a {@link LoadedConfig}: all of it, unless there are mistakes. */
type Used = Pick<Usable, 'plugins' | 'providers' | 'schema'> & Partial<Pick<Usable, 'leftOut'>>

/** The schemas of all sections under `[plugins]` and `[providers]`, of those that are off or unknown too. */
function packageSections(
  tree: Readonly<Record<string, unknown>>,
  plugins: readonly ChosenPlugin[],
  providers: readonly ChosenProvider[],
): PackageSection[] {
  const pluginDefinitions = new Map(plugins.map(({ definition }) => [definition.name, definition]))
  const providerDefinitions = new Map(providers.map(({ instance, definition }) => [instance, definition]))
  const names = (section: string): string[] => (isTable(tree[section]) ? Object.keys(tree[section]) : [])
  return [
    ...names('plugins').map((name) => ({ kind: 'plugin' as const, name, definition: pluginDefinitions.get(name) })),
    ...names('providers').map((name) => ({
      kind: 'provider' as const,
      name,
      definition: providerDefinitions.get(name),
    })),
  ]
}

function selectPlugin({ definition, descriptor, origin }: ChosenPlugin, config: Config): SelectedPlugin {
  const section = config.plugins[definition.name] as JsonObject & {
    readonly apply?: PluginSettings['apply']
    readonly params: Readonly<Record<string, unknown>>
    readonly locked: readonly string[]
    readonly client_may_disable: boolean
    readonly order?: { readonly before?: readonly string[]; readonly after?: readonly string[] }
    readonly timeout_ms: number
    readonly failure?: PluginSettings['failure']
  }
  return {
    definition,
    descriptor,
    origin,
    settings: {
      apply: section.apply ?? (definition.params && !definition.guardrail ? 'on-request' : 'always'),
      params: section.params,
      locked: section.locked,
      clientMayDisable: section.client_may_disable,
      timeoutMs: section.timeout_ms,
      failure: section.failure ?? definition.failure ?? 'closed',
    },
    order: {
      before: section.order?.before ?? definition.order?.before ?? [],
      after: section.order?.after ?? definition.order?.after ?? [],
    },
    options: without(section, pluginKeys),
  }
}

function selectProvider({ instance, definition, descriptor }: ChosenProvider, config: Config): SelectedProvider {
  const section = config.providers[instance]!
  return {
    instance,
    definition,
    descriptor,
    timeouts: { ...config.timeouts, ...(section['timeouts'] as Partial<Timeouts> | undefined) },
    options: without(section, providerKeys),
  }
}

function without(section: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(section).filter(([key]) => !keys.includes(key)))
}
