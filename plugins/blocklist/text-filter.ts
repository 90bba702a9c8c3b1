import type { Matcher } from '@hadrian/core/plugin'

/** What may go out after a piece of text came in. */
export interface Filtered {
  readonly text: string
  /** Something was replaced in it. */
  readonly matched: boolean
}

/** A complete escape of JSON, or else what may become one with more text. */
const escape = /\\(?:u([\da-fA-F]{4})|(["\\/bfnrt]))|(\\(?:u[\da-fA-F]{0,3})?$)/y
const escaped: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * Replaces matches in a text that comes in pieces, however it is split. Holds back only what may be the beginning of a
 * match, at most `window - 1` units; for JSON text, counted as the characters its escapes stand for.
 */
export class TextFilter {
  readonly #matcher: Matcher
  readonly #replacement: string
  /** The text is JSON: matches are found through its escapes, and the replacement is escaped. */
  readonly #json: boolean
  /** Characters before `#position` are decided and kept for what must not stand before a match. */
  #buffer = ''
  /** For JSON, how each unit of the buffer was written. */
  #written: string[] = []
  #position = 0
  /** Up to here the buffer has gone out, beyond `#position` after a {@link release}. */
  #releasedTo = 0
  /** An escape that is not complete yet. */
  #openEscape = ''

  constructor(matcher: Matcher, replacement: string, json = false) {
    this.#matcher = matcher
    this.#replacement = json ? JSON.stringify(replacement).slice(1, -1) : replacement
    this.#json = json
  }

  /** Whether text is held back. */
  get holds(): boolean {
    return this.#openEscape !== '' || this.#buffer.length > Math.max(this.#position, this.#releasedTo)
  }

  /** Whether there would be a match if the text ended here. */
  get endsWithMatch(): boolean {
    const { match } = this.#matcher
    match.lastIndex = this.#position
    return match.test(this.#buffer)
  }

  /** Takes the next piece; returns what is decided. */
  push(text: string): Filtered {
    if (this.#json) this.#unescape(this.#openEscape + text)
    else this.#buffer += text
    return this.#decide(false)
  }

  /**
   * Lets everything out, as if the text ended here. Should it go on, a match that began in what was let out is still
   * found, and the rest of it replaced.
   */
  release(): Filtered {
    const { text, matched } = this.#decide(true)
    const open = this.#openEscape
    this.#openEscape = ''
    this.#append(open)
    this.#releasedTo = this.#buffer.length
    return { text: text + open, matched }
  }

  #decide(isEnd: boolean): Filtered {
    const { match, beginning, window } = this.#matcher
    let text = this.#buffer
    // Half a surrogate pair is no character yet.
    if (!isEnd && /[\uD800-\uDBFF]$/.test(text)) text = text.slice(0, -1)
    const end = text.length
    let undecided = -1
    let output = ''
    let matched = false
    let position = this.#position
    for (;;) {
      if (isEnd) undecided = end
      else if (undecided < position) {
        beginning.lastIndex = Math.max(position, end - window)
        undecided = Math.max(position, beginning.exec(text)?.index ?? end)
      }
      match.lastIndex = position
      const found = match.exec(text)
      if (!found || found.index >= undecided) break
      const foundEnd = found.index + found[0].length
      output += this.#slice(position, found.index) + this.#replacement
      matched = true
      position = foundEnd
    }
    output += this.#slice(position, undecided)
    this.#forget(isEnd ? position : undecided)
    return { text: output, matched }
  }

  /** The buffer from one place to another as it was written, without what has gone out already. */
  #slice(from: number, to: number): string {
    const start = Math.max(from, this.#releasedTo)
    if (start >= to) return ''
    return this.#json ? this.#written.slice(start, to).join('') : this.#buffer.slice(start, to)
  }

  /** Drops what is decided, but for the last character: it says whether a word begins after it. */
  #forget(position: number): void {
    const drop = Math.max(0, position - 2)
    this.#buffer = this.#buffer.slice(drop)
    if (this.#json) this.#written.splice(0, drop)
    this.#position = position - drop
    this.#releasedTo = Math.max(0, this.#releasedTo - drop)
  }

  #append(text: string): void {
    this.#buffer += text
    if (this.#json) for (let index = 0; index < text.length; index++) this.#written.push(text[index] ?? '')
  }

  #unescape(text: string): void {
    this.#openEscape = ''
    let position = 0
    for (;;) {
      const next = text.indexOf('\\', position)
      if (next < 0) break
      this.#append(text.slice(position, next))
      escape.lastIndex = next
      const [whole, code, letter, open] = escape.exec(text) ?? ['\\']
      position = next + whole.length
      if (open !== undefined) {
        this.#openEscape = open
        return
      }
      if (code !== undefined) this.#buffer += String.fromCharCode(Number.parseInt(code, 16))
      else this.#buffer += letter === undefined ? whole : (escaped[letter] ?? letter)
      this.#written.push(whole)
    }
    this.#append(text.slice(position))
  }
}

/** Replaces the matches of a whole text. */
export function filterText(matcher: Matcher, replacement: string, text: string, json = false): Filtered {
  const filter = new TextFilter(matcher, replacement, json)
  const pushed = filter.push(text)
  const rest = filter.release()
  return { text: pushed.text + rest.text, matched: pushed.matched || rest.matched }
}
