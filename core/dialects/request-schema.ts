/**
 * Turns the schemas of request bodies, which are written for people, into a form that ajv checks fast and whose errors
 * name one cause. `anyOf` makes ajv try every member and report the failures of all of them; here a union becomes a
 * choice of one member, by its tag (`role`, `type`) or by its JSON type.
 */

import type { Schema } from '../contract/options.ts'
import { definitionOf, taggedUnion } from '../services/schema-library.ts'
import type { SchemaLibrary, UnionMember } from '../services/schema-library.ts'

/** The definitions with every union replaced. The result accepts exactly the values that the original accepts. */
export function withoutUnions(definitions: SchemaLibrary): SchemaLibrary {
  return Object.fromEntries(Object.entries(definitions).map(([name, schema]) => [name, rewrite(schema, definitions)]))
}

function rewrite<T>(value: T, definitions: SchemaLibrary): T {
  if (Array.isArray(value)) return value.map((item: unknown) => rewrite(item, definitions)) as T
  if (typeof value !== 'object' || value === null) return value
  const { anyOf, discriminator: _, examples: _examples, ...rest } = value as Schema
  const rewritten = Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, rewrite(item, definitions)]))
  if (!Array.isArray(anyOf)) return rewritten as T
  const chosen =
    taggedUnion(value as Schema, definitions) === undefined
      ? choiceByType(anyOf as Schema[], definitions)
      : choiceByTag(value as Schema, definitions)
  return { ...rewritten, ...chosen } as T
}

function choiceByType(members: readonly Schema[], definitions: SchemaLibrary): Schema {
  const typed = members.map((member) => ({ member, type: typeOf(member, definitions) }))
  const types = typed.map(({ type }) => type)
  if (new Set(types).size !== types.length) throw new Error(`Members of one type in a union: ${types.join(', ')}`)
  return {
    type: types,
    allOf: typed
      .filter(({ type }) => type !== 'null')
      .map(({ member, type }) => conditional({ type }, rewrite(member, definitions))),
  }
}

function typeOf(schema: Schema, definitions: SchemaLibrary): string {
  const target = typeof schema['$ref'] === 'string' ? definitionOf(definitions, schema['$ref']) : schema
  if (taggedUnion(target, definitions) !== undefined) return 'object'
  if (typeof target.type !== 'string') throw new Error(`A member of a union without a type: ${JSON.stringify(schema)}`)
  return target.type
}

function choiceByTag(schema: Schema, definitions: SchemaLibrary): Schema {
  const { property, members } = taggedUnion(schema, definitions)!
  const rest = members.find(({ tags }) => tags.length === 0)
  const untagged = members.filter(({ tags }) => tags.includes(null))
  const isAbsent = { properties: { [property]: { type: 'null' } } }
  let choice: Schema = rest === undefined ? {} : { $ref: rest.reference }
  if (untagged.length > 0) choice = conditional(isAbsent, firstComplete(untagged), choice)
  const tags = members.flatMap((member) => member.tags.filter((tag) => tag !== null).map((tag) => ({ tag, member })))
  for (const { tag, member } of tags.toReversed()) {
    const isTagged = { required: [property], properties: { [property]: { const: tag } } }
    choice = conditional(isTagged, { $ref: member.reference }, choice)
  }
  return {
    type: 'object',
    ...choice,
    ...(rest === undefined && {
      ...(untagged.length === 0 && { required: [property] }),
      properties: { [property]: { enum: tags.map(({ tag }) => tag) } },
    }),
  }
}

/** Without a tag: the first member whose required properties are there, else the first. */
function firstComplete(members: readonly UnionMember[]): Schema {
  const [first, ...others] = members
  return others.reduceRight<Schema>(
    (choice, { reference, schema }) =>
      conditional(
        { required: schema.required, not: { required: first!.schema.required } },
        { $ref: reference },
        choice,
      ),
    { $ref: first!.reference },
  )
}

function conditional(condition: Schema, consequence: Schema, alternative: Schema = {}): Schema {
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
  return { if: condition, then: consequence, else: alternative }
}
