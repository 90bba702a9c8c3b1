import type { Filtered, TextFilter } from './text-filter.ts'

/**
 * The text of one kind in one choice, block after block. Some clients see each block by itself and others all of them
 * joined: so each is filtered by itself, and what becomes of it once more with what came before it. What is held back at
 * the end of a block goes out in the next one.
 */
export class TextLane {
  readonly #make: () => TextFilter
  #block: unknown
  /** Of the block. */
  #own: TextFilter | undefined
  /** Of all blocks, once there is a second one. */
  #joined: TextFilter | undefined

  constructor(make: () => TextFilter) {
    this.#make = make
  }

  /** Whether text is held back. */
  get holds(): boolean {
    return this.#own?.holds === true || this.#joined?.holds === true
  }

  /** Takes the next piece of a block; returns what is decided. */
  push(block: unknown, text: string): Filtered {
    const before = this.#own && block !== this.#block ? this.#next(this.#own) : undefined
    this.#block = block
    this.#own ??= this.#make()
    const after = this.#join(this.#own.push(text))
    return before ? { text: before.text + after.text, matched: before.matched || after.matched } : after
  }

  /** Lets everything out, as if the text ended here. */
  release(): Filtered {
    if (!this.#own) return { text: '', matched: false }
    const joined = this.#join(this.#own.release())
    const rest = this.#joined?.release()
    return rest ? { text: joined.text + rest.text, matched: joined.matched || rest.matched } : joined
  }

  /** Ends a block: its filter goes on as the one of all blocks, unless its end alone is a match. */
  #next(own: TextFilter): Filtered {
    this.#own = undefined
    if (!this.#joined && !own.endsWithMatch) {
      this.#joined = own
      return { text: '', matched: false }
    }
    const ended = this.#join(own.release())
    this.#joined ??= this.#make()
    return ended
  }

  #join({ text, matched }: Filtered): Filtered {
    if (!this.#joined) return { text, matched }
    const joined = this.#joined.push(text)
    return { text: joined.text, matched: matched || joined.matched }
  }
}
