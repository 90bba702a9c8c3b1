import { readEscapes } from './json-text.ts'
import type { Judgement, Stretch } from './judge.ts'

/** A text of an answer that comes in pieces, as far as a judge still has to see it. Places count from its beginning. */
export class AnswerLane {
  /** The text is JSON: judged is what its escapes stand for. */
  readonly #json: boolean
  /** What is kept of the text; begins at `#start`. */
  #buffer = ''
  #start = 0
  /** An escape that is not complete. */
  #open = ''
  /** Nothing that begins before this place can become a hit any more. */
  #decided = 0
  #judged = 0
  /** What stands before this place may go out. */
  #safe = 0
  /** The text seems to be over: something else follows. It may still go on. */
  paused = false

  constructor(json = false) {
    this.#json = json
  }

  get #end(): number {
    return this.#start + this.#buffer.length
  }

  /** Adds a piece; returns the place up to which the text must be safe before the piece may go out. */
  push(text: string): number {
    this.paused = false
    if (!this.#json) this.#buffer += text
    else {
      const read = readEscapes(this.#open + text)
      this.#buffer += read.text
      this.#open = read.open
    }
    return this.#end + (this.#open === '' ? 0 : 1)
  }

  /**
   * Whether there is something a judge should see: what is new, and for a judge to whom the end of a text makes no
   * difference (`passesAtEnd`) nothing else. To any other a text that seems to be over may say something new.
   */
  isDue(passesAtEnd: boolean): boolean {
    if (this.#judged < this.#end) return true
    if (!this.paused || this.#safe >= this.#end + this.#open.length) return false
    if (passesAtEnd) this.#safe = this.#end + this.#open.length
    return !passesAtEnd
  }

  isSafe(place: number): boolean {
    return place <= this.#safe
  }

  stretch(): Stretch {
    return { text: this.#buffer, from: this.#decided - this.#start, ended: this.paused }
  }

  /** Takes what was said of {@link stretch}; `contextChars` of what is decided are kept. */
  take(judgement: Judgement, contextChars: number): void {
    this.#judged = this.#end
    this.#decided = Math.max(this.#decided, this.#start + judgement.decidedTo)
    this.#safe = Math.max(this.#safe, this.paused ? this.#end + this.#open.length : this.#decided)
    const keepFrom = Math.max(this.#start, this.#decided - contextChars)
    this.#buffer = this.#buffer.slice(keepFrom - this.#start)
    this.#start = keepFrom
  }

  /** Takes everything so far as judged and good. */
  pass(): void {
    this.#judged = this.#end
    this.#safe = this.#end + this.#open.length
  }

  /** Lets out everything that was judged, decided or not. */
  letGo(): void {
    this.#safe = Math.max(this.#safe, this.#judged)
  }
}
