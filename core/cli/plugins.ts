import type { LoadedConfig } from '../boot/config.ts'
import type { Definition, PackageDescriptor } from '../boot/discover.ts'
import type { Schema } from '../contract/plugin.ts'
import { StartupError, describeProblem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import type { Command, Input } from './command.ts'
import { configOption, UsageError } from './command.ts'
import { gatewayOptions } from './gateway-options.ts'
import { table } from './table.ts'

/** `hadrian plugins`. */
export const plugins: Command = {
  name: 'plugins',
  summary: 'List installed plugins and providers, and their options',
  usage: ['plugins [options]', 'plugins NAME [options]'],
  details:
    'Lists every installed package: whether it is on, where it comes from and its version. With a name, shows what can\n' +
    'be set for it; that runs the code of the package.',
  options: {
    config: configOption,
    options: { type: 'boolean', description: 'Show the options of everything that is on' },
    json: { type: 'boolean', description: 'Print JSON' },
  },
  words: { least: 0, most: 1 },
  async run(input) {
    const { packages, loaded, failure } = await installed(input)
    const [name] = input.words
    if (name !== undefined) return showOne(name, packages, input)
    const on = new Set(
      [...(loaded?.plugins ?? []), ...(loaded?.providers ?? [])].map(({ descriptor }) => keyOf(descriptor)),
    )
    const sorted = packages.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    if (input.options['json'] === true) {
      const rows = sorted.map(({ load: _, ...descriptor }) => ({
        ...descriptor,
        enabled: loaded ? on.has(keyOf(descriptor)) : null,
      }))
      input.print(JSON.stringify(rows, null, 2))
    } else {
      const state = (descriptor: PackageDescriptor): string => {
        if (!loaded) return '?'
        return on.has(keyOf(descriptor)) ? 'on' : 'off'
      }
      input.print(
        table(
          ['NAME', 'KIND', 'STATE', 'VERSION', 'FROM', 'DESCRIPTION'],
          sorted.map((each) => [each.name, each.kind, state(each), each.version, origin(each), each.description]),
        ),
      )
      if (input.options['options'] === true)
        for (const each of sorted.filter((descriptor) => on.has(keyOf(descriptor))))
          input.print(`\n${await describe(each)}`)
    }
    if (!failure) return 0
    for (const problem of failure.problems) input.say(describeProblem(problem))
    return 1
  },
}

/** What is installed; with a broken config too, since this list may be what shows how to repair it. */
async function installed(input: Input): Promise<{
  readonly packages: readonly PackageDescriptor[]
  readonly loaded?: LoadedConfig
  readonly failure?: StartupError
}> {
  const { loadConfig } = await import('../boot/config.ts')
  try {
    const loaded = await loadConfig(gatewayOptions(input))
    return { packages: loaded.packages, loaded }
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    const { installedPackages } = await import('./installed.ts')
    return { packages: installedPackages(input), failure: error }
  }
}

async function showOne(name: string, packages: readonly PackageDescriptor[], input: Input): Promise<number> {
  const found = packages.filter((each) => each.name === name)
  if (found.length === 0) {
    const hint = didYouMean(
      name,
      packages.map((each) => each.name),
    )
    throw new UsageError(`nothing installed is called "${name}"${hint === undefined ? '' : `. ${hint}`}`, 'plugins')
  }
  for (const [index, each] of found.entries()) input.print(`${index > 0 ? '\n' : ''}${await describe(each)}`)
  return 0
}

async function describe(descriptor: PackageDescriptor): Promise<string> {
  const { kind, name, version, description } = descriptor
  const loaded = await descriptor.load()
  if ('problem' in loaded) throw new StartupError([loaded.problem])
  const { definition } = loaded
  return [
    `${name} ${version} (${kind}, ${origin(descriptor)})`,
    ...(definition.description || description ? [definition.description || description] : []),
    '',
    optionTable(`Options, under [${kind}s.${name}]:`, definition.options),
    ...paramsOf(definition),
  ].join('\n')
}

function paramsOf(definition: Definition): string[] {
  if (!('params' in definition) || !definition.params) return []
  return ['', optionTable('Params, for clients that name it in "plugins":', definition.params)]
}

function optionTable(title: string, schema: Schema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, option]) => [
    `  ${name}`,
    typeOf(option),
    schema.required?.includes(name) ? 'required' : shown(option.default),
    option.description ?? '',
  ])
  return rows.length === 0 ? `${title} none` : `${title}\n${table(['  NAME', 'TYPE', 'DEFAULT', 'DESCRIPTION'], rows)}`
}

function typeOf(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const type = [schema.type ?? 'any'].flat().join(' | ')
  return type === 'array' && schema.items ? `list of ${typeOf(schema.items)}` : type
}

function shown(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value)
}

function origin({ source, directory }: PackageDescriptor): string {
  return source === 'bundled' ? source : `${source}: ${directory}`
}

function keyOf({ kind, name }: Pick<PackageDescriptor, 'kind' | 'name'>): string {
  return `${kind} ${name}`
}
