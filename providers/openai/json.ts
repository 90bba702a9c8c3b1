import type { JsonObject } from '@hadrian/core/provider'

/** True for a JSON object, which an array is not. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value if it is a string with something in it. */
export function filled(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Adds two levels of fields: an object of `extra` is laid over the object of the same name. */
export function overlay(fields: JsonObject, extra: JsonObject | undefined): JsonObject {
  if (!extra) return fields
  const merged: Record<string, unknown> = { ...fields, ...extra }
  for (const [name, value] of Object.entries(extra)) {
    const own = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (isObject(own) && isObject(value)) merged[name] = { ...own, ...value }
  }
  return merged
}
