/** The secrets that no log line may show: those of every config that is in force, or still has open exchanges. */
export class Secrets {
  readonly #groups = new Set<readonly string[]>()
  #all: readonly string[] = []
  readonly #beforeForgetting: () => void

  /** @param beforeForgetting writes out the lines that wait to be cleaned of the secrets */
  constructor(beforeForgetting: () => void = () => {}) {
    this.#beforeForgetting = beforeForgetting
  }

  /** Asked for every line, so it is made only when something changes. */
  get all(): readonly string[] {
    return this.#all
  }

  /** Adds the secrets of one config. Returns a function that forgets them; the same ones of another config stay. */
  add(secrets: readonly string[]): () => void {
    const group = [...secrets]
    this.#groups.add(group)
    this.#collect()
    return () => {
      this.#beforeForgetting()
      this.#groups.delete(group)
      this.#collect()
    }
  }

  #collect(): void {
    this.#all = [...new Set([...this.#groups].flat())]
  }
}
