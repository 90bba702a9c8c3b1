import type { JsonObject } from '../contract/canonical.ts'

/** The keys of a JSON pointer, as ajv names the place of a mistake: `/messages/0` is `['messages', '0']`. */
export function pointerKeys(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * A place in a request as clients write it: `['messages', '0', 'content']` is `messages[0].content`. Keys that are no
 * plain words are quoted.
 *
 * @param root the value the keys lead into: which of them are indexes of lists depends on it
 * @param start the path of `root` itself
 */
export function jsonPath(keys: readonly string[], root: unknown, start = ''): string {
  let path = start
  let value = root
  for (const key of keys) {
    if (Array.isArray(value)) path += `[${key}]`
    else if (/^[A-Za-z_$][\w$-]*$/.test(key)) path += path === '' ? key : `.${key}`
    else path += `[${JSON.stringify(key.toWellFormed())}]`
    value = typeof value === 'object' && value !== null ? (value as JsonObject)[key] : undefined
  }
  return path
}
