import type { JsonObject } from '../contract/canonical.ts'
import { invalidRequest } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import { isObject } from './chat-fields.ts'

/** The 400 for a field that contradicts itself or another; `path` is its JSON path. */
export function invalidField(path: string, message: string): GatewayError {
  return invalidRequest([{ path, message }])
}

/**
 * Takes the fields of one wire object that have a canonical name, and keeps the rest: a field of an unexpected type
 * stays in the rest, so that nothing is lost by reading.
 */
export class Fields {
  readonly #left: Record<string, unknown>

  constructor(source: JsonObject) {
    this.#left = { ...source }
  }

  string(name: string): string | undefined {
    const value = this.#left[name]
    return typeof value === 'string' ? this.#taken(name, value) : undefined
  }

  boolean(name: string): boolean | undefined {
    const value = this.#left[name]
    return typeof value === 'boolean' ? this.#taken(name, value) : undefined
  }

  number(name: string): number | undefined {
    const value = this.#left[name]
    return typeof value === 'number' ? this.#taken(name, value) : undefined
  }

  object(name: string): JsonObject | undefined {
    const value = this.#left[name]
    return isObject(value) ? this.#taken(name, value) : undefined
  }

  list(name: string): readonly unknown[] | undefined {
    const value = this.#left[name]
    return Array.isArray(value) ? this.#taken(name, value) : undefined
  }

  /** Forgets a field that says nothing more. */
  drop(name: string): void {
    delete this.#left[name]
  }

  /** What has not been taken, as `{ extra }` to spread into a part or message; empty where nothing is left. */
  extra(): { readonly extra?: JsonObject } {
    return this.isEmpty() ? {} : { extra: this.#left }
  }

  isEmpty(): boolean {
    return Object.keys(this.#left).length === 0
  }

  #taken<T>(name: string, value: T): T {
    delete this.#left[name]
    return value
  }
}
