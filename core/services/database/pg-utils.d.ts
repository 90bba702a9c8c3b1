declare module 'pg/lib/utils' {
  /** What pg does to a parameter: the text or bytes that are sent, or null. */
  export function prepareValue(value: unknown): string | Buffer | null
}
