/** Values of the parameters of one SQL statement, in the order in which they were added. */
export class Parameters {
  readonly values: unknown[] = []

  /** Adds a value and returns its placeholder: `$1`. */
  add(value: unknown): string {
    return `$${this.values.push(value)}`
  }
}
