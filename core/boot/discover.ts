import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { PluginDefinition } from '../contract/plugin.ts'
import { pluginApi } from '../contract/plugin.ts'
import type { ProviderDefinition } from '../contract/provider.ts'
import { providerApi } from '../contract/provider.ts'
import { firstLine } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import { isTable } from './config-tree.ts'
import { shareCore } from './core-resolution.ts'
import { coreDirectory, directDependencies, packageEntry, readManifest, workspacePackages } from './packages.ts'
import type { Manifest } from './packages.ts'

/** What a package brings: hooks, or one kind of upstream. */
export type PackageKind = 'plugin' | 'provider'

/** The default export of a package. */
export type Definition = PluginDefinition | ProviderDefinition

/** A plugin or provider package that is installed. Its code has not run. */
export interface PackageDescriptor {
  readonly kind: PackageKind
  readonly name: string
  /** The contract version its package.json names. */
  readonly api: number
  /** Real path of the package, or `(memory)`. */
  readonly directory: string
  /** `bundled`: beside the running core; `dependency`: of the directory of the config file; `path`: listed in the config. */
  readonly source: 'bundled' | 'dependency' | 'path' | 'memory'
  readonly version: string
  readonly description: string
  /** Services its package.json says it provides: a hint for whoever misses one, without running its code. */
  readonly provides: readonly string[]
  /** Runs the package's code. Never rejects: what is wrong with it is a problem. */
  readonly load: () => Promise<Loaded>
}

/** What came of running a package's code. */
export type Loaded = { readonly definition: Definition } | { readonly problem: Problem }

/** Everything installed, and what is wrong with it. */
export interface Discovery {
  readonly packages: readonly PackageDescriptor[]
  readonly problems: readonly Problem[]
  /** Dependencies that the config directory's package.json names and that are not installed. */
  readonly missing: readonly string[]
}

/** Where to look. */
export interface DiscoveryOptions {
  /** The directory that holds the config file, or the working directory. */
  readonly directory: string
  /** `packages.paths` of the config, relative to `directory`. */
  readonly paths?: readonly string[]
  /** Directory of the running core, replaced in tests. */
  readonly core?: string
}

const apiOf: Record<PackageKind, number> = { plugin: pluginApi, provider: providerApi }

/**
 * Finds plugin and provider packages: beside the running core, among the direct dependencies of the config's directory,
 * and at the paths the config lists. A dependency of a dependency is never looked at, and no code runs.
 */
export function discoverPackages({ directory, paths = [], core = coreDirectory }: DiscoveryOptions): Discovery {
  const problems: Problem[] = []
  const found = new Map<string, PackageDescriptor>()
  const seen = new Set<string>()
  const dependencies = directDependencies(directory)

  const add = (at: string, source: PackageDescriptor['source'], required?: string): void => {
    const real = realpathSync(at)
    if (seen.has(real)) return
    seen.add(real)
    let manifest: Manifest | undefined
    try {
      manifest = readManifest(real)
    } catch (error) {
      problems.push({ path: required ?? real, message: `package.json is not JSON: ${firstLine(error)}` })
      return
    }
    if (manifest?.hadrian === undefined) {
      if (required !== undefined)
        problems.push({
          path: required,
          message: `${real} is no package of a plugin or provider`,
          hint: 'Its package.json needs "hadrian": { "kind": "plugin", "name": "...", "api": 1 }.',
        })
      return
    }
    const described = describe(real, manifest, source)
    if ('problem' in described) {
      problems.push(described.problem)
      return
    }
    const key = `${described.kind} ${described.name}`
    const other = found.get(key)
    if (other !== undefined)
      problems.push({
        path: `${described.kind}s.${described.name}`,
        message: `two packages are called "${described.name}": ${other.directory} and ${described.directory}`,
        hint: 'Remove one of them.',
      })
    else found.set(key, described)
  }

  for (const at of workspacePackages(core)) add(at, 'bundled')
  for (const at of dependencies.installed) add(at, 'dependency')
  for (const [index, path] of paths.entries()) {
    const at = resolve(directory, path)
    if (existsSync(at)) add(at, 'path', `packages.paths[${index}]`)
    else problems.push({ path: `packages.paths[${index}]`, message: `there is no directory ${at}` })
  }
  return { packages: [...found.values()], problems, missing: dependencies.missing }
}

/** Wraps a definition that is in memory already, for tests and for embedding the gateway in a program. */
export function memoryPackage(kind: PackageKind, definition: Definition): PackageDescriptor {
  return {
    kind,
    name: definition.name,
    api: definition.api,
    directory: '(memory)',
    source: 'memory',
    version: '0.0.0',
    description: definition.description ?? '',
    provides: ('provides' in definition && definition.provides) || [],
    load: () => Promise.resolve(checkDefinition(kind, definition.name, '(memory)', definition)),
  }
}

function describe(
  directory: string,
  manifest: Manifest,
  source: PackageDescriptor['source'],
): PackageDescriptor | { readonly problem: Problem } {
  const refuse = (message: string, hint?: string): { problem: Problem } => ({
    problem: { path: `${directory}/package.json`, message, ...(hint !== undefined && { hint }) },
  })
  const field = manifest.hadrian
  if (!isTable(field)) return refuse('"hadrian" must be an object with kind, name and api')
  const { kind, name, api, provides } = field as Record<string, unknown>
  if (kind !== 'plugin' && kind !== 'provider')
    return refuse(
      '"hadrian.kind" must be "plugin" or "provider"',
      typeof kind === 'string' ? didYouMean(kind, ['plugin', 'provider']) : undefined,
    )
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,63}$/.test(name))
    return refuse('"hadrian.name" must be a kebab-case name such as "rate-limit"')
  if (!Number.isInteger(api)) return refuse('"hadrian.api" must be the number of the contract version')
  return {
    kind,
    name,
    api: api as number,
    directory,
    source,
    version: typeof manifest.version === 'string' ? manifest.version : '0.0.0',
    description: typeof manifest.description === 'string' ? manifest.description : '',
    provides: Array.isArray(provides) ? provides.filter((service) => typeof service === 'string') : [],
    load: () => load(kind, name, api as number, directory, manifest),
  }
}

async function load(
  kind: PackageKind,
  name: string,
  api: number,
  directory: string,
  manifest: Manifest,
): Promise<Loaded> {
  const path = `${kind}s.${name}`
  if (api !== apiOf[kind])
    return {
      problem: {
        path,
        message: `${directory} is written for version ${api} of the ${kind} contract; this gateway has version ${apiOf[kind]}`,
        hint: api > apiOf[kind] ? 'Update the gateway.' : `Update the ${kind}.`,
      },
    }
  const entry = packageEntry(directory, manifest)
  if (entry === undefined)
    return {
      problem: {
        path,
        message: `${directory} has no file to load`,
        hint: 'Its package.json must name one under "exports" or "main"; build the package if it has not been.',
      },
    }
  shareCore()
  let loaded: unknown
  try {
    loaded = await import(pathToFileURL(entry).href)
  } catch (error) {
    const code = isTable(error) ? error['code'] : undefined
    return {
      problem: {
        path,
        message: `${directory} could not be loaded: ${firstLine(error)}`,
        ...(code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING' && {
          hint: 'Packages under node_modules must ship JavaScript.',
        }),
      },
    }
  }
  return checkDefinition(kind, name, directory, (loaded as { default?: unknown }).default)
}

/** Whether what a package exports is a definition of the kind and name its package.json says. */
function checkDefinition(kind: PackageKind, name: string, directory: string, exported: unknown): Loaded {
  const path = `${kind}s.${name}`
  const wrong = (message: string): Loaded => ({ problem: { path, message: `${directory} ${message}` } })
  const maker = kind === 'plugin' ? 'definePlugin' : 'defineProvider'
  if (!isTable(exported)) return wrong(`must export default ${maker}({ ... })`)
  const definition = exported as Record<string, unknown>
  if (definition['name'] !== name)
    return wrong(`exports a ${kind} called ${JSON.stringify(definition['name'])}, its package.json says "${name}"`)
  if (definition['api'] !== apiOf[kind])
    return wrong(
      `is written for version ${String(definition['api'])} of the ${kind} contract; this gateway has version ${apiOf[kind]}`,
    )
  if (typeof definition['setup'] !== 'function') return wrong('has no setup function')
  const { options } = definition
  if (!isTable(options) || options['type'] !== 'object')
    return wrong('has no "options" schema of type object; an empty one is { type: "object" }')
  return { definition: exported as unknown as Definition }
}
