import { Ajv } from 'ajv'
import type { Schema } from '../contract/plugin.ts'
import type { Problem } from '../services/problems.ts'
import { readSchemaFile } from '../services/schema-files.ts'
import { valueAt } from './config-path.ts'
import { isTable } from './config-tree.ts'
import type { Definition, PackageKind } from './discover.ts'

interface CoreSchema extends Schema {
  readonly properties: { readonly [section: string]: Schema }
  readonly $defs: {
    readonly provider: Schema & { readonly properties: { readonly [key: string]: Schema } }
    readonly plugin: Schema & { readonly properties: { readonly [key: string]: Schema } }
  }
}

/** The core's own sections. */
const coreSchema = withReferences(readSchemaFile('config')) as CoreSchema

/** Keys under `[plugins.NAME]` that belong to the kernel; everything else is an option of the plugin. */
export const pluginKeys: readonly string[] = Object.keys(coreSchema.$defs.plugin.properties)
/** Keys under `[providers.INSTANCE]` that belong to the kernel. */
export const providerKeys: readonly string[] = Object.keys(coreSchema.$defs.provider.properties)

/** The schema with each reference (`#/$defs/...`) replaced by what it names: sections are taken out of it, and walked. */
function withReferences(root: Schema): Schema {
  const expand = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(expand)
    if (!isTable(value)) return value
    const { $ref: reference } = value
    if (typeof reference === 'string') return expand(valueAt(root, reference.split('/').slice(1)))
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner)]))
  }
  return expand(root) as Schema
}

/** A section of the config whose schema a package brings. */
export interface PackageSection {
  readonly kind: PackageKind
  /** The plugin's name, or the provider instance's. */
  readonly name: string
  /** Undefined where the package is switched off or unknown: its section is then not looked at closely. */
  readonly definition: Definition | undefined
}

/** One schema for the whole file: the core's sections, and each package's options beside the kernel's keys. */
export function composeSchema(sections: readonly PackageSection[]): {
  readonly schema: Schema
  readonly problems: readonly Problem[]
} {
  const problems: Problem[] = []
  const composed: Record<PackageKind, Record<string, Schema>> = { plugin: {}, provider: {} }
  for (const { kind, name, definition } of sections) {
    const kernel = coreSchema.$defs[kind]
    if (definition === undefined) {
      composed[kind][name] = { ...kernel, additionalProperties: true }
      continue
    }
    const problem = checkOptionsSchema(kind, definition)
    if (problem) problems.push(problem)
    composed[kind][name] = problem ? { ...kernel, additionalProperties: true } : withOptions(kind, name, definition)
  }
  const { properties, $defs: _, ...rest } = coreSchema
  const schema = {
    ...rest,
    properties: {
      ...properties,
      providers: { ...properties['providers'], properties: composed.provider },
      plugins: { ...properties['plugins'], properties: composed.plugin },
    },
  }
  return { schema, problems }
}

function withOptions(kind: PackageKind, name: string, definition: Definition): Schema {
  const { $schema: _, $id: __, ...options } = definition.options
  const kernel = coreSchema.$defs[kind]
  return {
    additionalProperties: false,
    ...options,
    // References inside the options start at the options, not at the whole file.
    ...(JSON.stringify(options).includes('"$ref"') && { $id: `hadrian:${kind}/${name}` }),
    properties: { ...options.properties, ...kernel.properties, ...ownDeadline(kind, definition) },
  }
}

/** The kernel's key `timeout_ms` with the plugin's own default, where it has one. */
function ownDeadline(kind: PackageKind, definition: Definition): Readonly<Record<string, Schema>> {
  const timeoutMs = kind === 'plugin' && 'timeoutMs' in definition ? definition.timeoutMs : undefined
  if (timeoutMs === undefined) return {}
  return { timeout_ms: { ...coreSchema.$defs.plugin.properties['timeout_ms'], default: timeoutMs } }
}

/** Schemas found to be valid: a reload of the config meets the same again. */
const valid = new WeakSet<object>()

function checkOptionsSchema(kind: PackageKind, { name, options }: Definition): Problem | undefined {
  const path = `${kind}s.${name}`
  const reserved = kind === 'plugin' ? pluginKeys : providerKeys
  const taken = Object.keys(options.properties ?? {}).filter((key) => reserved.includes(key))
  if (taken.length > 0)
    return { path, message: `this ${kind} has an option called "${taken[0]!}", which is a key of the kernel` }
  if (valid.has(options)) return undefined
  try {
    const { $schema: _, ...schema } = options
    new Ajv({ strict: false, logger: false, validateFormats: false }).compile(schema)
    valid.add(options)
    return undefined
  } catch (error) {
    return { path, message: `the "options" schema of this ${kind} is not valid: ${(error as Error).message}` }
  }
}

/** The schema of one place of the config, as far as `properties`, `additionalProperties` and `items` lead there. */
export function schemaAt(root: Schema, segments: readonly (string | number)[]): Schema | undefined {
  let schema: Schema | undefined = root
  for (const segment of segments) {
    if (schema === undefined) return undefined
    const { properties, additionalProperties, items }: Schema = schema
    if (typeof segment === 'number') schema = items
    else if (properties !== undefined && Object.hasOwn(properties, segment)) schema = properties[segment]
    else schema = isTable(additionalProperties) ? additionalProperties : undefined
  }
  return schema
}
