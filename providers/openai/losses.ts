import type { Warning } from '@hadrian/core/provider'

/** Collects what a request loses on its way to the wire; the same loss is told once. */
export class Losses {
  readonly #warnings = new Map<string, Warning>()

  get warnings(): readonly Warning[] {
    return [...this.#warnings.values()]
  }

  /** The upstream has no such parameter: it was left out. */
  parameter(param: string, message = `The upstream does not take ${param}; it was left out`): void {
    this.#add({ code: 'unsupported_parameter', message, param })
  }

  /** The model does not think, so that `reasoning` was left out. */
  thinking(model: string): void {
    this.parameter('reasoning', `${model} does not reason; reasoning was left out`)
  }

  /** The parameter went out with another value or in another place. */
  adjusted(param: string, message: string): void {
    this.#add({ code: 'adjusted_value', message, param })
  }

  /** A part of a message was left out. */
  part(what: string, message = `The upstream does not take ${what}; it was left out`): void {
    this.#add({ code: 'dropped_part', message, param: 'messages' })
  }

  /** A tool was left out. */
  tool(what: string): void {
    this.#add({
      code: 'dropped_tool',
      message: `The upstream has no tool of type ${what}; it was left out`,
      param: 'tools',
    })
  }

  #add(warning: Warning): void {
    this.#warnings.set(`${warning.code} ${warning.message}`, warning)
  }
}
