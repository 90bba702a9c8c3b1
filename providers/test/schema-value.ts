import type { JsonObject } from '@hadrian/core/provider'

/** Below this depth only what a schema requires is made, and nothing through references, so that recursion ends. */
const shallow = 4
const deepest = 16

/** Schemas looked at for one value: a client's schema that refers to itself in many places must not keep us busy. */
const mostSteps = 10_000

interface Walk {
  readonly root: JsonObject
  steps: number
}

/** Values for the formats of strings. */
const formats: Readonly<Record<string, string>> = {
  'date-time': '2025-01-01T00:00:00Z',
  date: '2025-01-01',
  time: '00:00:00Z',
  duration: 'P1D',
  email: 'test@example.com',
  hostname: 'example.com',
  uri: 'https://example.com/',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uuid: '00000000-0000-4000-8000-000000000000',
}

/** A value that is valid against a JSON Schema, as far as patterns and conditions allow: always the same one. */
export function schemaValue(schema: unknown): unknown {
  return valueOf(schema, { root: isObject(schema) ? schema : {}, steps: 0 }, 0)
}

function valueOf(given: unknown, walk: Walk, depth: number): unknown {
  if (!isObject(given) || depth > deepest || walk.steps++ > mostSteps) return null
  const schema = flattened(given, walk, depth)
  if ('const' in schema) return schema['const']
  for (const list of ['enum', 'examples']) {
    if (Array.isArray(schema[list]) && schema[list].length > 0) return schema[list][0]
  }
  if ('default' in schema) return schema['default']
  const options = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(options) && options.length > 0) {
    // Deep inside, an option that ends the recursion is better than the first.
    const scalar = options.find((option) => isObject(option) && option['type'] === 'null')
    return valueOf(depth >= shallow && scalar !== undefined ? scalar : options[0], walk, depth + 1)
  }
  const types = [schema['type']].flat()
  switch (types.find((type) => type !== 'null') ?? types[0] ?? ('properties' in schema ? 'object' : 'string')) {
    case 'object':
      return objectOf(schema, walk, depth)
    case 'array':
      return arrayOf(schema, walk, depth)
    case 'integer':
      return numberOf(schema, 1)
    case 'number':
      return numberOf(schema, 0.5)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return stringOf(schema)
  }
}

/** The schema with its reference followed and all of `allOf` laid over it. */
function flattened(schema: JsonObject, walk: Walk, depth: number): JsonObject {
  if (depth > deepest || walk.steps++ > mostSteps) return {}
  const { $ref: reference, allOf, ...own } = schema
  const parts: unknown[] = [typeof reference === 'string' ? resolve(reference, walk.root) : {}]
  if (Array.isArray(allOf)) parts.push(...(allOf as unknown[]))
  const flat = parts.filter(isObject).map((part) => flattened(part, walk, depth + 1))
  return [...flat, own].reduce<JsonObject>((whole, part) => {
    const required = [...listOf(whole['required']), ...listOf(part['required'])]
    const properties = { ...(whole['properties'] as object), ...(part['properties'] as object) }
    return {
      ...whole,
      ...part,
      ...(required.length > 0 && { required }),
      ...(Object.keys(properties).length > 0 && { properties }),
    }
  }, {})
}

function resolve(reference: string, root: JsonObject): unknown {
  if (!reference.startsWith('#')) return {}
  let place: unknown = root
  for (const step of reference.slice(1).split('/').filter(Boolean)) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    place = isObject(place) && Object.hasOwn(place, name) ? place[name] : undefined
  }
  return place
}

function objectOf(schema: JsonObject, walk: Walk, depth: number): JsonObject {
  const required = new Set(listOf(schema['required']))
  const properties = isObject(schema['properties']) ? Object.entries(schema['properties']) : []
  const wanted = properties.filter(([name]) => depth < shallow || required.has(name))
  return Object.fromEntries(wanted.map(([name, inner]) => [name, valueOf(inner, walk, depth + 1)]))
}

function arrayOf(schema: JsonObject, walk: Walk, depth: number): unknown[] {
  const least = numberIn(schema['minItems']) ?? 0
  const most = numberIn(schema['maxItems']) ?? Infinity
  const count = Math.min(Math.max(least, depth < shallow ? 1 : 0), most, 100)
  return Array.from({ length: count }, () => valueOf(schema['items'] ?? { type: 'string' }, walk, depth + 1))
}

function numberOf(schema: JsonObject, step: number): number {
  const above = numberIn(schema['exclusiveMinimum'])
  const below = numberIn(schema['exclusiveMaximum'])
  const least = numberIn(schema['minimum']) ?? (above === undefined ? undefined : above + step)
  const most = numberIn(schema['maximum']) ?? (below === undefined ? undefined : below - step)
  const multiple = numberIn(schema['multipleOf'])
  const value = Math.min(Math.max(1, least ?? 1), most ?? Infinity)
  const rounded = multiple === undefined || multiple <= 0 ? value : Math.ceil(value / multiple) * multiple
  return schema['type'] === 'integer' ? Math.ceil(rounded) : rounded
}

function stringOf(schema: JsonObject): string {
  const { format } = schema
  const text = typeof format === 'string' && Object.hasOwn(formats, format) ? formats[format]! : 'text'
  const least = Math.min(numberIn(schema['minLength']) ?? 0, 10_000)
  return text.padEnd(least, 'x').slice(0, numberIn(schema['maxLength']) ?? Infinity)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function numberIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
