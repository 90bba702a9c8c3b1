import type { JsonObject } from '../contract/plugin.ts'
import type { Problem } from '../services/problems.ts'
import { configPath } from './config-path.ts'
import type { Segment } from './config-path.ts'
import { interpolate } from './interpolation.ts'

/** Where a value of the config came from. A value without an entry is a default. */
export interface Source {
  readonly kind: 'file' | 'environment'
  /** Environment variables it was read from. */
  readonly variables: readonly string[]
}

/** The config with references replaced and the environment laid over it, not validated yet. */
export interface ConfigTree {
  readonly tree: Record<string, unknown>
  /** By config path, for leaves. */
  readonly sources: Map<string, Source>
  /** Strings that were one reference as a whole. */
  readonly coercible: Segment[][]
  /** Paths whose value is unusable already, so that validation says nothing more about them. */
  readonly broken: Set<string>
  readonly problems: Problem[]
}

/** Variables that win over the file, and what they set. */
export const environmentKeys: readonly { readonly variable: string; readonly segments: readonly [string, string] }[] = [
  { variable: 'PORT', segments: ['server', 'port'] },
  { variable: 'HOST', segments: ['server', 'host'] },
  { variable: 'DATABASE_URL', segments: ['database', 'url'] },
  { variable: 'HADRIAN_LOG_LEVEL', segments: ['log', 'level'] },
]

const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])
const deepest = 64

/** Copies what was parsed, replaces `${NAME}` in its strings, and lays the environment over it. */
export function buildConfigTree(
  content: unknown,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigTree {
  const built: ConfigTree = { tree: {}, sources: new Map(), coercible: [], broken: new Set(), problems: [] }
  const copied = copy(content, [], environment, built)
  if (isTable(copied)) Object.assign(built.tree, copied)
  else built.problems.push({ path: '', message: 'the config must be a table' })

  for (const { variable, segments } of environmentKeys) {
    const value = environment[variable]
    if (value === undefined || value === '') continue
    const [section, key] = segments
    if (!Object.hasOwn(built.tree, section)) built.tree[section] = {}
    const table = built.tree[section]
    if (!isTable(table)) continue
    const path = configPath(segments)
    table[key] = value
    built.sources.set(path, { kind: 'environment', variables: [variable] })
    built.broken.delete(path)
    built.problems.splice(0, Infinity, ...built.problems.filter((problem) => problem.path !== path))
    built.coercible.push([...segments])
  }
  return built
}

/** True for a table of the config: an object that is no list. */
export function isTable(value: unknown): value is Record<string, unknown> & JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function copy(
  value: unknown,
  segments: readonly Segment[],
  environment: Readonly<Record<string, string | undefined>>,
  built: ConfigTree,
): unknown {
  const path = configPath(segments)
  const refuse = (message: string, at = path): undefined => {
    built.problems.push({ path: at, message })
    built.broken.add(at)
    return undefined
  }
  if (segments.length > deepest) return refuse('is nested too deep')
  if (typeof value === 'string') {
    const { text, variables, whole, mistakes } = interpolate(value, environment)
    for (const mistake of mistakes) built.problems.push({ path, ...mistake })
    if (mistakes.length > 0) built.broken.add(path)
    if (whole) built.coercible.push([...segments])
    built.sources.set(path, { kind: 'file', variables })
    return text
  }
  if (value instanceof Date) {
    built.sources.set(path, { kind: 'file', variables: [] })
    return value.toISOString()
  }
  if (Array.isArray(value)) return value.map((item, index) => copy(item, [...segments, index], environment, built))
  if (isTable(value)) {
    const table: Record<string, unknown> = {}
    for (const key of Object.keys(value)) {
      if (forbiddenKeys.has(key)) refuse('cannot be used as a name', configPath([...segments, key]))
      else {
        const copied = copy(value[key], [...segments, key], environment, built)
        if (copied !== undefined) table[key] = copied
      }
    }
    return table
  }
  if (value === undefined) return undefined
  if (typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol')
    return refuse('is not a value a config can hold')
  built.sources.set(path, { kind: 'file', variables: [] })
  return value
}
