/** Fields of events and parts that hold no text: names of kinds, ids, bytes, what only the provider can read. */
const opaque = new Set(['type', 'id', 'toolCallId', 'fileId', 'mediaType', 'data', 'signature', 'encrypted', 'format'])
/** Bytes in a field of some other name. */
const base64 = /^[A-Za-z0-9+/]{256,}={0,2}$/

/**
 * A copy of a JSON value in which every text is changed; the value itself if nothing changes. `json` says that the text
 * is JSON itself: the arguments of a tool call.
 */
export function mapTexts<T>(value: T, change: (text: string, json: boolean) => string, name = ''): T {
  if (typeof value === 'string') {
    return (opaque.has(name) || base64.test(value) ? value : change(value, name === 'arguments')) as T
  }
  if (typeof value !== 'object' || value === null) return value
  let changed = false
  const mapOne = (one: unknown, key: string): unknown => {
    const mapped = mapTexts(one, change, key)
    changed ||= mapped !== one
    return mapped
  }
  const copy = Array.isArray(value)
    ? value.map((one) => mapOne(one, name))
    : Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapOne(one, key)]))
  return changed ? (copy as T) : value
}
