import { isObject } from './wire.ts'

/** Formats of strings that structured output enforces. Source: the JSON Schema limitations of structured outputs. */
const formats: ReadonlySet<unknown> = new Set([
  'date-time',
  'time',
  'date',
  'duration',
  'email',
  'hostname',
  'uri',
  'ipv4',
  'ipv6',
  'uuid',
])

/** Keywords that structured output takes as they are. */
const kept = new Set(['type', 'enum', 'const', 'title', 'description', 'default', 'required', '$ref', '$schema', '$id'])

/** Deeper schemas than this are left to the instruction, which needs no walk. */
const maxDepth = 64

/**
 * The schema in the subset that structured output and strict tools take: objects closed, keywords that cannot be
 * enforced moved into the description, where the model reads them. Undefined if the schema has an object that is open
 * on purpose, which the subset cannot express.
 */
export function closedSchema(schema: object): ClosedSchema | undefined {
  const unenforced = new Set<string>()
  const closed = close(schema, 0, unenforced)
  return closed && { schema: closed, unenforced: [...unenforced] }
}

/** A schema that structured output takes. */
export interface ClosedSchema {
  readonly schema: object
  /** Keywords that nobody enforces any more. */
  readonly unenforced: readonly string[]
}

function close(schema: unknown, depth: number, unenforced: Set<string>): object | undefined {
  if (!isObject(schema) || depth > maxDepth) return undefined
  const closed: Record<string, unknown> = {}
  const hints: string[] = []
  for (const [keyword, value] of Object.entries(schema)) {
    if (value === undefined) continue
    const target = keyword === 'oneOf' ? 'anyOf' : keyword
    if (kept.has(keyword)) closed[keyword] = value
    else if (keyword === 'properties' || keyword === '$defs' || keyword === 'definitions') {
      const entries = Object.entries(value ?? {}).map(
        ([name, inner]) => [name, close(inner, depth + 1, unenforced)] as const,
      )
      if (entries.some(([, inner]) => inner === undefined)) return undefined
      closed[keyword] = Object.fromEntries(entries)
    } else if ((target === 'anyOf' || keyword === 'allOf') && Array.isArray(value)) {
      const options = value.map((inner: unknown) => close(inner, depth + 1, unenforced))
      if (options.includes(undefined)) return undefined
      closed[target] = options
    } else if (keyword === 'items') {
      const items = close(value, depth + 1, unenforced)
      if (!items) return undefined
      closed['items'] = items
    } else if (keyword === 'additionalProperties') {
      if (value !== false) return undefined
    } else if ((keyword === 'format' && formats.has(value)) || (keyword === 'minItems' && Number(value) <= 1)) {
      closed[keyword] = value
    } else {
      unenforced.add(keyword)
      hints.push(`${keyword}: ${JSON.stringify(value)}`)
    }
  }
  if (isObjectType(schema['type']) || 'properties' in schema) {
    if (!isObject(schema['properties'])) return undefined
    closed['additionalProperties'] = false
  }
  if (hints.length > 0) {
    const description = typeof closed['description'] === 'string' ? `${closed['description']}\n\n` : ''
    closed['description'] = `${description}{${hints.join(', ')}}`
  }
  return closed
}

function isObjectType(type: unknown): boolean {
  return type === 'object' || (Array.isArray(type) && type.includes('object'))
}
