import type { Schema } from '../contract/plugin.ts'
import type { ProviderDefinition } from '../contract/provider.ts'

/** What {@link configTemplate} writes a first config of. */
export interface TemplateSource {
  /** The schema of every config that is possible here. */
  readonly schema: Schema
  readonly providers: ReadonlyMap<string, ProviderDefinition>
  /** Plugins that are on without being named. */
  readonly defaultPlugins: readonly string[]
  /** Plugins that run for requests that name or need them, without being named here. */
  readonly onRequestPlugins: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The schema's file, beside the config. */
  readonly schemaFile: string
}

const lineWidth = 100
/** Sections with tables of the operator's own naming, which have examples in place of options. */
const namedTables = new Set(['providers', 'plugins', 'models'])

/**
 * A first `hadrian.toml`: every option there is, with what it means. Lines that would change nothing are commented out;
 * providers whose keys are in the environment are not.
 */
export function configTemplate(source: TemplateSource): string {
  const { properties = {} } = source.schema
  const sections = Object.entries(properties)
    .filter(([name]) => !namedTables.has(name))
    .map(([name, section]) => table({ name, section, isOn: true }))
  return [
    `#:schema ./${source.schemaFile}`,
    '',
    ...paragraph(
      'The config of Hadrian. What is commented out shows the default; delete what you do not need. ${NAME} and ' +
        '${NAME:-default} in a string stand for variables of the environment. "hadrian check" says everything that is ' +
        'wrong here, "hadrian plan" shows what will run.',
    ),
    '',
    ...sections.flatMap((lines) => [...lines, '']),
    ...providerLines(source),
    ...modelLines,
    ...pluginLines(source),
  ].join('\n')
}

function providerLines({ schema, providers, environment }: TemplateSource): string[] {
  const composed = schema.properties?.['providers']?.properties ?? {}
  const lines = [
    ...paragraph(
      'Providers: where models are. The name of an instance is the prefix of its models. Without any of these sections ' +
        'every provider whose key is in the environment is there, and the provider "test".',
    ),
    '',
  ]
  for (const [name, { defaults = [] }] of providers) {
    const found = defaults.filter(
      ({ environment: variables }) =>
        Object.keys(variables).length > 0 && Object.keys(variables).every((variable) => Boolean(environment[variable])),
    )
    const section = withoutKernelKeys(composed[name] ?? {})
    for (const { instance, environment: variables, options = {} } of found) {
      const values = Object.entries(variables).map(([variable, option]) => [option, `\${${variable}}`])
      const set = { ...(instance !== name && { type: name }), ...options, ...Object.fromEntries(values) }
      lines.push(...table({ name: `providers.${instance}`, section, isOn: true, set }), '')
    }
    // Those that need nothing are there without a file, and should not go with the first one.
    const isFree = defaults.some(({ environment: variables }) => Object.keys(variables).length === 0)
    if (found.length === 0) lines.push(...table({ name: `providers.${name}`, section, isOn: isFree }), '')
  }
  return lines
}

const modelLines = [
  '# Names of your own for targets, in order of preference.',
  '',
  '# [models.fast]',
  '# targets = ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]',
  '',
]

function pluginLines({ schema, defaultPlugins, onRequestPlugins }: TemplateSource): string[] {
  const composed = schema.properties?.['plugins']?.properties ?? {}
  const names = Object.keys(composed)
  const on = defaultPlugins.filter((name) => names.includes(name))
  const onRequest = onRequestPlugins.filter((name) => names.includes(name))
  const off = names.filter((name) => !on.includes(name) && !onRequest.includes(name))
  const tables = (list: readonly string[], isOn: boolean): string[] =>
    list.flatMap((name) => [
      ...table({ name: `plugins.${name}`, section: withoutKernelKeys(composed[name]!), isOn }),
      '',
    ])
  return [
    ...paragraph('Plugins that are on; "enabled = false" switches one off.'),
    '',
    ...tables(on, true),
    ...paragraph('Plugins that clients may name in "plugins"; "enabled = false" takes one away from them.'),
    '',
    ...tables(onRequest, true),
    ...paragraph('Plugins that are off until their section is there.'),
    '',
    ...tables(off, false),
  ]
}

/** Keys that every plugin and provider has: they would be repeated in each section, and are seldom of use. */
function withoutKernelKeys(section: Schema): Schema {
  const kernel = new Set(['type', 'enabled', 'order', 'timeout_ms', 'failure', 'apply', 'params', 'locked', 'timeouts'])
  const { properties = {}, ...rest } = section
  const kept = Object.entries(properties).filter(([name]) => !kernel.has(name) && name !== 'client_may_disable')
  return { ...rest, properties: Object.fromEntries(kept) }
}

function table(entry: {
  readonly name: string
  readonly section: Schema
  readonly isOn: boolean
  /** Keys with a value that is no default. */
  readonly set?: Readonly<Record<string, unknown>>
}): string[] {
  const { name, section, isOn, set = {} } = entry
  const lines = [
    ...(section.description === undefined ? [] : paragraph(section.description)),
    `${isOn ? '' : '# '}[${name}]`,
    ...assignments(set),
  ]
  const required = new Set(section.required)
  for (const [key, property] of Object.entries(section.properties ?? {})) {
    if (Object.hasOwn(set, key)) continue
    const note = required.has(key) ? 'Required. ' : ''
    if (property.description !== undefined) lines.push(...paragraph(note + property.description))
    lines.push(`# ${key} = ${property.default === undefined ? placeholder(property) : toml(property.default)}`)
  }
  return lines
}

/** An example of what has no default; the comment behind it tells it from one. */
function placeholder(property: Schema): string {
  if (property.enum) return `${toml(property.enum[0])} # or ${property.enum.slice(1).map(toml).join(', ')}`
  const type = [property.type ?? 'string'].flat()[0]
  if (type === 'integer' || type === 'number') return `${Number(property['minimum'] ?? 1)} # a number`
  if (type === 'boolean') return 'true # or false'
  if (type === 'array') return '[] # a list'
  if (type !== 'object') return '"..." # a text'
  const keys = Object.keys(property.properties ?? {})
  return keys.length === 0 ? '{} # keys of your own' : `{} # with ${keys.join(', ')}`
}

function assignments(options: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options).map(([key, value]) => `${key} = ${toml(value)}`)
}

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = assignments(value as Record<string, unknown>)
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`
}

/** A comment, broken into lines. */
function paragraph(text: string): string[] {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(/\s+/)) {
    if (line.length + 1 + word.length > lineWidth) {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  return [...lines, line]
}
