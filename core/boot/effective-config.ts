import type { Schema } from '../contract/plugin.ts'
import { configPath, tomlKey } from './config-path.ts'
import type { Segment } from './config-path.ts'
import { schemaAt } from './config-schema.ts'
import { isTable } from './config-tree.ts'
import type { LoadedConfig } from './config.ts'

/** One line of the effective config: a value, secrets hidden, and where it came from. */
export interface EffectiveValue {
  readonly segments: readonly Segment[]
  readonly value: unknown
  /** `default`, `file`, or the environment variables it was read from. */
  readonly source: string
}

const hidden = '***'
/** Names of keys and variables whose value is taken for a secret, whether their schema says so or not. */
const secretName = /key|token|secret|passw|credential|authorization|cookie/i

/** Every value in force. Secrets are hidden: what schemas mark `writeOnly`, and strings that look like one by name. */
export function effectiveConfig({ config, schema, sources }: LoadedConfig): EffectiveValue[] {
  const lines: EffectiveValue[] = []
  const walk = (value: unknown, segments: readonly Segment[]): void => {
    if (isTable(value) && Object.keys(value).length > 0 && !isSecret(schema, segments)) {
      for (const [key, inner] of Object.entries(value)) walk(inner, [...segments, key])
      return
    }
    lines.push({ segments, value: redact(value, segments), source: sourceOf(segments) })
  }
  const redact = (value: unknown, segments: readonly Segment[]): unknown => {
    const source = sources.get(configPath(segments))
    if (value === '' || value === null || isEmptyCollection(value)) return value
    if (isSecret(schema, segments)) return hidden
    if (Array.isArray(value)) return value.map((item, index) => redact(item, [...segments, index]))
    if (isTable(value))
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redact(inner, [...segments, key])]))
    if (typeof value !== 'string') return value
    const key = segments.findLast((segment) => typeof segment === 'string') ?? ''
    if (secretName.test(key) || source?.variables.some((variable) => secretName.test(variable))) return hidden
    return withoutPassword(value)
  }
  const sourceOf = (segments: readonly Segment[]): string => {
    const path = configPath(segments)
    const source =
      sources.get(path) ?? [...sources].find(([at]) => at.startsWith(`${path}[`) || at.startsWith(`${path}.`))?.[1]
    if (source === undefined) return 'default'
    return source.variables.length > 0 ? source.variables.join(', ') : source.kind
  }
  walk(config, [])
  return lines
}

/** Every secret of the config, for the logger to keep out of its lines. */
export function configSecrets({ config, schema, sources }: LoadedConfig): readonly string[] {
  const secrets = new Set<string>()
  const walk = (value: unknown, segments: readonly Segment[]): void => {
    if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value))
        walk(inner, [...segments, Array.isArray(value) ? Number(key) : key])
      return
    }
    if (typeof value !== 'string') return
    const variables = sources.get(configPath(segments))?.variables ?? []
    if (isSecret(schema, segments) || variables.some((variable) => secretName.test(variable))) secrets.add(value)
  }
  walk(config, [])
  secrets.delete('')
  return [...secrets]
}

/** The effective config as TOML that could be pasted into a file, each value's source in a comment. */
export function formatEffectiveConfig(lines: readonly EffectiveValue[]): string {
  const sections = new Map<string, string[]>()
  for (const { segments, value, source } of lines) {
    const section = configPath(segments.slice(0, -1))
    const key = tomlKey(String(segments.at(-1)))
    const group = sections.get(section) ?? []
    group.push(isTable(value) && Object.keys(value).length === 0 ? '' : `${key} = ${tomlValue(value)}  # ${source}`)
    sections.set(section, group)
  }
  return [...sections]
    .map(([section, group]) =>
      [section === '' ? '' : `[${section}]`, ...group].filter((line) => line !== '').join('\n'),
    )
    .filter((text) => text.includes('\n'))
    .join('\n\n')
}

/** The same as a tree, for programs. */
export function effectiveTree(lines: readonly EffectiveValue[]): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const { segments, value } of lines) {
    let table = root
    for (const segment of segments.slice(0, -1)) {
      if (!Object.hasOwn(table, segment)) table[segment] = {}
      table = table[segment] as Record<string, unknown>
    }
    table[String(segments.at(-1))] = value
  }
  return root
}

function isSecret(schema: Schema, segments: readonly Segment[]): boolean {
  return segments.some((_, index) => schemaAt(schema, segments.slice(0, index + 1))?.writeOnly === true)
}

function isEmptyCollection(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** Hides the password inside a URL, and what its query calls a secret. */
function withoutPassword(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/@:]*):[^/@]*@/i, `$1:${hidden}@`)
    .replaceAll(/([?&][^=&#]*=)[^&#]+/g, (pair, name: string) => (secretName.test(name) ? name + hidden : pair))
}

function tomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`
  if (isTable(value))
    return `{ ${Object.entries(value)
      .map(([key, inner]) => `${tomlKey(key)} = ${tomlValue(inner)}`)
      .join(', ')} }`
  return JSON.stringify(value)
}
