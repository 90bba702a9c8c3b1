import { pointerKeys } from '../services/json-path.ts'

/** A step into the config: a key or the index of a list. */
export type Segment = string | number

/** A place in the config as the file would spell it: `models."gpt-4.1".targets[0]`. */
export function configPath(segments: readonly Segment[]): string {
  let path = ''
  for (const segment of segments) {
    if (typeof segment === 'number') path += `[${segment}]`
    else path += `${path === '' ? '' : '.'}${tomlKey(segment)}`
  }
  return path
}

/** A key as TOML writes it: bare where that is allowed, else quoted. */
export function tomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)
}

/** The segments of a JSON pointer into `root`, list indexes as numbers. */
export function pointerSegments(pointer: string, root: unknown): Segment[] {
  let value = root
  return pointerKeys(pointer).map((key) => {
    const segment = Array.isArray(value) ? Number(key) : key
    value = child(value, segment)
    return segment
  })
}

/** What stands under one segment; own properties only, so that no name reaches the prototype. */
export function child(value: unknown, segment: Segment): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined
  return (value as Record<Segment, unknown>)[segment]
}

/** What stands at a path. */
export function valueAt(root: unknown, segments: readonly Segment[]): unknown {
  let value = root
  for (const segment of segments) value = child(value, segment)
  return value
}
