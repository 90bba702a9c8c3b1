import type { Schema } from '../contract/plugin.ts'
import type { ProviderDefinition } from '../contract/provider.ts'
import type { Problem } from '../services/problems.ts'
import { composeSchema } from './config-schema.ts'
import type { PackageSection } from './config-schema.ts'
import type { PackageDescriptor } from './discover.ts'

/** The schema of every config file that is possible with what is installed. */
export interface EditorSchema {
  readonly schema: Schema
  /** What is known of the providers, by package name: for whoever writes a first file. */
  readonly providers: ReadonlyMap<string, ProviderDefinition>
  /** Packages that could not be loaded; the schema says nothing of their options. */
  readonly problems: readonly Problem[]
}

/**
 * Composes one JSON Schema of all installed packages, on or off, for editors. The one a file is checked by knows only
 * what that file names. Runs the code of every package.
 */
export async function editorSchema(packages: readonly PackageDescriptor[]): Promise<EditorSchema> {
  const problems: Problem[] = []
  const sections: PackageSection[] = []
  const providers = new Map<string, ProviderDefinition>()
  for (const { kind, name, load } of packages.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const loaded = await load()
    if ('problem' in loaded) problems.push(loaded.problem)
    const definition = 'definition' in loaded ? loaded.definition : undefined
    sections.push({ kind, name, definition })
    if (kind === 'provider' && definition) providers.set(name, definition as ProviderDefinition)
  }
  const composed = composeSchema(sections)
  return {
    schema: { $schema: 'http://json-schema.org/draft-07/schema#', ...withProviderTypes(composed.schema) },
    providers,
    problems: [...problems, ...composed.problems],
  }
}

/** An instance may have any name: then its `type` says whose options it has. */
function withProviderTypes(schema: Schema): Schema {
  const { providers, ...others } = schema.properties!
  const types = Object.entries(providers!.properties ?? {})
  return {
    ...schema,
    properties: {
      ...others,
      providers: {
        ...providers,
        additionalProperties: {
          type: 'object',
          required: ['type'],
          properties: { type: { enum: types.map(([name]) => name) } },
          allOf: types.map(([name, options]) => ({
            if: { not: { properties: { type: { const: name } }, required: ['type'] } },
            // Its own `$id` would stand twice in one file.
            else: withoutId(options),
          })),
        },
      },
    },
  }
}

function withoutId({ $id, ...schema }: Schema & { readonly $id?: string }): Schema {
  return $id === undefined ? schema : { $ref: $id }
}
