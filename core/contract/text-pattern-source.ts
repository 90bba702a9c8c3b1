import type { Pattern } from './text-pattern.ts'

/**
 * Reads a regular expression into a tree. Only what is bounded and needs no memory of other text is taken: no `*`, `+`
 * or `{n,}`, no look-around, no back-references, no `^` and `$`. Throws an `Error` that says what to write instead.
 */
export function parsePattern(source: string): Pattern {
  // JavaScript's own message is the best one for what is no regular expression at all.
  void new RegExp(source, 'u')
  const reader = new Reader(source)
  return reader.choice()
}

const quantifier = /(?:([*+?])|\{(\d+)(,?)(\d*)\})(\??)/y
const escape =
  /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u\{[\da-fA-F]+\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|[pP]\{[^}]*\}|[^])/y
const characterClass = /\[(?:\\[^]|[^\]\\])*\]/y
const group = /\((?:\?:|\?<[^=!][^>]*>)?/y

class Reader {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  choice(): Pattern {
    const parts = [this.#sequence()]
    while (this.#source[this.#at] === '|') {
      this.#at++
      parts.push(this.#sequence())
    }
    return parts.length === 1 && parts[0] ? parts[0] : { kind: 'choice', parts }
  }

  #sequence(): Pattern {
    const parts: Pattern[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at] ?? '')) {
      parts.push(this.#repeat(this.#atom()))
    }
    return { kind: 'sequence', parts }
  }

  #repeat(part: Pattern): Pattern {
    const found = this.#take(quantifier)
    if (!found) return part
    const [text, sign, least, comma, most, lazy] = found
    if (sign === '*' || sign === '+' || (comma === ',' && most === '')) {
      throw new Error(`"${text}" has no upper bound; write for instance "{${sign === '*' ? 0 : least || 1},40}"`)
    }
    return {
      kind: 'repeat',
      part,
      least: sign === '?' ? 0 : Number(least),
      most: sign === '?' ? 1 : Number(most || least),
      lazy: lazy === '?',
    }
  }

  #atom(): Pattern {
    const next = this.#source[this.#at]
    if (next === '(') return this.#group()
    if (next === '\\') return this.#escape()
    if (next === '^' || next === '$') {
      throw new Error(`"${next}" is not supported, since streams have no lines; use "\\b"`)
    }
    const found = next === '[' ? this.#take(characterClass) : undefined
    if (found) return { kind: 'character', source: found[0], units: 2 }
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0)
    this.#at += character.length
    return { kind: 'character', source: character, units: character === '.' ? 2 : character.length }
  }

  #group(): Pattern {
    const start = this.#source.slice(this.#at, this.#at + 4)
    const found = this.#take(group)
    if (!found || (found[0] === '(' && this.#source[this.#at] === '?')) {
      throw new Error(`"${start}" is not supported: look-around and modifiers`)
    }
    const inner = this.choice()
    this.#at++
    return inner.kind === 'choice' ? inner : { kind: 'choice', parts: [inner] }
  }

  #escape(): Pattern {
    const source = this.#take(escape)?.[0] ?? ''
    if (/^\\(?:[1-9]|k)/.test(source)) throw new Error(`"${source}" is not supported: back-references`)
    if (source === '\\b' || source === '\\B') return { kind: 'assertion', source, looksAhead: true }
    return { kind: 'character', source, units: /^\\(?:u|[pPDWS])/.test(source) ? 2 : 1 }
  }

  #take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at
    const found = expression.exec(this.#source)
    if (!found) return undefined
    this.#at = expression.lastIndex
    return found
  }
}
