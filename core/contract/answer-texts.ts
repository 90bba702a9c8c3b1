/** Fields of events and parts that hold no text: names of kinds, ids, what only the provider can read. Text has blanks. */
const opaque = new Set(['type', 'id', 'toolCallId', 'fileId', 'mediaType', 'signature', 'encrypted', 'format'])
/** Bytes, in a field of whatever name, since pictures and sounds have many. */
const base64 = /^[A-Za-z0-9+/_-]{256,}={0,2}$/
/** Bytes in the field that is made for them. */
const shortBase64 = /^[A-Za-z0-9+/_-]{16,}={0,2}$/

function isText(value: string, name: string): boolean {
  if (opaque.has(name)) return /\s/.test(value)
  return !(name === 'data' ? shortBase64 : base64).test(value)
}

/**
 * A copy of a JSON value in which every text is changed; the value itself if nothing changes. `json` says that the text
 * is JSON itself: the arguments of a tool call.
 */
export function mapTexts<T>(value: T, change: (text: string, json: boolean) => string, name = ''): T {
  if (typeof value === 'string') {
    return (isText(value, name) ? change(value, name === 'arguments') : value) as T
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

/** Whether any string or key of a JSON value passes a test. */
export function someText(value: unknown, test: (text: string) => boolean): boolean {
  if (typeof value === 'string') return test(value)
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some((entry) => someText(entry, test))
  return Object.entries(value).some(([name, entry]) => test(name) || someText(entry, test))
}
