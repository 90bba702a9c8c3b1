import type { Dialect, GenerateRequest, Warning } from '@hadrian/core/provider'

/** Fields whose wire name is not simply their canonical name in snake_case, by dialect. */
const spellings: Partial<Record<Dialect, Readonly<Record<string, string>>>> = {
  chat: { maxOutputTokens: 'max_completion_tokens' },
  responses: { messages: 'input', responseFormat: 'text.format', verbosity: 'text.verbosity' },
}

/** Collects what a request loses on its way to the Messages API, each loss once. */
export class LossList {
  readonly #dialect: Dialect
  readonly #warnings = new Map<string, Warning>()

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  /** The client's parameter has no counterpart and was left out. */
  unsupported(field: keyof GenerateRequest | (string & {}), why = 'the Messages API has no such parameter'): void {
    const param = this.#spell(field)
    this.#add('unsupported_parameter', param, `${param} was left out: ${why}`)
  }

  /** The client's value was changed into one that the Messages API takes. */
  adjusted(field: keyof GenerateRequest | (string & {}), what: string): void {
    const param = this.#spell(field)
    this.#add('adjusted_value', param, `${param}: ${what}`)
  }

  /** A part of a message was left out. */
  dropped(what: string, why: string): void {
    this.#add('dropped_part', this.#spell('messages'), `${what} was left out: ${why}`)
  }

  all(): readonly Warning[] {
    return [...this.#warnings.values()]
  }

  #spell(field: string): string {
    return spellings[this.#dialect]?.[field] ?? field.replaceAll(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
  }

  #add(code: string, param: string, message: string): void {
    this.#warnings.set(`${code} ${message}`, { code, message, param })
  }
}
