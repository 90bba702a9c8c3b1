/**
 * The JSON Schemas of `schemas/` as one library: the one source of request validation, of the types in
 * `schemas/types.ts` and of `/openapi.json`.
 */

import type { Schema } from '../contract/options.ts'
import { readSchemaFile } from './schema-files.ts'

/** The documents of the library: `schemas/NAME.schema.json`. */
const documentNames = [
  'extensions',
  'chat-completions',
  'responses',
  'completions',
  'embeddings',
  'usage',
  'chat-completion',
  'chat-completion-chunk',
  'response',
  'response-event',
  'completion',
  'embedding-list',
  'models',
  'explain-request',
  'explanation',
  'health',
  'error',
  'package-field',
] as const

/** All definitions by name. A document stands under its `title`; names are unique over all documents. */
export type SchemaLibrary = Readonly<Record<string, Schema>>

let library: SchemaLibrary | undefined

/** Reads the library once. Every `$ref` in it has the form `#/definitions/NAME`. */
export function schemaLibrary(): SchemaLibrary {
  library ??= bundle(documentNames.map((name) => [`${name}.schema.json`, readSchemaFile(name)]))
  return library
}

function bundle(documents: readonly (readonly [file: string, document: Schema])[]): SchemaLibrary {
  const titles = new Map(documents.map(([file, document]) => [file, String(document['title'])]))
  const definitions: Record<string, Schema> = {}
  for (const [file, { $schema: _, definitions: own, title, ...root }] of documents) {
    for (const [name, schema] of Object.entries({ [String(title)]: root, ...(own as Record<string, Schema>) })) {
      if (name in definitions) throw new Error(`${file}: the definition ${name} exists twice`)
      definitions[name] = mapReferences(schema, (reference) => absoluteReference(reference, titles))
    }
  }
  return definitions
}

function absoluteReference(reference: string, titles: ReadonlyMap<string, string>): string {
  const [file = '', pointer] = reference.split('#')
  return pointer === undefined ? `#/definitions/${titles.get(file)}` : `#${pointer}`
}

/** A copy of a schema with every `$ref` replaced. Values that are no schemas (`examples`, `enum`, `const`) stay as they are. */
export function mapReferences<T>(value: T, replace: (reference: string) => string): T {
  if (Array.isArray(value)) return value.map((item: unknown) => mapReferences(item, replace)) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]: [string, unknown]) => {
      if (key === '$ref' && typeof item === 'string') return [key, replace(item)]
      return [key, key === 'examples' || key === 'enum' || key === 'const' ? item : mapReferences(item, replace)]
    }),
  ) as T
}

/** The definition a `$ref` of the library points to. */
export function definitionOf(definitions: SchemaLibrary, reference: string): Schema {
  const found = definitions[reference.slice('#/definitions/'.length)]
  if (found === undefined) throw new Error(`${reference}: no such definition`)
  return found
}

/** A member of a tagged union: `anyOf` with `discriminator`. A member without tags takes every value not taken by others. */
export interface UnionMember {
  readonly reference: string
  readonly schema: Schema
  /** Values of the discriminating property; a null among them means that the property may be absent. */
  readonly tags: readonly unknown[]
}

/** The members of a tagged union and the property that tells them apart; undefined if the schema is none. */
export function taggedUnion(
  schema: Schema,
  definitions: SchemaLibrary,
): { readonly property: string; readonly members: readonly UnionMember[] } | undefined {
  const discriminator = schema['discriminator'] as { readonly propertyName: string } | undefined
  if (discriminator === undefined) return undefined
  const property = discriminator.propertyName
  const members = (schema['anyOf'] as readonly { readonly $ref: string }[]).map(({ $ref }) => {
    const member = definitionOf(definitions, $ref)
    const tag = member.properties?.[property]
    const listed = tag?.const === undefined ? (tag?.enum ?? []) : [tag.const]
    const optional = listed.length > 0 && member.required?.includes(property) !== true && !listed.includes(null)
    return { reference: $ref, schema: member, tags: optional ? [...listed, null] : listed }
  })
  return { property, members }
}
